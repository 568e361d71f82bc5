"""Wait until somebody may have let go of a file (inotify(7)), or a mount came or went (proc(5)).

The kernel tells of each close of a file, by whoever and from whichever mount namespace, also by
a loop device or as a process ends. A hint is all that this is: who wakes up looks for himself.
Nothing is opened that is watched, so no lease breaks.
"""

from __future__ import annotations

import os
import select
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from reconciler.linux import syscalls

if TYPE_CHECKING:
    from collections.abc import Iterable


_CLOSE_WRITE, _CLOSE_NOWRITE, _MOVE_SELF, _DELETE_SELF = 0x8, 0x10, 0x800, 0x400

_LET_GO = _CLOSE_WRITE | _CLOSE_NOWRITE | _MOVE_SELF | _DELETE_SELF


class Watch:
    """What tells that one of some paths may be free; a path that cannot be watched tells nothing.

    Of a directory the kernel tells what is closed directly in it as well.
    """

    def __init__(self, paths: Iterable[str]) -> None:
        self._paths = tuple(dict.fromkeys(paths))

    def __enter__(self) -> Self:
        libc = syscalls.libc()
        self._poll = select.poll()
        self._events = libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
        if self._events >= 0:  # else as many instances as may be are in use: who waits looks again
            self._poll.register(self._events, select.POLLIN)
            for path in self._paths:
                libc.inotify_add_watch(self._events, os.fsencode(path), _LET_GO)
        self._mounts = os.open("/proc/self/mountinfo", os.O_RDONLY | os.O_CLOEXEC)
        self._poll.register(self._mounts, select.POLLPRI)
        return self

    def __exit__(self, *_: object) -> None:
        for fd in (self._events, self._mounts):
            if fd >= 0:
                os.close(fd)

    def wait(self, least: float, most: float) -> None:
        """Return when something happened, but not before ``least`` seconds nor after ``most``.

        What happens in the first seconds is found as they are over: who closes a thousand files
        a second keeps nobody busy.
        """
        time.sleep(min(least, most))
        self._poll.poll(max(0.0, most - least) * 1000)
        if self._events >= 0:
            with suppress(BlockingIOError):
                while os.read(self._events, 1 << 16):
                    pass
