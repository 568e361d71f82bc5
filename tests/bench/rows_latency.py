"""Rows of what a machine that runs feels while another image is moved: how long its writes take.

A steady writer stands for the machine: 4 KiB and fdatasync(2) each two milliseconds, into a nocow
file on the same filesystem. Compared is its 99th percentile.
"""

from __future__ import annotations

from pathlib import Path

from tests.bench import fixtures
from tests.bench.ground import DATA, Ground, declare
from tests.bench.measure import Contestant, Row
from tests.btrfs.outside import run

_SIZE = 2 << 30
_CP = "cp --reflink=never"
_PEER = "btrfs defragment -r"
_MACHINE = DATA / "machine" / "disk.raw"
_WRITER = str(Path(__file__).with_name("writer.py"))


def rewrite_beside(ground: Ground, _files: int) -> Row:
    """An image of 2 GiB without holes is rewritten, and nothing happens for three seconds."""
    pool, source = DATA / "felt", DATA / "full.raw"
    pool.mkdir()
    run("chattr", "+C", pool)
    run("dd", "if=/dev/urandom", f"of={source}", "bs=4M", f"count={_SIZE >> 22}", "status=none")
    declare(f"paths: [{{path: {pool}, nocow: true, existing: rewrite}}]")

    def cow() -> None:
        _emptied(pool)
        run("cp", "--reflink=always", source, DATA / "new.raw")
        (DATA / "new.raw").rename(pool / "disk.raw")
        fixtures.cold()

    def empty() -> None:
        _emptied(pool)
        fixtures.cold()

    copied = f"{_CP} {source} {pool}/it && sync {pool}/it"
    return Row(
        "p99 of a write while an image of 2 GiB is rewritten",
        Contestant([*ground.vmtune, "-q", "apply", "--yes"], cow),
        {
            "cp": Contestant(["sh", "-c", copied], empty),
            "nothing": Contestant(["sleep", "3"], empty),
        },
        {"cp": 1},
        by="felt",
        rounds=5,
        warm=False,
        beside=_beside(ground),
    )


def defragment_beside(ground: Ground, _files: int) -> Row:
    """256 MiB in 16,384 fragments in random order, cold."""
    top = DATA / "scattered-beside"

    def scattered() -> None:
        top.mkdir(exist_ok=True)
        _emptied(top)
        fixtures.scattered(top / "disk.raw", 256 << 20, 1)
        fixtures.cold()

    theirs = f"btrfs filesystem defragment -r {top} && sync -f {top}"
    return Row(
        "p99 of a write while 256 MiB are defragmented",
        Contestant([*ground.vmtune, "defrag", str(top)], scattered),
        {_PEER: Contestant(["sh", "-c", theirs], scattered)},
        {_PEER: 1},
        by="felt",
        rounds=5,
        warm=False,
        beside=_beside(ground),
    )


def _beside(ground: Ground) -> list[str]:
    """The writer and its file; the loop device passes each request to the disk as it comes."""
    if not _MACHINE.exists():
        _MACHINE.parent.mkdir()
        run("chattr", "+C", _MACHINE.parent)
        run("dd", "if=/dev/urandom", f"of={_MACHINE}", "bs=4M", "count=64", "status=none")
        run("losetup", "--direct-io=on", run("findmnt", "-no", "SOURCE", DATA).strip())
    return [*ground.python, "-I", _WRITER, str(_MACHINE)]


def _emptied(pool: Path) -> None:
    for path in pool.iterdir():
        path.unlink()


ROWS = (rewrite_beside, defragment_beside)
