"""What growth is measured by: one series for each number that may become large."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from tests.bench import fixtures
from tests.bench.ground import DATA, Ground, declare
from tests.bench.growth import Series
from tests.bench.measure import Contestant
from tests.bench.peers import program
from tests.bench.rows_look import EITHER, image
from tests.btrfs.outside import run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

There = dict[str, Contestant]


def _looks(ground: Ground, peer: Contestant | None) -> There:
    found = {
        "plan": Contestant([*ground.vmtune, "plan"]),
        "status": Contestant([*ground.vmtune, "status"], exits=EITHER),
    }
    return {**found, peer.argv[0].rpartition("/")[2]: peer} if peer else found


def _declared(ground: Ground, number: int) -> There:
    """Directories, all as they should be."""
    top = DATA / "declared"
    if not top.exists():
        top.mkdir()
        run("chattr", "+C", top)
    paths = [top / f"{each:04}" for each in range(number)]
    for path in paths:
        path.mkdir(exist_ok=True)
    declare("paths:\n" + "".join(f"  - {{path: {path}, nocow: true}}\n" for path in paths))
    return _looks(ground, None)


def _files(ground: Ground, number: int) -> There:
    top = fixtures.tree(number)
    declare(f"paths: [{{path: {top}, nocow: true}}]")
    return _looks(ground, program("lsattr", "-R", top))


def _extents(ground: Ground, number: int) -> There:
    return _looks(ground, program("filefrag", image(number)))


def _rewritten_extents(ground: Ground, number: int) -> There:
    """One image, in blocks that all lie apart; its data is shared with the one it came from."""
    source = DATA / "fragmented" / "disk.raw"
    if not source.exists() or source.stat().st_size < number * fixtures.BLOCK:
        image(number)
    size = number * fixtures.BLOCK
    clone = _rewritten(ground, lambda pool: fixtures.cloned(source, pool / "disk.raw", size))
    return {"extents": clone}


def _rewritten_images(ground: Ground, number: int) -> There:
    """Many of 16 KiB, for which there is less to copy than to wait for."""

    def fill(pool: Path) -> None:
        for each in range(number):
            (pool / f"{each:04}.raw").write_bytes(bytes(16 << 10))

    return {"images": _rewritten(ground, fill)}


def _rewritten(ground: Ground, fill: Callable[[Path], None]) -> Contestant:
    pool = DATA / "rewritten"
    declare(f"paths: [{{path: {pool}, nocow: true, existing: rewrite}}]")

    def cow() -> None:
        shutil.rmtree(pool, ignore_errors=True)
        pool.mkdir()
        fill(pool)
        run("chattr", "+C", pool)  # behind them: they stay copy-on-write
        os.sync()

    return Contestant([*ground.vmtune, "-q", "apply", "--yes"], cow)


def _tens(first: int, last: int) -> list[int]:
    return [10**power for power in range(first, last + 1)]


_MOVED = "rewriting by extents or by images"

SERIES = [
    Series("declared directories", "cpu", (1, 3, 10, 32, 100, 316, 1000), _declared),
    Series("files in a directory", "cpu", _tens(2, 6), _files),
    Series("extents of an image", "cpu", _tens(1, 6), _extents),
    Series("extents of an image, rewritten", "wall", _tens(1, 6), _rewritten_extents, 3, _MOVED),
    Series(
        "images of 16 KiB, rewritten",
        "wall",
        (10, 32, 100, 316, 1000),
        _rewritten_images,
        3,
        _MOVED,
    ),
]
