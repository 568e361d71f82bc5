"""An image in one file against the same in segments of 64 MiB, copy-on-write and nocow.

As root: python3 tests/bench/segments.py [FOLDER]. Fresh Btrfs on a loop device in FOLDER (or the
temporary folder), in a private mount namespace; about ten minutes. Prints one line for each way:
fragments, bytes given to the device by byte of payload, seconds; median, lowest and highest.
"""

import ctypes
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SIZE, SEGMENT, BLOCK = 1 << 30, 64 << 20, 4096
WRITES, SYNC_EACH, ROUNDS = 20_000, 32, 3
_CLONE_NEWNS = 0x20000
WAYS = [(nocow, size) for nocow in (False, True) for size in (SIZE, SEGMENT)]


def run(*argv: str | Path) -> str:
    done = subprocess.run([*map(str, argv)], check=True, capture_output=True, text=True)
    return done.stdout


@contextmanager
def filesystem(folder: Path) -> Iterator[tuple[Path, str]]:
    """A mounted Btrfs and the name of its block device."""
    image, target = folder / "image", folder / "mount"
    with image.open("wb") as new:
        new.truncate(6 * SIZE)
    run("mkfs.btrfs", "-q", "-f", "-m", "single", image)
    target.mkdir(exist_ok=True)
    run("mount", "-o", "loop", image, target)
    try:
        yield target, run("findmnt", "-no", "SOURCE", target).strip().rpartition("/")[2]
    finally:
        run("umount", target)
        image.unlink()


def made(folder: Path, size: int, *, nocow: bool) -> list[int]:
    """The image, written once from its beginning to its end; its files, open."""
    folder.mkdir()
    if nocow:
        run("chattr", "+C", folder)
    found = []
    for number in range(SIZE // size):
        fd = os.open(folder / f"{number:05}", os.O_RDWR | os.O_CREAT)
        for _ in range(size >> 20):
            os.write(fd, os.urandom(1 << 20))
        os.fsync(fd)
        found.append(fd)
    return found


def rewritten(files: list[int], size: int, seed: int) -> float:
    """Seconds for the random writes; each flush syncs every file written to since the last."""
    where = random.Random(seed)  # noqa: S311 - the same blocks each time, no secret
    data, dirty = os.urandom(BLOCK), set()
    begun = time.monotonic()
    for number in range(1, WRITES + 1):
        at = where.randrange(SIZE // BLOCK) * BLOCK
        os.pwrite(files[at // size], data, at % size)
        dirty.add(at // size)
        if number % SYNC_EACH == 0:
            for index in dirty:
                os.fdatasync(files[index])
            dirty.clear()
    return time.monotonic() - begun


def written(device: str) -> int:
    """Bytes that the device was given (Documentation/block/stat.rst)."""
    return int(Path(f"/sys/block/{device}/stat").read_text(encoding="ascii").split()[6]) * 512


def fragments(folder: Path) -> int:
    counts = (re.search(r"(\d+) extent", run("filefrag", path)) for path in folder.iterdir())
    return sum(int(found[1]) for found in counts if found)


def measured(folder: Path, size: int, seed: int, *, nocow: bool) -> tuple[float, float, float]:
    with filesystem(folder) as (target, device):
        files = made(target / "images", size, nocow=nocow)
        run("sync", "-f", target)
        before = written(device)
        seconds = rewritten(files, size, seed)
        run("sync", "-f", target)
        given = (written(device) - before) / (WRITES * BLOCK)
        count = fragments(target / "images")
        for fd in files:
            os.close(fd)
    return count, given, seconds


def main() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNS):
        sys.exit("this needs root")
    run("mount", "--make-rprivate", "/")
    found: dict[tuple[bool, int], list[tuple[float, float, float]]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as folder:
        for seed in range(ROUNDS):
            for nocow, size in WAYS if seed % 2 == 0 else WAYS[::-1]:
                found[nocow, size].append(measured(Path(folder), size, seed, nocow=nocow))
    for (nocow, size), rows in found.items():
        name = f"{'nocow' if nocow else 'copy-on-write'}, {SIZE // size} files of {size >> 20} MiB"
        for what, column in zip(
            ("fragments", "written", "s"), zip(*rows, strict=True), strict=True
        ):
            low, high = min(column), max(column)
            print(f"{name}: {what} {statistics.median(column):.1f} ({low:.1f} to {high:.1f})")


if __name__ == "__main__":
    main()
