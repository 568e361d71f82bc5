"""One look at everybody who uses files, asked about any number of files and directories."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from reconciler.host.in_use import exports, kernel_users, mounted, namespaces, processes
from reconciler.host.in_use.mounted import Mounted, Subject
from reconciler.host.in_use.processes import Inode, Opened
from reconciler.value import dataclass

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

__all__ = ["Inode", "Look", "holders", "inode_of", "look", "staying"]


@dataclass(slots=True)
class Look:
    """What was in use at one moment."""

    started: float
    """time.monotonic: what began before is in it."""
    opened: Opened
    kernel: Mapping[Inode, str]
    mounts: Mounted
    shared: Mounted
    """What the NFS server exports, in the form of mounts."""

    def who(self, inodes: Collection[Inode]) -> Mapping[Inode, tuple[str, ...]]:
        """Who has files or directories, in words; what nobody has is left out."""
        found = self.opened.who(inodes)
        for number, who in self.kernel.items():
            if number in inodes:
                found.setdefault(number, set()).add(who)
        for number, who in kernel_users.locked(inodes):
            found.setdefault(number, {who})
        return {number: tuple(sorted(names)) for number, names in found.items()}

    def handles(self, inode: Inode) -> tuple[str, ...]:
        """Who has an inode only by O_PATH, which no write lease sees."""
        return tuple(sorted(self.opened.handles(inode)))

    @property
    def unseen(self) -> tuple[str, ...]:
        """Mounts that root could not look at, in words: nothing is known to be free of them."""
        return self.mounts.unseen if os.geteuid() == 0 else ()

    @property
    def limits(self) -> tuple[str, ...]:
        """What was not looked at, and is no reason to refuse, in words."""
        found = []
        if (hidden := self.opened.unseen) and os.geteuid() == 0:
            more = f" and {len(hidden) - 1:,} more" if len(hidden) > 1 else ""
            found.append(f"what {hidden[0]}{more} holds without opening it is not seen")
        if namespaces.in_container():
            found.append("what is mounted outside this container is not seen")
        return tuple(found)

    def subject(self, fd: int) -> Subject:
        """What mounts make of an open file, or of an open directory and all in it."""
        return Subject(self.mounts, self.mounts.spot(fd))

    def exported(self, fd: int) -> Subject:
        """The same of the NFS server: its words are the exported directories."""
        return Subject(self.shared, self.mounts.spot(fd))


def look(*, maps: bool = True) -> Look:
    """Look at processes, kernel and mounts, each once.

    Without ``maps`` what is mapped and closed is left out: a write lease says that a file is not.
    """
    started = time.monotonic()
    opened = processes.look(maps=maps)
    found = mounted.look(opened.spaces)
    shared = Mounted([*exports.held(found)], found.mounts)
    return Look(started, opened, dict(kernel_users.look()), found, shared)


def inode_of(status: os.stat_result) -> Inode:
    """What tells one file from all others, while it is there."""
    return status.st_dev, status.st_ino


def holders(*of: os.stat_result) -> Mapping[Inode, tuple[str, ...]]:
    """Who has files, looking at every process once: "qemu-system-x86 (pid 123)", "/dev/loop3".

    Only to name them: whether anybody has a file open is for a lease to say. Files of nobody are
    left out.
    """
    return _who_now({inode_of(status) for status in of})


_PASSING = 0.15
"""Seconds for which a program may have an image open that only looks at it in passing."""


def staying(seen: Look, inodes: Collection[Inode]) -> Mapping[Inode, tuple[str, ...]]:
    """Say who has files for longer than lsattr, a backup or another plan looks at one in passing.

    Where a look finds somebody, it is asked for those files once more after a moment. Whoever has
    one then, and had it before, is told: two who pass by one after the other are no user either.
    """
    before = seen.who(inodes)
    if not before:
        return before
    time.sleep(_PASSING)
    now = _who_now(before.keys())
    both = {key: tuple(name for name in now[key] if name in before[key]) for key in now}
    return {key: names for key, names in both.items() if names}


def _who_now(inodes: Collection[Inode]) -> Mapping[Inode, tuple[str, ...]]:
    nothing = Mounted()
    kernel = dict(kernel_users.look())
    return Look(0.0, processes.look(maps=True), kernel, nothing, nothing).who(inodes)


def named(status: os.stat_result) -> str:
    """Who has a file, in words; also where nobody can be named."""
    who: list[str] = []
    with suppress(OSError):
        who += holders(status).get(inode_of(status), ())
    return ", ".join(who) or "a program that cannot be named"
