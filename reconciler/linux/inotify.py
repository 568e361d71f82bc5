"""Wait until somebody may have let go of a file (inotify(7)), or a mount came or went (proc(5)).

The kernel tells of each close of a file, by whoever and from whichever mount namespace, also by
a loop device or as a process ends. A hint is all that this is: who wakes up looks for himself.
Nothing is opened that is watched, so no lease breaks.
"""

from __future__ import annotations

import os
import select
import time
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

from reconciler.linux import syscalls

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


_LET_GO = 0x8 | 0x10 | 0x400 | 0x800  # IN_CLOSE_WRITE, _CLOSE_NOWRITE, _DELETE_SELF, _MOVE_SELF


@contextmanager
def watching(paths: Iterable[str]) -> Iterator[Callable[[float, float], None]]:
    """Watch some paths; a path that cannot be watched tells nothing.

    Of a directory the kernel tells what is closed directly in it as well.
    """
    poll, libc = select.poll(), syscalls.libc()
    with ExitStack() as stack:
        events = libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
        if events >= 0:  # else as many instances as may be are in use: who waits looks again
            stack.enter_context(syscalls.closing(events))
            poll.register(events, select.POLLIN)
            for path in dict.fromkeys(paths):
                libc.inotify_add_watch(events, os.fsencode(path), _LET_GO)
        mounts = os.open("/proc/self/mountinfo", os.O_RDONLY | os.O_CLOEXEC)
        stack.enter_context(syscalls.closing(mounts))
        poll.register(mounts, select.POLLPRI)

        def wait(least: float, most: float) -> None:
            """Return when a path may be free, not before ``least`` seconds nor after ``most``.

            What happens in the first seconds is found as they are over: who closes a thousand
            files a second keeps nobody busy.
            """
            time.sleep(min(least, most))
            poll.poll(max(0.0, most - least) * 1000)
            with suppress(BlockingIOError):
                while events >= 0 and os.read(events, 1 << 16):
                    pass

        yield wait
