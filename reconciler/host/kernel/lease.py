"""Write leases (fcntl(2), F_SETLEASE): the kernel's word that nobody else has a file open.

While one is held, whoever opens the file waits until it is let go, or for
/proc/sys/fs/lease-break-time, 45 seconds; with O_NONBLOCK they get EWOULDBLOCK. Needs the
file's owner or CAP_LEASE. A lease belongs to an open file description and ends with it.
"""

from __future__ import annotations

import fcntl
from contextlib import contextmanager, suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


def take(fd: int) -> bool:
    """A write lease; False where anybody has the file open, mapped, or is just opening it.

    Taking one that is held already asks again: an opener counts from before
    it begins to wait, so that none is missed that F_GETLEASE does not show yet.
    """
    try:
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)
    except BlockingIOError:
        return False
    return True


def held(fd: int) -> bool:
    """Whether nobody waits for it to be let go, nor has been let in: one cheap call."""
    return fcntl.fcntl(fd, fcntl.F_GETLEASE) == fcntl.F_WRLCK


def kept(fd: int) -> bool:
    """Whether one that was taken was never lost, and nobody waits: asked again, as ``take``.

    After 45 seconds the kernel lets those in who wait, and ends the lease: to take it anew
    would say nothing of what they did until they closed the file.
    """
    return held(fd) and take(fd)


def release(fd: int) -> None:
    """Whoever waits goes on, at once; closing the last descriptor of it does the same."""
    with suppress(BlockingIOError):  # none is held
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)


@contextmanager
def unharmed() -> Iterator[None]:
    """Within it the signal of a lease break does nothing; by default it ends the process.

    It only says that somebody waits, which ``held`` says too, and of which file.
    """
    import signal  # noqa: PLC0415 - a plan only asks about leases

    before = signal.signal(signal.SIGIO, lambda _number, _frame: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGIO, before)
