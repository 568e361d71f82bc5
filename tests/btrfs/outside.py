"""What others say of the host: lsattr, the kernel's own tables, btrfs-progs. Never our readers."""

import ctypes
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

from tests.btrfs.sandbox import TOP

_libc = ctypes.CDLL(None)

PYTHON = Path(sys.executable).name
"""What the kernel calls a process that runs the Python of these tests: proc_pid_comm(5)."""


def run(*argv: str | Path, **options: object) -> str:
    """Standard output of a program that succeeded; a failure carries what it printed."""
    done = subprocess.run(  # type: ignore[call-overload]
        [str(word) for word in argv],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        **options,
    )
    if done.returncode:
        raise AssertionError(f"{shlex.join(map(str, argv))}: {done.returncode}: {done.stdout}")
    return str(done.stdout)


def sync() -> None:
    """The sandbox's filesystems alone: tests beside these may count on what is not on disk."""
    with open("/proc/self/mountinfo", "rb") as file:
        rows = [line.split() for line in file]
    tops = tuple(bytes(TOP / name) for name in ("shared", "t"))
    ours = {row[2]: row[4] for row in rows if row[4].startswith(tops)}
    for target in ours.values():
        path = re.sub(rb"\\(\d{3})", lambda found: bytes([int(found[1], 8)]), target)
        fd = os.open(path, os.O_RDONLY)
        _libc.syncfs(fd)
        os.close(fd)


def attributes(path: Path) -> set[str]:
    """The letters of lsattr(1): {"C"}."""
    return set(run("lsattr", "-d", path).split()[0]) - {"-"}


def is_nocow(path: Path) -> bool:
    return "C" in attributes(path)


def mountinfo(target: Path | str) -> tuple[list[str], list[str]]:
    """The mount's own options, and those of its filesystem; proc(5), read here by hand."""
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        rows = [line.split() for line in file]
    row = [row for row in rows if row[4] == str(target)][-1]
    return row[5].split(","), row[row.index("-") + 3].split(",")


def compression(target: Path | str) -> list[str]:
    """The compress options that the kernel shows for a mount; none when it is off."""
    return [word for word in mountinfo(target)[1] if word.startswith("compress")]


def fragments(path: Path) -> int:
    """The extents that filefrag(8) counts."""
    found = re.search(r"(\d+) extents? found", run("filefrag", path))
    assert found
    return int(found[1])


def identity(path: Path | str) -> tuple[int, int, bytes]:
    """Inode, time of change and content: the same only for a file that nobody touched."""
    status = os.stat(path)
    return status.st_ino, status.st_mtime_ns, Path(path).read_bytes()


def tree(*tops: Path | str) -> dict[str, tuple[object, ...]]:
    """Everything below some folders that a change would show in."""
    found: dict[str, tuple[object, ...]] = {}
    for top in tops:
        for folder, folders, files in os.walk(top):
            for path in (folder, *(f"{folder}/{name}" for name in (*folders, *files))):
                status = os.lstat(path)
                found[path] = (status.st_ino, status.st_mode, status.st_uid, status.st_ctime_ns)
    return found
