"""Write the golden files: a journal, saved plans and JSON documents of a real host.

Run it as root with the version of vmtune whose files later versions must read:
``python -m tests.golden.make FOLDER``. It boots the container of tests/host, whose root is on
Btrfs and whose systemd is real, and has vmtune write one value into each sort of place.
``FOLDER`` is made: ``journal/`` and ``folded/`` hold what /var/lib/vmtune held before and after old
runs were folded, ``plans/`` saved plans, ``documents/`` what ``--json`` printed.
``expected.json`` is what this version reads out of both journals.
"""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from tests.host import sandbox, wheels
from tests.host.container import ZSTD_FSTAB, Container

CHECKOUT = Path(__file__).parents[2]
STATE = "/var/lib/vmtune"
MAIN, OTHER = "/root/vmtune.yaml", "/root/other.yaml"

FIRST = """\
version: 1
paths:
  - {path: /srv/vm, nocow: true, existing: rewrite}
  - {path: /srv/new/deep, nocow: true}
  - {path: /srv/own, subvolume: true, nocow: true}
  - {path: /srv/turned, subvolume: true}
  - {path: /srv/packed, compression: zstd, existing: rewrite}
mounts:
  - {target: /, options: {compress: no, noatime: true}}
defrag:
  - {path: /srv/packed, schedule: "0 12 * * *", scheduler: systemd}
  - {path: /srv/new, schedule: "30 4 * * 0", scheduler: cron}
"""
SECOND = """\
version: 1
paths:
  - {path: /srv/vm, nocow: true, existing: rewrite}
  - {path: /srv/new/deep, nocow: true}
defrag:
  - {path: /srv/packed, schedule: "15 3 * * *", scheduler: systemd}
"""
ELSEWHERE = """\
version: 1
mounts: [{target: /, options: {commit: 60}}]
"""
WRONG = "version: 1\npathz: []\n"

# An image with data, an empty one, a folder, and the copy that a rewrite left when it was killed.
PREPARE = """
import os
from reconciler.facts.images import copy_name
for path in ("/srv/vm/sub", "/srv/turned/inner", "/srv/packed/sub", "/srv/new"):
    os.makedirs(path)
for path in ("/srv/vm/disk.raw", "/srv/vm/sub/b\\udcff.raw", "/srv/turned/inner/data",
             "/srv/packed/disk.raw", "/srv/new/notes"):
    with open(path, "wb") as file:
        file.write(b"image" * 30_000)
open("/srv/vm/blank.raw", "w").close()
with open("/srv/vm/copy", "wb") as file:
    file.write(b"copy!" * 30_000)
old, new = os.stat("/srv/vm/disk.raw"), os.stat("/srv/vm/copy")
os.rename("/srv/vm/copy", "/srv/vm/" + copy_name(old.st_ino, new.st_ino, new.st_mtime_ns))
"""
# As the program itself, but old runs are folded after a few instead of a hundred.
SOON = """
import sys
from reconciler.__main__ import main
from reconciler.run import record
record.KEPT = 4
main()
"""
EXPECTED = """
import json
from reconciler.run import journal
runs = [[run.number, run.command, run.config, run.user, run.result, len(run.actions),
         sorted(run.begun), dict(run.outcomes), len(run.before), len(run.after)]
        for run in journal.runs()]
written = journal.plain_base(journal.Base(journal.last(), journal.written()))["written"]
print(json.dumps({"runs": runs, "written": written}, indent=1))
"""
PYTHON = "/opt/vmtune/bin/python"


class Maker:
    """One container, and the folder that the files are put in."""

    def __init__(self, host: Container, folder: Path) -> None:
        self.host = host
        self.folder = folder
        for name in ("journal", "folded", "plans", "documents"):
            (folder / name).mkdir(parents=True)

    def vmtune(self, *words: str, config: str = MAIN, code: int = 0, under: str = "") -> str:
        """Run vmtune as root to the exit code that is named; return standard output."""
        argv = [*under.split(), "/usr/local/bin/vmtune", "--config", config, *words]
        done = self.host.run(argv, check=False)
        assert done.returncode == code, (words, done.returncode, done.stdout, done.stderr)
        return done.stdout

    def document(self, name: str, *words: str, config: str = MAIN, code: int = 0) -> None:
        """Keep what a command prints as JSON; ``words`` end in --json."""
        text = self.vmtune(*words, config=config, code=code)
        (self.folder / "documents" / name).write_text(text, encoding="ascii")

    def plan(self, name: str) -> None:
        """Keep a saved plan."""
        self.vmtune("plan", "-o", f"/root/{name}")
        (self.folder / "plans" / f"{name}.json").write_bytes(self.host.read(f"/root/{name}"))

    def declare(self, text: str, path: str = MAIN) -> None:
        self.host.write(path, text.encode(), mode="600")

    def keep_state(self, name: str) -> str:
        """Copy /var/lib/vmtune; return what this version reads out of it."""
        packed = self.host.command(["tar", "-C", STATE, "-c", "."])
        with tarfile.open(fileobj=io.BytesIO(_output(packed))) as tar:
            members = [m for m in tar if m.isdir() or m.name.endswith(ENDS)]
            tar.extractall(self.folder / name, members, filter="data")
        for path in (self.folder / name).rglob("*"):
            path.chmod(0o755 if path.is_dir() else 0o644)
        return self.host.run([PYTHON, "-c", EXPECTED]).stdout.strip()


ENDS = (".jsonl", ".private", ".json")


def _output(argv: list[str]) -> bytes:
    return subprocess.run(argv, capture_output=True, check=True).stdout


def tell(make: Maker) -> None:
    """Have the runs done, and keep what is printed on the way."""
    make.host.run([PYTHON, "-c", PREPARE])
    make.host.run("sync")
    make.declare(FIRST)
    make.document("plan-first.json", "plan", "--json")
    make.plan("first")
    as_alice = make.host.run(
        "/usr/local/bin/vmtune --config /home/alice/vmtune.yaml plan --json", user="alice"
    )
    (make.folder / "documents" / "plan-alice.json").write_text(as_alice.stdout, encoding="ascii")
    make.document("status-before.json", "status", "--json", code=2)
    make.document("doctor.json", "doctor", "--json")
    make.document("events-apply.jsonl", "apply", "--yes", "--json")
    make.document("status-after.json", "status", "--json")
    make.document("plan-in-sync.json", "plan", "--json")
    make.declare(ELSEWHERE, OTHER)
    make.vmtune("apply", "--yes", config=OTHER)
    make.declare(SECOND)
    make.plan("second")
    make.document("plan-second.json", "plan", "--json")
    # One action fails, then the next run is cut off in the middle, and one goes on from there.
    slow = "strace -f -qq -o /dev/null -e inject=fspick"
    make.vmtune("apply", "--yes", code=3, under=f"{slow}:error=EIO")
    make.vmtune("apply", "--yes", code=-9, under=f"{slow}:signal=KILL")
    make.document("events-saved-plan.jsonl", "apply", "--yes", "--json", "/root/second")
    make.document("events-stale.jsonl", "apply", "--yes", "--json", "/root/first", code=5)
    make.vmtune("revert", "--yes")
    make.document("measure.json", "measure", "--json", "--size", "1M", "--rounds", "1", "/srv/vm")
    make.document("defrag.jsonl", "defrag", "--json", "/srv/new")
    make.declare(WRONG)
    make.document("error.json", "plan", "--json", code=1)


def main() -> None:
    """Boot the host, have it written to, and put everything into the folder that is named."""
    folder, cache = Path(sys.argv[1]), sandbox.cache_folder()
    with Container(cache, fstab=ZSTD_FSTAB) as host, tempfile.TemporaryDirectory() as packed:
        wheels.install(host, wheels.wheelhouse(cache, CHECKOUT, Path(packed)))
        host.write("/home/alice/vmtune.yaml", FIRST.encode(), user="alice")
        make = Maker(host, folder)
        tell(make)
        first = make.keep_state("journal")
        for text in (FIRST, SECOND):
            make.declare(text)
            host.run([PYTHON, "-c", SOON, "--config", MAIN, "apply", "--yes"])
        second = make.keep_state("folded")
        release = host.run(["uname", "-r"]).stdout.strip()
    text = f'{{"journal": {first},\n"folded": {second}}}\n'
    (folder / "expected.json").write_text(text, encoding="ascii")
    for path in (path for path in folder.rglob("*") if path.is_file()):
        # The kernel's release names the machine that this was made on.
        path.write_bytes(path.read_bytes().replace(release.encode(), b"6.18.0"))


if __name__ == "__main__":
    main()
