"""The rows, one function each: what it sets up, and who runs against whom.

A new row is one function here with ``@row``; it gets the ground, and whatever
it leaves on the filesystem goes with it.
"""

from __future__ import annotations

import mmap
import os
import random
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from tests.bench import peers
from tests.bench.ground import DATA, IMAGES, Ground, declare
from tests.bench.measure import Contestant, Row
from tests.btrfs.outside import run

ROWS: dict[str, Callable[[Ground, int], Row]] = {}
Make = Callable[[Ground, int], Row]


def row(make: Make) -> Make:
    """Registers a row by the name of its function."""
    ROWS[make.__name__] = make
    return make


def _program(name: str, *arguments: object) -> Contestant | None:
    found = shutil.which(name)
    return Contestant([found, *map(str, arguments)]) if found else None


def _in_sync(ground: Ground) -> None:
    """All three settings there, for everyone."""
    ground.fresh()
    ground.three()
    run("sh", ground.script())
    run(*ground.vmtune, "apply", "--yes")
    run(*ground.vmtune, "status", "-q")


@row
def plan(ground: Ground, _files: int) -> Row:
    """Nothing to do: the run that scripts and timers make."""
    _in_sync(ground)
    pyinfra, ansible = peers.pyinfra(), peers.ansible()
    python = f"ansible_python_interpreter={sys.executable}"
    local = ["-i", "localhost,", "-c", "local", "-e", python]
    playbook = [*local, "--check", ground.playbook()]
    return Row(
        "plan, nothing to do",
        Contestant([*ground.vmtune, "plan"]),
        {
            "python -c pass": Contestant(ground.bare),
            "bash script": Contestant(["bash", ground.script()]),
            "pyinfra --dry": pyinfra
            and Contestant([str(pyinfra), "@local", ground.deploy(), "--dry", "-y"]),
            "ansible --check": ansible and Contestant([str(ansible), *playbook]),
        },
        {"python -c pass": 6},
        rounds=9,
    )


@row
def small(ground: Ground, _files: int) -> Row:
    """The same without a schedule, which has crontabs read and dates reckoned."""
    ground.fresh()
    declare(
        f"""\
        paths: [{{path: {IMAGES}, nocow: true}}]
        mounts: [{{target: {DATA}, options: {{compress: no}}}}]
        """
    )
    run(*ground.vmtune, "apply", "--yes")
    bare = {"python -c pass": Contestant(ground.bare)}
    ours = Contestant([*ground.vmtune, "plan"])
    return Row("plan without schedules", ours, bare, {"python -c pass": 6}, rounds=15)


@row
def mistake(ground: Ground, _files: int) -> Row:
    """A key that is misspelt: found, and explained."""
    declare(f"paths: [{{path: {IMAGES}, nocwo: true}}]")
    wrong = Contestant([*ground.vmtune, "plan"], exits=frozenset({1}))
    bare = {"python -c pass": Contestant(ground.bare)}
    return Row("a mistake explained", wrong, bare, {"python -c pass": 12}, rounds=9)


@row
def apply(ground: Ground, _files: int) -> Row:
    """Three changes, from nothing to all done and on disk."""
    ground.three()
    ours = Contestant([*ground.vmtune, "apply", "--yes"], ground.fresh)
    script = {"bash script": Contestant(["bash", ground.script()], ground.fresh)}
    return Row("first apply of three changes", ours, script, {"bash script": 4}, by="wall")


@row
def many_paths(ground: Ground, _files: int) -> Row:
    """Ten thousand declared directories, all as they should be."""
    top = DATA / "many"
    paths = [top / f"{n // 100:03}" / f"{n:05}" for n in range(10_000)]
    top.mkdir()
    run("chattr", "+C", top)
    for path in paths:
        path.mkdir(parents=True)
    declare("paths:\n" + "".join(f"  - {{path: {path}, nocow: true}}\n" for path in paths))
    bare = {"python -c pass": Contestant(ground.bare)}
    return Row(
        "plan of 10,000 declared paths",
        Contestant([*ground.vmtune, "plan"]),
        bare,
        {"python -c pass": 6},
        rounds=3,
    )


@row
def scan(ground: Ground, files: int) -> Row:
    """The flag of every file below one directory."""
    top = DATA / "scan"
    top.mkdir()
    run("chattr", "+C", top)
    for number in range(files // 1000):
        folder = top / f"{number:04}"
        folder.mkdir()
        for each in range(1000):
            (folder / f"{each:04}").write_bytes(b"x" * 100)
    os.sync()
    declare(f"paths: [{{path: {top}, nocow: true}}]")
    return Row(
        f"nocow flags of {files:,} files",
        Contestant([*ground.vmtune, "plan"]),
        {"lsattr -R": _program("lsattr", "-R", top)},
        {"lsattr -R": 0.4},
        rounds=5,
    )


@row
def fragments(ground: Ground, _files: int) -> Row:
    """The extents of one image that was written at random."""
    top = DATA / "fragmented"
    top.mkdir()
    run("mount", "-o", "remount,compress=no", DATA)
    file = top / "disk.raw"
    _fragmented(file)
    run("chattr", "+C", top)  # behind it: nothing but the image is left to be told
    declare(f"paths: [{{path: {top}, nocow: true, allow: [snapshots]}}]")
    return Row(
        "extents of a file with 131,072",
        Contestant([*ground.vmtune, "plan"]),
        {"filefrag": _program("filefrag", file), "compsize": _program("compsize", file)},
        {"filefrag": 0.25},
        rounds=5,
    )


def _fragmented(file: Path, extents: int = 131_072, block: int = 4096) -> None:
    """Every second block written once more: each of them moves, and parts its neighbours."""
    fd = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        for _ in range(extents // 256):
            os.write(fd, b"x" * (block * 256))
        os.fsync(fd)
        for number in range(0, extents, 2):
            os.pwrite(fd, b"y" * block, number * block)
        os.fsync(fd)
    finally:
        os.close(fd)


@row
def defragment(ground: Ground, _files: int) -> Row:
    """1 GiB in 4 files of 65,536 extents in random order, cold, onto the disk."""
    top = DATA / "scattered"

    def scattered() -> None:
        shutil.rmtree(top, ignore_errors=True)
        top.mkdir()
        run("mount", "-o", "remount,compress=no", DATA)
        for number in range(4):
            _scattered(top / f"disk{number}.raw", 256 << 20, number)
        run("sync", "-f", top)
        Path("/proc/sys/vm/drop_caches").write_text("3")

    peer = shutil.which("btrfs")
    durable = f"{peer} filesystem defragment -r {top} && sync -f {top}"
    return Row(
        "1 GiB defragmented",
        Contestant([*ground.vmtune, "defrag", str(top)], scattered),
        {"btrfs defragment -r": Contestant(["sh", "-c", durable], scattered) if peer else None},
        {"btrfs defragment -r": 0.95},
        by="wall",
        rounds=5,
    )


def _scattered(file: Path, size: int, seed: int, block: int = 16 << 10) -> None:
    """Blocks written past the cache, in random order: each one is an extent of its own."""
    order = list(range(0, size, block))
    random.Random(seed).shuffle(order)  # noqa: S311 - an order
    data = mmap.mmap(-1, block)  # aligned, as O_DIRECT wants it
    data.write(os.urandom(block))
    fd = os.open(file, os.O_RDWR | os.O_CREAT | os.O_DIRECT, 0o644)
    try:
        for at in order:
            os.pwrite(fd, data, at)
    finally:
        os.close(fd)


@row
def rewrite(ground: Ground, _files: int) -> Row:
    """An image of 3 GiB, half of it holes, cold, onto the disk: vmtune's is read back as well."""
    pool, source = DATA / "pool", DATA / "half.raw"
    pool.mkdir()
    run("chattr", "+C", pool)
    _half_sparse(source, 3 << 30)
    declare(f"paths: [{{path: {pool}, nocow: true, existing: rewrite}}]")

    def cold() -> None:
        for path in pool.iterdir():
            path.unlink()
        os.sync()
        Path("/proc/sys/vm/drop_caches").write_text("3")

    def cow() -> None:
        cold()
        run("cp", "--reflink=always", source, DATA / "new.raw")
        (DATA / "new.raw").rename(pool / "disk.raw")
        os.sync()

    def durable(command: str) -> Contestant | None:
        if not shutil.which(command.split(maxsplit=1)[0]):
            return None
        return Contestant(["sh", "-c", f"{command} {source} {pool}/it && sync {pool}/it"], cold)

    return Row(
        "an image rewritten as nocow",
        Contestant([*ground.vmtune, "-q", "apply", "--yes"], cow),
        {
            "qemu-img convert -W": durable(
                "qemu-img convert -W -m 8 -t none -T none -f raw -O raw"
            ),
            "cp --sparse=always": durable("cp --sparse=always --reflink=never"),
        },
        {"cp --sparse=always": 1},
        by="wall",
        rounds=5,
    )


def _half_sparse(file: Path, size: int) -> None:
    """Stretches of 64 KiB to 8 MiB, every second of them a hole."""
    chance = random.Random(5)  # noqa: S311 - lengths
    with open(file, "wb") as new:
        while (at := new.tell()) < size:
            length = min(chance.randrange(16, 2048) * 4096, size - at)
            if chance.random() < 0.5:
                new.write(os.urandom(length))
            else:
                new.seek(length, os.SEEK_CUR)
        new.truncate(size)
