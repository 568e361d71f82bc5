"""Rows of data that is moved: defragmented, rewritten."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.bench import fixtures
from tests.bench.ground import DATA, Ground, declare
from tests.bench.measure import Contestant, Row
from tests.btrfs.outside import run

_PEER = "btrfs defragment -r"
_QEMU = "qemu-img convert -W -m 8 -t none -T none -f raw -O raw"
_SIZE = 4 << 30
_MIB = 1 << 20


def _defragment(top: Path) -> str:
    """btrfs-progs' way, durable."""
    return f"btrfs filesystem defragment -r {top} && sync -f {top}"


def defragment(ground: Ground, _files: int) -> Row:
    """1 GiB in 4 files of 16,384 extents in random order, cold, onto the disk."""
    top = DATA / "scattered"

    def scattered() -> None:
        _emptied(top)
        for number in range(4):
            fixtures.scattered(top / f"disk{number}.raw", 256 << 20, number)
        fixtures.cold()

    return Row(
        "1 GiB defragmented",
        Contestant([*ground.vmtune, "defrag", str(top)], scattered),
        {_PEER: Contestant(["sh", "-c", _defragment(top)], scattered)},
        {_PEER: 0.95},
        by="wall",
        rounds=5,
        warm=False,
    )


def twice(ground: Ground, _files: int) -> Row:
    """A second run over what the first one left, where each file ends in a piece that stays."""
    top = DATA / "twice"
    ours = [*ground.vmtune, "defrag", str(top)]
    theirs = ["sh", "-c", _defragment(top)]

    def after(first: list[str]) -> None:
        _emptied(top)
        for number in range(16):
            _parted(top / f"disk{number:02}.raw", 8 * _MIB)
        run("sync", "-f", top)
        run(*first)
        run("sync", "-f", top)

    return Row(
        "128 MiB defragmented a second time",
        Contestant(ours, lambda: after(ours)),
        {_PEER: Contestant(theirs, lambda: after(theirs))},
        {_PEER: 0},
        by="written",
        rounds=3,
        warm=False,
    )


def _emptied(top: Path) -> None:
    shutil.rmtree(top, ignore_errors=True)
    top.mkdir()
    run("mount", "-o", "remount,compress=no", DATA)


def _parted(file: Path, size: int) -> None:
    """Its second half lies before its first: two pieces, which nothing makes one."""
    fixtures.past_the_cache(file, [size // 2, 0], size // 2)


def rewrite(ground: Ground, _files: int) -> Row:
    """An image of 4 GiB, half of it holes, cold, onto the disk: vmtune's is read back as well."""
    pool, source = _pool()
    declare(f"paths: [{{path: {pool}, nocow: true, existing: rewrite}}]")

    def cow() -> None:
        _cold(pool)
        run("cp", "--reflink=always", source, DATA / "new.raw")
        (DATA / "new.raw").rename(pool / "disk.raw")
        fixtures.cold()

    return Row(
        "an image of 4 GiB rewritten as nocow, read back",
        Contestant([*ground.vmtune, "-q", "apply", "--yes"], cow),
        {
            "cp --sparse=always": _durable("cp --sparse=always --reflink=never", pool, source),
            "qemu-img convert -W": _durable(_QEMU, pool, source),
        },
        {"cp --sparse=always": 1},
        by="wall",
        rounds=5,
        warm=False,
    )


def unverified(ground: Ground, _files: int) -> Row:
    """The copy alone, its reading back switched off here: what qemu-img does, and no more."""
    pool, source = _pool()
    driver = Path(__file__).with_name("unverified.py")
    ours = [*ground.python, "-I", str(driver), str(source), str(pool / "it")]
    return Row(
        "the same without reading back, the copy alone",
        Contestant(ours, lambda: _cold(pool)),
        {"qemu-img convert -W": _durable(_QEMU, pool, source)},
        {"qemu-img convert -W": 1.05},
        by="wall",
        rounds=5,
        warm=False,
    )


def _pool() -> tuple[Path, Path]:
    """An empty directory that is nocow, and an image outside of it."""
    pool, source = DATA / "pool", DATA / "half.raw"
    if not pool.exists():
        pool.mkdir()
        run("chattr", "+C", pool)
    if not source.exists():
        fixtures.half_sparse(source, _SIZE)
    return pool, source


def _cold(pool: Path) -> None:
    for path in pool.iterdir():
        path.unlink()
    fixtures.cold()


def _durable(command: str, pool: Path, source: Path) -> Contestant | None:
    """A peer that copies, where there is one, and its copy on the disk."""
    if not shutil.which(command.split(maxsplit=1)[0]):
        return None
    words = f"{command} {source} {pool}/it && sync {pool}/it"
    return Contestant(["sh", "-c", words], lambda: _cold(pool))


ROWS = (defragment, twice, rewrite, unverified)
