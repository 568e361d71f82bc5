"""What all rows stand on: a private mount namespace, a Btrfs in it, and three settings."""

from __future__ import annotations

import os
import shutil
import textwrap
from dataclasses import dataclass
from pathlib import Path

from tests.bench import segments
from tests.btrfs.outside import run
from tests.btrfs.sandbox import TOP

DATA = TOP / "data"
IMAGES = DATA / "images"
OTHER = TOP / "other"
"""What the peers have defragmented: vmtune refuses a schedule beside one written by hand."""
CONFIG = TOP / "vmtune.yaml"
FSTAB = Path("/etc/fstab")
JOB = Path("/etc/cron.d/defragment")


@dataclass(frozen=True)
class Ground:
    """The programs, and the UUID of the filesystem at DATA."""

    programs: Path
    uuid: str

    @property
    def vmtune(self) -> list[str]:
        return [str(self.programs / "vmtune"), "--config", str(CONFIG)]

    @property
    def python(self) -> list[str]:
        """That of vmtune's environment."""
        return [str(self.programs / "python")]

    @property
    def bare(self) -> list[str]:
        """Python doing nothing."""
        return [*self.python, "-c", "pass"]

    def fresh(self) -> None:
        """As before the first apply."""
        for folder in (IMAGES, Path("/var/lib/vmtune")):
            shutil.rmtree(folder, ignore_errors=True)
        for file in Path("/etc/cron.d").iterdir():
            file.unlink()
        FSTAB.write_text(f"UUID={self.uuid} {DATA} btrfs defaults 0 0\n")
        run("mount", "-o", "remount,compress=zstd:3", DATA)

    def three(self) -> None:
        """The three settings of the story, declared."""
        declare(
            f"""\
            paths:
              - path: {IMAGES}
                nocow: true
            mounts:
              - target: {DATA}
                options: {{compress: no}}
            defrag:
              - path: {DATA}
                schedule: "0 12 * * 0"
                scheduler: cron
                allow: [snapshots]
            """
        )

    def script(self) -> str:
        """The same three settings by a careful shell script, which looks before it changes."""
        file = TOP / "settings.sh"
        file.write_text(
            textwrap.dedent(f"""\
            set -eu
            [ -d {IMAGES} ] || mkdir -m 711 {IMAGES}
            lsattr -d {IMAGES} | cut -d' ' -f1 | grep -q C || chattr +C {IMAGES}
            if ! awk '$2 == "{DATA}" && $4 ~ /compress=no/ {{ f = 1 }} END {{ exit !f }}' {FSTAB}
            then
              sed -i 's,\\( {DATA} btrfs \\)[^ ]*,\\1defaults\\,compress=no,' {FSTAB}
              sync {FSTAB}
            fi
            if findmnt -no FS-OPTIONS {DATA} | grep -q 'compress='
            then mount -o remount,compress=no {DATA}; fi
            if ! grep -qs "defragment -r {OTHER}" {JOB}
            then
              echo "0 12 * * 0 root btrfs filesystem defragment -r {OTHER}" > {JOB}
              sync {JOB}
            fi
            """)
        )
        return str(file)

    def deploy(self) -> str:
        """The same for pyinfra."""
        file = TOP / "deploy.py"
        file.write_text(
            textwrap.dedent(f"""\
            from pyinfra.operations import files, server
            files.directory(path="{IMAGES}", mode="711")
            server.shell("chattr +C {IMAGES}")
            files.line(path="{FSTAB}", line=".* {DATA} btrfs .*",
                       replace="UUID={self.uuid} {DATA} btrfs defaults,compress=no 0 0")
            server.shell("mount -o remount,compress=no {DATA}")
            files.line(path="{JOB}", ensure_newline=True,
                       line="0 12 * * 0 root btrfs filesystem defragment -r {OTHER}")
            """)
        )
        return str(file)

    def playbook(self) -> str:
        """The same for ansible."""
        file = TOP / "playbook.yml"
        file.write_text(
            textwrap.dedent(f"""\
            - hosts: localhost
              gather_facts: false
              tasks:
                - file: {{path: {IMAGES}, state: directory, mode: "0711", attributes: +C}}
                - lineinfile:
                    path: {FSTAB}
                    regexp: " {DATA} btrfs "
                    line: "UUID={self.uuid} {DATA} btrfs defaults,compress=no 0 0"
                - command: mount -o remount,compress=no {DATA}
                - lineinfile:
                    path: {JOB}
                    create: true
                    line: "0 12 * * 0 root btrfs filesystem defragment -r {OTHER}"
            """)
        )
        return str(file)


def declare(text: str) -> None:
    """The configuration."""
    CONFIG.write_text("version: 1\n" + textwrap.dedent(text))
    CONFIG.chmod(0o644)


def written() -> int:
    """Bytes that the device below DATA was given, once all that is to be written is."""
    run("sync", "-f", DATA)
    device = run("findmnt", "-no", "SOURCE", DATA).strip().rpartition("/")[2]
    return segments.written(device)


def made(programs: Path, size: int = 24 << 30) -> Ground:
    """A fresh filesystem, within the sandbox; its image is sparse, and gets half as large."""
    image = os.environ.get("VMTUNE_BENCH_IMAGE", str(programs.parents[1] / "image"))
    with open(image, "wb") as new:
        new.truncate(size)
    run("mkfs.btrfs", "-q", "-f", "-m", "single", image)
    DATA.mkdir()
    run("mount", "-o", "loop,noatime", image, DATA)
    os.unlink(image)  # the loop device keeps it, and the kernel takes it away with the namespace
    (TOP / "home").mkdir()
    os.environ["HOME"] = str(TOP / "home")
    return Ground(programs, run("findmnt", "-no", "UUID", DATA).strip())
