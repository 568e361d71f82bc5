"""Whether somebody holds a write lease on a file, found out without opening it (proc(5), locks).

To open a leased file breaks the lease, also where that then fails: a plan that
looks would end the rewriting of an image by another run.
"""

from __future__ import annotations

import os

_PID, _INODE = -4, -3  # columns of /proc/locks, from the end


def by_others(status: os.stat_result, within: int) -> bool:
    """Whether another process has a write lease on the file; ``within`` is its directory.

    The same number means another file in another subvolume, so the holder's descriptors
    decide; a process that may not be looked into counts as holding it.
    """
    return any(
        _has(int(words[_PID]), status)
        for words in _leases(within)
        if _number(words) == status.st_ino and int(words[_PID]) != os.getpid()
    )


def numbers(within: int) -> frozenset[int]:
    """Inode numbers, in whatever subvolume of a filesystem, on which anybody has a write lease."""
    return frozenset(map(_number, _leases(within)))


def _number(words: list[bytes]) -> int:
    return int(words[_INODE].rpartition(b":")[2])


def _leases(within: int) -> list[list[bytes]]:
    """Lines of /proc/locks about the filesystem of a directory; of all where it is on no mount."""
    with open("/proc/locks", "rb") as file:
        found = [line.split() for line in file if b"LEASE" in line and b"WRITE" in line]
    device = _device(within) if found else None
    return [each for each in found if device in {None, each[_INODE].rpartition(b":")[0]}]


def _device(within: int) -> bytes | None:
    """A filesystem's number as /proc/locks has it: on Btrfs another one than stat(2)'s."""
    with open(f"/proc/self/fdinfo/{within}", "rb") as file:
        mount = next((line.split()[1] for line in file if line.startswith(b"mnt_id:")), b"")
    with open("/proc/self/mountinfo", "rb") as file:
        for line in file:
            words = line.split(maxsplit=3)
            if words[0] == mount:
                major, minor = words[2].split(b":")
                return b"%02x:%02x" % (int(major), int(minor))
    return None  # unmounted lazily, with the directory still open


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
