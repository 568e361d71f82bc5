"""Rows of looking: at trees with many files, at images in many pieces."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.bench import fixtures
from tests.bench.ground import DATA, Ground, declare
from tests.bench.measure import Contestant, Row
from tests.bench.peers import program
from tests.btrfs.outside import run

if TYPE_CHECKING:
    from pathlib import Path

EITHER = frozenset({0, 2, 7})
"""An image that is there already and copy-on-write is a difference, or is refused (V101)."""


def status(ground: Ground, files: int) -> Row:
    """All that is known of a tree: its largest files one by one, the rest as sums."""
    number = min(files, 100_000)
    top = fixtures.tree(number)
    declare(f"paths: [{{path: {top}, nocow: true}}]")
    ours = Contestant([*ground.vmtune, "status"])
    peers = {"lsattr -R": program("lsattr", "-R", top)}
    return Row(f"status of a tree with {number:,} files", ours, peers, rounds=5)


def status_image(ground: Ground, _files: int) -> Row:
    """The bar and the fragments of one image in very many pieces."""
    file = image(500_000)
    ours = Contestant([*ground.vmtune, "status"], exits=EITHER)
    return Row("status of an image with 500,000 extents", ours, _counters(file), rounds=3)


def fragments(ground: Ground, _files: int) -> Row:
    """The extents of one image that was written at random."""
    file = image(131_072)
    ours = Contestant([*ground.vmtune, "plan"])
    aims = {"filefrag": 0.25}
    return Row("extents of a file with 131,072", ours, _counters(file), aims, rounds=5)


def image(extents: int) -> Path:
    """One in so many pieces, declared, in a directory that is as it should be."""
    top = DATA / "fragmented"
    run("mount", "-o", "remount,compress=no", DATA)
    if not top.exists():
        top.mkdir()
    run("chattr", "-C", top)
    fixtures.fragmented(top / "disk.raw", extents)
    run("chattr", "+C", top)  # behind it: nothing but the image is left to be told
    declare(f"paths: [{{path: {top}, nocow: true, allow: [snapshots]}}]")
    return top / "disk.raw"


def _counters(file: Path) -> dict[str, Contestant | None]:
    return {"filefrag": program("filefrag", file), "compsize": program("compsize", file)}


def scan(ground: Ground, files: int) -> Row:
    """The flag of every file below one directory."""
    top = _declared(files)
    name = f"nocow flags of {files:,} files"
    return _flags(ground, top, name, {"lsattr -R": 1.3}, rounds=3, memory=64)


def _declared(files: int) -> Path:
    top = fixtures.tree(files)
    declare(f"paths: [{{path: {top}, nocow: true}}]")
    return top


def _flags(ground: Ground, top: Path, name: str, aims: dict[str, float], **how: int) -> Row:
    peers = {"lsattr -R": program("lsattr", "-R", top)}
    return Row(name, Contestant([*ground.vmtune, "plan"]), peers, aims, **how)


ROWS = (status, status_image, fragments, scan)
