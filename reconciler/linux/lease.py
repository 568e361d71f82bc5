"""Leases (fcntl(2), F_SETLEASE): taking them, and who holds one (proc(5), locks).

A write lease is granted only while nobody else has the file open, not even for reading, and
nobody has it mapped. Whoever opens the file then waits. A read lease is granted while nobody has
the file open for writing, on a descriptor that is itself open for reading only. Readers come and
go without a wait and without a trace; whoever opens the file for writing, or calls truncate(2),
waits. A write lease is turned into a read lease, and back, without a moment between the two in
which there is none (generic_add_lease in fs/locks.c).

Who waits does so until the lease is let go, or for /proc/sys/fs/lease-break-time, 45 seconds, at
the end of which the kernel ends the lease. With O_NONBLOCK the waiting open fails with
EWOULDBLOCK instead; for the holder that is the same. Needs the file's owner or CAP_LEASE. A lease
belongs to an open file description and ends with it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reconciler.facts.tree import NAMED, Busy
from reconciler.linux import files, inode, lock, process

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from contextlib import AbstractContextManager


WRITE, READ = fcntl.F_WRLCK, fcntl.F_RDLCK
"""The two sorts: nobody else may open the file; nobody else may open the file for writing."""


def take(fd: int, sort: int = WRITE) -> bool:
    """Take a lease, or turn the one that is held into one of that sort; False where it is refused.

    Taking what is held already asks again. Who is just opening the file counts from before it
    begins to wait, so none is missed that F_GETLEASE does not show yet.
    """
    with suppress(BlockingIOError):
        fcntl.fcntl(fd, fcntl.F_SETLEASE, sort)
        return True
    return False


def held(fd: int, sort: int = WRITE) -> bool:
    """Tell whether a lease is held, nobody waits for its end, and nobody was let in: one call."""
    return fcntl.fcntl(fd, fcntl.F_GETLEASE) == sort


def kept(fd: int, sort: int = WRITE) -> bool:
    """Tell whether a lease was never lost, and nobody waits for its end: asked again, as ``take``.

    After 45 seconds the kernel lets those in who wait, and ends the lease: to take it anew
    would say nothing of what they did until they closed the file.
    """
    return held(fd, sort) and take(fd, sort)


def release(fd: int) -> None:
    """Give up the lease: whoever waits goes on, at once, as when its last descriptor is closed."""
    with suppress(BlockingIOError):  # none is held
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)


@contextmanager
def unharmed() -> Iterator[None]:
    """Have the signal of a lease break (SIGIO) do nothing; by default it ends the process.

    The signal only says that somebody waits. ``held`` says that too, and of which file.
    """
    before = signal.signal(signal.SIGIO, lambda _number, _frame: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGIO, before)


_LOCKS = "/proc/locks"

_PID, _INODE = -4, -3  # its columns, from the end

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
        """Return who has a write lease on a file of the directory ``within``; 0 for nobody."""
        if time.monotonic() < self.calm:
            return 0
        data = process.kernel_file(_LOCKS)
        if b"LEASE" not in data and not lock.holder(data):
            self.calm = time.monotonic() + _CALM
            return 0
        return _holder(data, status, within)


def opened(path: str, top: int) -> AbstractContextManager[int]:
    """A descriptor as of inode.beneath; BusyError, before anything is opened, where it is held."""
    if pid := _holder(process.kernel_file(_LOCKS), inode.status_beneath(path, top), top):
        raise BusyError(path, pid)
    return inode.beneath(path, top)


def _holder(data: bytes, status: os.stat_result, within: int) -> int:
    """The process that has a write lease on the file, other than this one; 0 where none has.

    ``within`` is the file's directory. The same number means another file in another subvolume,
    so the holder's descriptors decide; a process that may not be looked into counts as holding it.
    """
    if b":%d " % status.st_ino not in data:  # most files are not even named there
        return 0
    leases = [
        words
        for words in _leases(data)
        if words[_INODE].endswith(b":%d" % status.st_ino) and int(words[_PID]) != os.getpid()
    ]
    # On no mount where it was unmounted lazily, with the directory still open.
    device = process.superblocks().get(process.mount_of(within)) if leases else None
    for words in leases:
        pid = int(words[_PID])
        if device in {None, words[_INODE].rpartition(b":")[0]} and _has(pid, status):
            return pid
    return 0


def _leases(data: bytes) -> list[list[bytes]]:
    """The lines of /proc/locks about write leases, those being broken, and a run's read leases.

    A lease that is being broken is shown with the type that it is to become.
    """
    found = [line.split() for line in data.splitlines() if b"LEASE" in line]
    run = b"%d" % lock.holder(data) if found else b""
    return [
        words for words in found if b"WRITE" in words or b"BREAKING" in words or words[_PID] == run
    ]


def _has(pid: int, status: os.stat_result) -> bool:
    try:
        names = os.listdir(f"/proc/{pid}/fd")
    except PermissionError:
        return True
    except OSError:  # it ended
        return False
    for name in names:
        with suppress(OSError):  # closed since
            if os.path.samestat(os.stat(f"/proc/{pid}/fd/{name}"), status):  # opens nothing
                return True
    return False


def holder_words(pid: int) -> str:
    """Say who has it: ``being rewritten by run 12 (pid 3)``, ``smbd (pid 3) has a lease on it``."""
    if not pid:
        return "another program has a lease on it"
    if lock.holder(process.kernel_file(_LOCKS)) != pid:
        return f"{process.named(pid)} has a lease on it"
    # The newest run has the lock. Each has a file, named by its number: the same as run/journal.py.
    runs = map(os.path.basename, files.listed(f"{files.STATE}/runs"))
    numbers = [int(run.partition(".")[0]) for run in runs if run.partition(".")[0].isdigit()]
    it = f"run {max(numbers)}" if numbers else "another run"
    return f"being rewritten by {it} (pid {pid})"


def busy_words(held: Mapping[str, int]) -> tuple[Busy, ...]:
    """Those of a walk, by path, with who has them: as many as are named."""
    return tuple(Busy(path, holder_words(held[path])) for path in sorted(held)[:NAMED])
