"""One action of each sort that this tier tries, on a small host: what most tests here apply."""

import hashlib
import json
import os
import re
from pathlib import Path

from tests.btrfs.outside import compression, is_nocow, run
from tests.btrfs.sandbox import TOP
from tests.btrfs.world import FSTAB, Image, Ran, World

CRON_D = Path("/etc/cron.d")
ETC = TOP / "upper"
"""All that was ever written to /etc in the sandbox, and nothing that the machine itself does."""
STATE = Path("/var/lib/vmtune")
RUNS = STATE / "runs"
TEMPORARY = re.compile(r"\..*\.vmtune")


class Each:
    """``old`` is there and holds an image and plain things; ``new`` and its parent are missing."""

    def __init__(self, host: World) -> None:
        self.host = host
        self.image: Image = host.image("data", "compress=zstd")
        self.line = "# by hand\n" + self.image.line("{}").replace(" btrfs ", "\t btrfs  ")
        host.fstab(self.line.format("compress=zstd,x-mine"))
        self.old, self.new = host.area / "old", host.area / "made" / "new"
        (self.old / "sub").mkdir(parents=True)
        (self.old / "empty.raw").touch()
        run("chattr", "+C", self.old / "empty.raw")
        (self.old / "empty.raw").write_bytes(b"image" * 10_000)
        (self.old / "blank.raw").touch()
        self.declare()

    def declare(self, **more: object) -> None:
        """All of it; ``more`` replaces whole sections."""
        sections: dict[str, object] = {
            "paths": [
                {"path": str(self.old), "nocow": True},
                {"path": str(self.new), "nocow": True},
            ],
            "mounts": [{"target": str(self.image.path), "options": {"compress": "no"}}],
            "defrag": [{"path": str(self.old), "schedule": "0 3 * * 0", "scheduler": "cron"}],
        }
        self.host.declare(**{**sections, **more})  # type: ignore[arg-type]

    def jobs(self) -> list[Path]:
        return sorted(CRON_D.iterdir())

    def is_untouched(self) -> bool:
        return (
            not self.new.parent.exists()
            and not is_nocow(self.old)
            and not is_nocow(self.old / "sub")
            and not is_nocow(self.old / "blank.raw")
            and compression(self.image.path) == ["compress=zstd:3"]
            and FSTAB.read_text() == self.line.format("compress=zstd,x-mine")
            and not self.jobs()
        )

    def is_done(self) -> bool:
        return (
            is_nocow(self.new)
            and is_nocow(self.old)
            and is_nocow(self.old / "sub")
            and is_nocow(self.old / "blank.raw")
            and not compression(self.image.path)
            and FSTAB.read_text() == self.line.format("compress=no,x-mine")
            and len(self.jobs()) == 1
        )

    def nothing_is_lost(self) -> bool:
        """Between the two: each file old or new, whole, and no image touched."""
        return (
            FSTAB.read_text() in {self.line.format(f"compress={w},x-mine") for w in ("zstd", "no")}
            and (self.old / "empty.raw").read_bytes() == b"image" * 10_000
            and all(job.read_text().endswith("\n") for job in self.jobs() if job.name[0] != ".")
        )

    def reset(self) -> None:
        """As it was at first, without vmtune's help."""
        self.host.fstab(self.line.format("compress=zstd,x-mine"))
        for name in ("", "sub", "blank.raw"):
            run("chattr", "-C", self.old / name)
        for path in (self.new, self.new.parent):
            if path.exists():
                path.rmdir()
        for job in self.jobs():
            job.unlink()
        run("mount", "--options-source=disable", "-o", "remount,compress=zstd", self.image.path)
        run("rm", "-rf", STATE)
        assert self.is_untouched()


def strays(*more: Path) -> list[str]:
    """Temporary files anywhere that vmtune writes."""
    folders = [Path("/etc"), Path("/etc/systemd/system"), CRON_D, STATE, RUNS, *more]
    return [
        str(path)
        for folder in folders
        if folder.is_dir()
        for path in folder.iterdir()
        if TEMPORARY.fullmatch(path.name)
    ]


def contents(*tops: Path | str) -> dict[str, tuple[object, ...]]:
    """What a tree holds, byte for byte, with modes, owners and extended attributes, not times."""
    found: dict[str, tuple[object, ...]] = {}
    for top in tops:
        for folder, folders, files in os.walk(top):
            for path in (folder, *(f"{folder}/{name}" for name in (*folders, *files))):
                found[path] = _content(path)
    return found


def _content(path: str) -> tuple[object, ...]:
    status = os.lstat(path)
    data = ""
    if os.path.islink(path):
        data = os.readlink(path)
    elif os.path.isfile(path):
        data = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    names = sorted(os.listxattr(path, follow_symlinks=False))
    extended = [
        (name, os.getxattr(path, name, follow_symlinks=False))
        for name in names
        if not name.startswith("trusted.overlay.")
    ]
    return status.st_mode, status.st_uid, status.st_gid, data, extended


def everything(each: Each) -> tuple[object, ...]:
    """All that vmtune could change on this host."""
    letters = run("lsattr", "-R", "-d", each.host.area) + run("lsattr", "-R", each.host.area)
    live = compression(each.image.path) if each.image.path.is_mount() else []
    return contents(ETC, each.host.area, STATE), letters, live


def records() -> list[list[dict[str, object]]]:
    """The journal, read by hand: a list of lines for each run."""
    if not RUNS.is_dir():
        return []
    return [
        [json.loads(line) for line in path.read_text().splitlines()]
        for path in sorted(RUNS.glob("*.jsonl"))
    ]


def history(host: World) -> Ran:
    ran = host.vmtune("history")
    assert ran.code == 0, ran
    return ran
