"""What is looked at and rewritten: trees of small files, images in many pieces."""

from __future__ import annotations

import fcntl
import mmap
import os
import random
import struct
from pathlib import Path

from tests.bench.ground import DATA
from tests.btrfs.outside import run

BLOCK = 4096
_FOLDER = 1000
_FICLONERANGE = 0x4020940D


def tree(files: int) -> Path:
    """Files of 100 bytes, a thousand a directory, all nocow, in a subvolume of their own.

    The largest tree that is not too large yet is grown: a million takes a minute to make.
    """
    there = {int(path.name.partition("-")[2]): path for path in DATA.glob("tree-*")}
    top = DATA / f"tree-{files}"
    begun = max((number for number in there if number <= files), default=0)
    if begun:
        there[begun].rename(top)
    else:
        run("btrfs", "subvolume", "create", top)
        run("chattr", "+C", top)
    for first in range(begun - begun % _FOLDER, files, _FOLDER):
        _filled(
            top / f"{first // _FOLDER:05}", range(max(first, begun), min(first + _FOLDER, files))
        )
    run("sync", "-f", top)
    return top


def _filled(folder: Path, numbers: range) -> None:
    """Relative to its descriptor: half the time is in looking up names."""
    folder.mkdir(exist_ok=True)
    within = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    for number in numbers:
        fd = os.open(f"{number % _FOLDER:03}", os.O_WRONLY | os.O_CREAT, 0o644, dir_fd=within)
        os.write(fd, b"x" * 100)
        os.close(fd)
    os.close(within)


def fragmented(file: Path, extents: int) -> None:
    """An image of so many blocks, each a fragment: grown, or cut.

    Every second block is written and put on the disk, then those between: neighbours lie apart.
    """
    file.parent.mkdir(exist_ok=True)
    fd = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        begun = os.fstat(fd).st_size // BLOCK
        os.ftruncate(fd, extents * BLOCK)
        for first in (begun, begun + 1):
            for number in range(first, extents, 2):
                os.pwrite(fd, b"x" * BLOCK, number * BLOCK)
            os.fsync(fd)
    finally:
        os.close(fd)


def cloned(source: Path, target: Path, size: int) -> None:
    """The beginning of a file as another one that shares its data (ioctl_ficlonerange(2))."""
    with open(source, "rb") as old, open(target, "wb") as new:
        fcntl.ioctl(new, _FICLONERANGE, struct.pack("=q3Q", old.fileno(), 0, size, 0))


def scattered(file: Path, size: int, seed: int, block: int = 16 << 10) -> None:
    """Blocks written past the cache, in random order: each one is an extent of its own."""
    order = list(range(0, size, block))
    random.Random(seed).shuffle(order)  # noqa: S311 - an order
    past_the_cache(file, order, block)


def past_the_cache(file: Path, order: list[int], block: int) -> None:
    """Blocks written in this order, each of them onto the disk before the next."""
    data = mmap.mmap(-1, block)  # aligned, as O_DIRECT wants it
    data.write(os.urandom(block))
    fd = os.open(file, os.O_RDWR | os.O_CREAT | os.O_DIRECT, 0o644)
    try:
        for at in order:
            os.pwrite(fd, data, at)
    finally:
        os.close(fd)


def half_sparse(file: Path, size: int) -> None:
    """Stretches of 64 KiB to 8 MiB, every second of them a hole."""
    chance = random.Random(5)  # noqa: S311 - lengths
    with open(file, "wb") as new:
        while (at := new.tell()) < size:
            length = min(chance.randrange(16, 2048) * BLOCK, size - at)
            if chance.random() < 0.5:
                new.write(os.urandom(length))
            else:
                new.seek(length, os.SEEK_CUR)
        new.truncate(size)


def cold() -> None:
    """All on the disk, and nothing in the caches."""
    os.sync()
    Path("/proc/sys/vm/drop_caches").write_text("3")
