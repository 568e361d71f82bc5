"""Whether somebody holds a write lease on a file, found out without opening it (proc(5), locks).

To open a leased file breaks the lease, also where that then fails: a plan that
looks would end the rewriting of an image by another run.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_PID, _INODE = -4, -3  # columns of /proc/locks, from the end


def by_others(status: os.stat_result) -> bool:
    """Whether another process has a write lease on the file.

    /proc/locks knows a Btrfs by another device number than stat(2), so the
    holder's descriptors decide; a process that may not be looked into counts
    as holding it.
    """
    return any(_has(pid, status) for pid in _holders(status.st_ino) if pid != os.getpid())


def numbers() -> frozenset[int]:
    """Inode numbers, on whatever filesystem, of all files on which anybody has a write lease."""
    return frozenset(_number(words) for words in _leases())


def _holders(number: int) -> Iterator[int]:
    for words in _leases():
        if _number(words) == number:
            yield int(words[_PID])


def _number(words: list[bytes]) -> int:
    return int(words[_INODE].rpartition(b":")[2])


def _leases() -> Iterator[list[bytes]]:
    with open("/proc/locks", "rb") as file:
        for line in file:
            if b"LEASE" in line and b"WRITE" in line:
                yield line.split()


def _has(pid: int, status: os.stat_result) -> bool:
    try:
        names = os.listdir(f"/proc/{pid}/fd")
    except PermissionError:
        return True
    except OSError:  # it ended
        return False
    return any(_is(f"/proc/{pid}/fd/{name}", status) for name in names)


def _is(path: str, status: os.stat_result) -> bool:
    try:
        found = os.stat(path)  # opens nothing
    except OSError:  # closed since
        return False
    return (found.st_dev, found.st_ino) == (status.st_dev, status.st_ino)
