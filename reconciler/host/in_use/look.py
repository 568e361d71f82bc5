"""One look at everybody who uses files, asked about any number of files and directories."""

from __future__ import annotations

import os
import time
from contextlib import suppress

from reconciler.host.in_use import exports, kernel_users, mounted, namespaces, processes
from reconciler.host.in_use.mounted import Mounted, Subject
from reconciler.host.in_use.processes import Inode
from reconciler.value import dataclass

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

__all__ = ["Inode", "Look", "holders", "inode_of", "look"]


@dataclass(slots=True)
class Look:
    """What was in use at one moment.

    ``who`` has each inode; ``handles`` has it only by O_PATH, which no write lease sees.
    """

    started: float
    """time.monotonic: what began before is in it."""
    who: Mapping[Inode, tuple[str, ...]]
    handles: Mapping[Inode, tuple[str, ...]]
    mounts: Mounted
    shared: Mounted
    """What the NFS server exports, in the form of mounts."""
    hidden: tuple[str, ...]
    """Processes that may not be looked into: files that they read or write a lease still sees."""

    @property
    def unseen(self) -> tuple[str, ...]:
        """Mounts that could not be looked at, in words: nothing is known to be free of them."""
        return self.mounts.unseen

    @property
    def limits(self) -> tuple[str, ...]:
        """What was not looked at, and is no reason to refuse, in words."""
        found = []
        if self.hidden:
            more = f" and {len(self.hidden) - 1:,} more" if len(self.hidden) > 1 else ""
            found.append(f"what {self.hidden[0]}{more} holds without opening it is not seen")
        if namespaces.in_container():
            found.append("what is mounted outside this container is not seen")
        return tuple(found)

    def subject(self, fd: int) -> Subject:
        """What mounts make of an open file, or of an open directory and all in it."""
        return Subject(self.mounts, self.mounts.spot(fd))

    def exported(self, fd: int) -> Subject:
        """The same of the NFS server: its words are the exported directories."""
        return Subject(self.shared, self.mounts.spot(fd))


def look(devices: Collection[int], inodes: Collection[Inode] = ()) -> Look:
    """Look at processes, kernel and mounts, each once.

    ``devices`` are st_dev: of inodes elsewhere it is not noted who has them. ``inodes`` are those
    for which maps of memory and locks are looked at, too; a lease says that a file has none.
    """
    started = time.monotonic()
    opened = processes.look(devices, inodes)
    for inode, who in kernel_users.look():
        if inode[0] in devices:
            opened.who.setdefault(inode, set()).add(who)
    for inode, who in kernel_users.locked(inodes) if inodes else ():
        opened.who.setdefault(inode, {who})
    found = mounted.look(opened.spaces)
    return Look(
        started,
        {inode: tuple(sorted(names)) for inode, names in opened.who.items()},
        {inode: tuple(sorted(names)) for inode, names in opened.handles.items()},
        found,
        Mounted([*exports.held(found)], found.mounts),
        tuple(opened.unseen) if os.geteuid() == 0 else (),
    )


def inode_of(status: os.stat_result) -> Inode:
    """What tells one file from all others, while it is there."""
    return status.st_dev, status.st_ino


def holders(*of: os.stat_result) -> Mapping[Inode, tuple[str, ...]]:
    """Who has files, looking at every process once: "qemu-system-x86 (pid 123)", "/dev/loop3".

    Only to name them: whether anybody has a file open is for a lease to say. Files of nobody are
    left out.
    """
    inodes = {inode_of(status) for status in of}
    opened = processes.look({device for device, _ in inodes}, inodes)
    for inode, who in kernel_users.look():
        opened.who.setdefault(inode, set()).add(who)
    for inode, who in kernel_users.locked(inodes):
        opened.who.setdefault(inode, {who})
    return {i: tuple(sorted(opened.who[i])) for i in inodes if i in opened.who}


def named(status: os.stat_result) -> str:
    """Who has a file, in words; also where nobody can be named."""
    who: list[str] = []
    with suppress(OSError):
        who += holders(status).get(inode_of(status), ())
    return ", ".join(who) or "a program that cannot be named"
