"""Who holds a lease on a file that a look must heed (proc(5), locks), in words for people."""

from __future__ import annotations

import errno
import os
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reconciler.facts.tree import NAMED, Busy
from reconciler.linux import files, inode
from reconciler.linux.proc import named

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


_PID, _INODE = -4, -3  # columns of /proc/locks, from the end

_LOCK = "/run/vmtune.lock"
"""What a run holds from before its first lease to its end: the same as linux/lock.py."""

_CALM = 0.02
"""Seconds: no run takes its first lease so soon after it has the lock, as it plans again first."""


class BusyError(BlockingIOError):
    """A file was not opened, because the process ``pid`` has a write lease on it."""

    def __init__(self, path: str, pid: int) -> None:
        self.pid = pid
        super().__init__(errno.EWOULDBLOCK, "another process has a write lease on it", path)


@dataclass(eq=False, repr=False)
class Leases:
    """Who holds a file, asked of many files: the kernel is asked each time only while any is held.

    Where nobody has a lease and no run of vmtune is under way, none is asked for again for a
    moment (_CALM): a walk meets a million files.
    """

    calm: float = 0.0
    """Until when, as of time.monotonic()."""

    def holder(self, status: os.stat_result, within: int) -> int:
        """As the function of that name."""
        if time.monotonic() < self.calm:
            return 0
        data = _locks()
        if b"LEASE" not in data and not _running(data):
            self.calm = time.monotonic() + _CALM
            return 0
        return _holder(data, status, within)


def holder(status: os.stat_result, within: int) -> int:
    """The process that has a write lease on the file, other than this one; 0 where none has.

    ``within`` is the file's directory. The same number means another file in another subvolume,
    so the holder's descriptors decide; a process that may not be looked into counts as holding it.
    """
    return _holder(_locks(), status, within)


def by_others(status: os.stat_result, within: int) -> bool:
    """Whether another process has a write lease on the file."""
    return bool(holder(status, within))


@contextmanager
def opened(path: str, top: int) -> Iterator[int]:
    """A descriptor as of inode.beneath; BusyError, before anything is opened, where it is held."""
    if pid := holder(inode.status_beneath(path, top), top):
        raise BusyError(path, pid)
    with inode.beneath(path, top) as fd:
        yield fd


def numbers(within: int) -> frozenset[int]:
    """Inode numbers, in whatever subvolume of a filesystem, on which anybody has a write lease."""
    return frozenset(map(_number, _on_it(_leases(_locks()), within)))


def runs(pid: int) -> bool:
    """Whether a process is a run of vmtune that has the lock."""
    return _running(_locks()) == pid


def _holder(data: bytes, status: os.stat_result, within: int) -> int:
    if b":%d " % status.st_ino not in data:  # most files are not even named there
        return 0
    found = [
        words
        for words in _leases(data)
        if _number(words) == status.st_ino and int(words[_PID]) != os.getpid()
    ]
    holders = (int(words[_PID]) for words in _on_it(found, within))
    return next((pid for pid in holders if _has(pid, status)), 0)


def _number(words: list[bytes]) -> int:
    return int(words[_INODE].rpartition(b":")[2])


def _locks() -> bytes:
    fd = os.open("/proc/locks", os.O_RDONLY | os.O_CLOEXEC)
    try:
        found = b""
        while more := os.read(fd, 1 << 16):
            found += more
        return found
    finally:
        os.close(fd)


def _leases(data: bytes) -> list[list[bytes]]:
    """The lines of /proc/locks about write leases, those being broken, and a run's read leases.

    A lease that is being broken is shown with the type that it is to become.
    """
    found = [line.split() for line in data.splitlines() if b"LEASE" in line]
    run = b"%d" % _running(data) if found else b""
    return [
        words for words in found if b"WRITE" in words or b"BREAKING" in words or words[_PID] == run
    ]


def _on_it(leases: list[list[bytes]], within: int) -> list[list[bytes]]:
    """Those on the filesystem of a directory; all of them where that is on no mount."""
    device = _device(within) if leases else None
    return [each for each in leases if device in {None, each[_INODE].rpartition(b":")[0]}]


def _running(data: bytes) -> int:
    """The process that has the lock of vmtune's runs, other than this one; 0 where none has."""
    if b"FLOCK" not in data:
        return 0
    with suppress(OSError):
        status = os.lstat(_LOCK)  # /run is a tmpfs, whose number is the same in both
        device = b"%02x:%02x" % (os.major(status.st_dev), os.minor(status.st_dev))
        for words in (line.split() for line in data.splitlines() if b"FLOCK" in line):
            is_it = words[_INODE] == b"%s:%d" % (device, status.st_ino) and b"->" not in words
            if is_it and int(words[_PID]) != os.getpid():
                return int(words[_PID])
    return 0


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


_RUNS = f"{files.STATE}/runs"
"""One file for each run, named by its number: the same as run/journal.py."""


def holder_words(pid: int) -> str:
    """Say who has it: ``being rewritten by run 12 (pid 3)``, ``smbd (pid 3) has a lease on it``."""
    if not pid:
        return "another program has a lease on it"
    if runs(pid):
        number = _newest()
        return f"being rewritten by {f'run {number}' if number else 'another run'} (pid {pid})"
    return f"{named(pid)} has a lease on it"


def busy_words(held: Mapping[str, int]) -> tuple[Busy, ...]:
    """Those of a walk, by path, with who has them: as many as are named."""
    return tuple(Busy(path, holder_words(held[path])) for path in sorted(held)[:NAMED])


def _newest() -> int:
    """The number of the newest run: the one that has the lock; 0 where that cannot be seen."""
    try:
        numbers = (name.partition(".")[0] for name in os.listdir(_RUNS))
        return max((int(number) for number in numbers if number.isdigit()), default=0)
    except OSError:
        return 0
