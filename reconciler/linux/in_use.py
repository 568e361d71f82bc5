"""Is this file, or anything in this directory, in use; and by whom.

One look answers about any number of files; a file that is held by a write lease is asked about
once more as it is exchanged. What is known of, and what no interface of the kernel tells, is the
table "In use" in docs/design.md. Open files, maps, loop devices and swap are read in open_files.py,
mounts in mount_holds.py.
"""

from __future__ import annotations

import os
import stat
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from reconciler.errors import HostError
from reconciler.linux import inode, mount_holds, namespaces, open_files, proc
from reconciler.linux.mount_holds import Mounted, Subject

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from reconciler.linux.open_files import Inode, Opened


@dataclass(eq=False, repr=False)
class Look:
    """What was in use at one moment."""

    started: float
    """time.monotonic: what began before is in it."""
    opened: Opened
    kernel: Mapping[Inode, str]
    mounts: Mounted = field(default_factory=Mounted)
    shared: Mounted = field(default_factory=Mounted)
    """What the NFS server exports, in the form of mounts."""

    def who(self, inodes: Collection[Inode]) -> Mapping[Inode, tuple[str, ...]]:
        """Who has files or directories, in words; what nobody has is left out."""
        found = self.opened.who(inodes)
        for number, who in self.kernel.items():
            if number in inodes:
                found.setdefault(number, set()).add(who)
        for number, who in open_files.locked(inodes):
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
    opened = open_files.look_at_processes(maps=maps)
    found = mount_holds.look(opened.spaces)
    shared = Mounted([*mount_holds.held(found)], found.mounts)
    return Look(started, opened, dict(open_files.look_at_kernel()), found, shared)


def inode_of(status: os.stat_result) -> Inode:
    """What tells one file from all others, while it is there."""
    return status.st_dev, status.st_ino


def holders(of: os.stat_result) -> tuple[str, ...]:
    """Who has a file, looking at every process once: "qemu-system-x86 (pid 123)", "/dev/loop3".

    Only to name them: whether anybody has a file open is for a lease to say.
    """
    number = inode_of(of)
    return _who_now({number}).get(number, ())


def staying(seen: Look, inodes: Collection[Inode]) -> Mapping[Inode, tuple[str, ...]]:
    """Say who has files for longer than lsattr, a backup or another plan looks at one in passing.

    Where a look finds somebody, it is asked for those files once more after a moment. Whoever has
    one then, and had it before, is told: two who pass by one after the other are no user either.
    """
    before = seen.who(inodes)
    if not before:
        return before
    time.sleep(0.15)  # who only looks at an image in passing has closed it by then
    now = _who_now(before.keys())
    both = {key: tuple(name for name in now[key] if name in before[key]) for key in now}
    return {key: names for key, names in both.items() if names}


def _who_now(inodes: Collection[Inode]) -> Mapping[Inode, tuple[str, ...]]:
    kernel = dict(open_files.look_at_kernel())
    return Look(0.0, open_files.look_at_processes(maps=True), kernel).who(inodes)


def used(paths: Iterable[str]) -> Mapping[str, str]:
    """Say how some files and directories are used, in words; what is free, or gone, is left out.

    Nothing is opened but the directory that each lies in. What an open file in a directory makes
    of the directory is not asked.
    """
    found: dict[str, str] = {}
    seen = look()
    for path in paths:
        with suppress(OSError):
            if words := _used(path, seen):
                found[path] = words
    return found


def _used(path: str, seen: Look) -> str:
    status = os.stat(path, follow_symlinks=False)
    it, folder = inode_of(status), stat.S_ISDIR(status.st_mode)
    if who := seen.who({it}).get(it, ()):
        return f"in use by {' and '.join(who)}"
    within, _, name = path.rpartition("/")
    with inode.directory(path if folder else within or "/") as fd:
        mounts, shared = seen.subject(fd), seen.exported(fd)
        shown = mounts.anywhere() if folder else mounts.used(name)
        exported = shared.anywhere() if folder else shared.used(name)
    if shown:
        return f"it is {shown[0]}"
    return f"{exported[0]} is exported by NFS" if exported else ""


def users_named(status: os.stat_result) -> str:
    """Who has a file, in words; also where nobody can be named."""
    who: tuple[str, ...] = ()
    with suppress(OSError):
        who = holders(status)
    return ", ".join(who) or "a program that cannot be named"


_last: list[Look] = []
"""The last look of this process, at most one."""


def use_unopened(fd: int, after: float | None = None) -> tuple[str, str] | None:
    """How an open file is used without being opened; None where it is not.

    The first word is "open", "mounted", "exported" or "unseen"; then it is told in words.
    ``after`` (time.monotonic) is when the look must have begun at the earliest; without it ten
    seconds ago. The look that decides is the last one: it must begin after the file lost its name.
    """
    now = time.monotonic()
    seen = _look(now - 10.0 if after is None else after)
    found = _use(seen, fd)
    if found and seen.started < now:  # it may be over by now, or its filesystem was just mounted
        found = _use(_look(now), fd)
    return found


def _use(seen: Look, fd: int) -> tuple[str, str] | None:
    if who := seen.handles(inode_of(os.fstat(fd))):
        return "open", f"in use by {' and '.join(who)}"
    if shown := seen.subject(fd).used():
        return "mounted", shown[0]
    if exported := seen.exported(fd).used():
        return "exported", f"{exported[0]} is exported by NFS"
    if seen.unseen:
        return "unseen", seen.unseen[0]
    return None


def _look(after: float) -> Look:
    if not (_last and _last[0].started >= after):
        _last[:] = [look(maps=False)]
    return _last[0]


def refuse_if_used(name: str, within: int, path: str) -> None:
    """Refuse to let an empty directory be removed that somebody uses: HostError names them.

    What called this program may stand in it: a shell does when its user is done there.
    """
    with inode.opened(name, within, os.O_DIRECTORY) as fd:
        if who := use_of_directory(fd):
            raise HostError(f"{path} stays: {who}", "end that, then run this again")


def use_of(path: str) -> str:
    """How a directory is used, in words; "" where it is not, or is gone."""
    with suppress(FileNotFoundError), inode.directory(path) as fd:
        return use_of_directory(fd)
    return ""


def use_of_directory(fd: int) -> str:
    """How an open directory is used, in words; "" where it is not."""
    it = inode_of(os.fstat(fd))
    seen = look(maps=False)
    callers = {proc.named(pid) for pid in _callers()}
    if who := [name for name in seen.who({it}).get(it, ()) if name not in callers]:
        return f"{', '.join(who)} has it open, or works in it"
    if shown := seen.subject(fd).anywhere():
        return f"it is {shown[0]}"
    spot = seen.mounts.spot(fd)
    if any(held.spot == spot for held in seen.shared.held):
        return "it is exported by NFS"
    return f"what is in use cannot be told: {seen.unseen[0]}" if seen.unseen else ""


def _callers() -> Iterator[int]:
    """The processes that this one comes from, the next one first."""
    pid = os.getppid()
    while pid > 0:
        yield pid
        pid = int(proc.whole(f"/proc/{pid}/stat").rpartition(b") ")[2].split()[1])
