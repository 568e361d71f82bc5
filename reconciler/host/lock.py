"""One run at a time: a kernel lock, which goes with the process that holds it."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import contextmanager

from reconciler.host.people import caller
from reconciler.host.refused import Held, Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

PATH = "/run/vmtune.lock"


@contextmanager
def held() -> Iterator[None]:
    """Hold the lock; Held when another run does. The file stays: removing it would race."""
    try:
        fd = os.open(PATH, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise Refused(f"the lock {PATH} cannot be had: {error.strerror}") from None
    try:
        _take(fd)
        yield
    finally:
        os.close(fd)


def _take(fd: int) -> None:
    try:
        # flock(2) asks for no right to write: who may open the file may block every run.
        os.fchmod(fd, 0o600)
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        since = time.strftime("%Y-%m-%d %H:%M:%S")
        name = f"pid {os.getpid()}, user {caller.caller().name}, since {since}\n"
        os.ftruncate(fd, 0)
        os.pwrite(fd, name.encode(), 0)
    except BlockingIOError:
        who = os.pread(fd, 200, 0).decode("utf-8", "replace").strip() or "not named yet"
        raise Held(f"another vmtune is at work ({who})") from None
    except OSError as error:
        raise Refused(f"the lock {PATH} cannot be had: {error.strerror}") from None
