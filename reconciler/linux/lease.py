"""Take, ask for and give up leases (fcntl(2), F_SETLEASE): the kernel tells who else opens a file.

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

import fcntl
import signal
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


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
