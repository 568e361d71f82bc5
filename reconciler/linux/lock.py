"""One run at a time: a kernel lock, which goes with the process that holds it."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from reconciler.errors import Held, HostError
from reconciler.linux import files, users
from reconciler.linux.syscalls import closing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


PATH = "/run/vmtune.lock"

PATIENCE = 60.0
"""Seconds for which a run waits for another one."""

_FIRST, _LONGEST = 0.05, 0.1
"""Seconds between two tries: flock(2) has no time limit, and alarm(2) is not ours to set."""


@contextmanager
def held(waiting: Callable[[str, float], None]) -> Iterator[None]:
    """Hold the lock; wait for another run for up to PATIENCE seconds, then raise Held.

    ``waiting`` is told each holder that is waited for ("pid 7, user root, since ..."), and the
    seconds that are left. Ctrl-C ends the wait as KeyboardInterrupt.
    The file stays: removing it would race.
    """
    try:
        fd = os.open(PATH, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise _cannot(error) from None
    with closing(fd):
        _take(fd, waiting)
        try:
            yield
        finally:
            with suppress(OSError):  # it only names the holder; the lock itself goes with fd
                os.ftruncate(fd, 0)


def is_held() -> bool:
    """Tell whether another run holds the lock now; only a look, which keeps no run from it."""
    return bool(holder(files.read_gone("/proc/locks")))


def holder(locks: bytes) -> int:
    """The process that has the lock, other than this one, by /proc/locks; 0 where none has."""
    if b"FLOCK" not in locks:
        return 0
    with suppress(OSError):
        file = os.lstat(PATH)  # /run is a tmpfs, whose number is the same in both
        number = b"%02x:%02x:%d" % (os.major(file.st_dev), os.minor(file.st_dev), file.st_ino)
        for words in (line.split() for line in locks.splitlines() if b"FLOCK" in line):
            if number in words and b"->" not in words and int(words[4]) != os.getpid():
                return int(words[4])
    return 0


def _take(fd: int, waiting: Callable[[str, float], None]) -> None:
    try:
        # flock(2) asks for no right to write: who may open the file may block every run.
        os.fchmod(fd, 0o600)
        _wait(fd, waiting)
        since = time.strftime("%Y-%m-%d %H:%M:%S")
        name = f"pid {os.getpid()}, user {users.caller().name}, since {since}\n"
        os.ftruncate(fd, 0)
        os.pwrite(fd, name.encode(), 0)
    except BlockingIOError:
        raise Held(f"another vmtune is at work ({_holder(fd)})") from None
    except OSError as error:
        raise _cannot(error) from None


def _wait(fd: int, waiting: Callable[[str, float], None]) -> None:
    until, pause, told = time.monotonic() + PATIENCE, _FIRST, ""
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            left = until - time.monotonic()
            if left <= 0:
                raise
        else:
            return
        # Whoever took the lock just now has written its name by the second look.
        if pause > _FIRST and (holder := _holder(fd)) != told:
            waiting(holder, left)
            told = holder
        time.sleep(min(pause, left))
        pause = min(2 * pause, _LONGEST)


def _holder(fd: int) -> str:
    return os.pread(fd, 200, 0).decode("utf-8", "replace").strip() or "not named yet"


def _cannot(error: OSError) -> HostError:
    return HostError(f"the lock {PATH} cannot be had: {error.strerror}")
