"""Is this file, or anything in this directory, in use; and by whom.

Descriptors (O_PATH ones too), maps, working directories and roots; loop devices, swap, SCSI and
NVMe targets; QEMU's locks.

One look answers about any number of files; a file that is held by a write lease is asked about
once more as it is exchanged. What is known of, and what no interface of the kernel tells, is the
table "In use" in docs/design.md. What mounts hold is read in mount_holds.py.
"""

from __future__ import annotations

import glob
import os
import stat
import struct
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from reconciler.errors import HostError
from reconciler.formats.fstab import unescape
from reconciler.linux import files, inode, mount_holds, namespaces, process, syscalls
from reconciler.linux.inode import NO_MAGIC_LINKS, openat2
from reconciler.linux.mount_holds import Mounted, Subject

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping


Inode = tuple[int, int]
"""st_dev and st_ino, as stat(2) gives them: a subvolume has a device number of its own."""


def inode_of(status: os.stat_result) -> Inode:
    """What tells one file from all others, while it is there."""
    return status.st_dev, status.st_ino


@dataclass(eq=False, repr=False)
class Opened:
    """``at`` are the paths in /proc by which processes have each inode on a device of no block.

    ``spaces`` are paths of namespace files, ``unseen`` processes that may not be looked into.
    """

    at: dict[Inode, list[str]] = field(default_factory=dict)
    maps: dict[str, frozenset[bytes]] = field(default_factory=dict)
    """Of each process the numbers of the inodes that it maps, whatever their filesystem."""
    spaces: list[str] = field(default_factory=list)
    unseen: list[str] = field(default_factory=list)

    def who(self, inodes: Collection[Inode]) -> dict[Inode, set[str]]:
        """Who has some inodes: "qemu-system-x86 (pid 123)"; those of nobody are left out."""
        found = {i: {_named(path) for path in self.at[i]} for i in inodes if i in self.at}
        for each, who in self._mapped(inodes):
            found.setdefault(each, set()).add(who)
        return found

    def handles(self, inode: Inode) -> set[str]:
        """Who has an inode by a descriptor that no lease sees (O_PATH)."""
        paths = (path for path in self.at.get(inode, ()) if "/fd/" in path)
        return {_named(path) for path in paths if _is_handle(path)}

    def _mapped(self, inodes: Collection[Inode]) -> Iterator[tuple[Inode, str]]:
        """Who maps them: /proc/PID/maps has other device numbers than stat(2) on Btrfs."""
        numbers = frozenset(b"%d" % number for _, number in inodes) if self.maps else frozenset()
        for pid, mapped in self.maps.items():
            if mapped.isdisjoint(numbers):
                continue
            for path in files.listed(f"/proc/{pid}/map_files"):
                with suppress(OSError):
                    if (found := inode_of(os.stat(path))) in inodes:
                        yield found, process.named(pid)


def look_at_processes(*, maps: bool) -> Opened:
    """Look at every process but this one, and at what they map if asked to."""
    found = Opened()
    spaces = os.stat("/proc/self/ns/mnt").st_dev
    own = str(os.getpid())
    for pid in process.pids():
        if pid == own:
            continue
        try:
            for path in _paths(pid):
                _note(path, spaces, found)
            if maps:
                text = process.kernel_file(f"/proc/{pid}/maps")
                rows = text.split(b"\n")[:-1]  # in a name there may be any byte but that
                found.maps[pid] = frozenset(row.split(maxsplit=5)[4] for row in rows)
        except PermissionError:
            found.unseen.append(process.named(pid))
        except OSError:  # it ended
            continue
    return found


def _note(path: str, spaces: int, found: Opened) -> None:
    try:
        status = os.stat(path)  # opens nothing, and breaks no lease
    except PermissionError:
        raise
    except OSError:  # closed, or ended, since it was listed
        return
    mode = status.st_mode
    if (stat.S_ISREG(mode) or stat.S_ISDIR(mode)) and not os.major(status.st_dev):
        found.at.setdefault(inode_of(status), []).append(path)
        if status.st_dev == spaces:
            found.spaces.append(path)


def _paths(pid: str) -> Iterator[str]:
    yield from _listed(f"/proc/{pid}/fd")
    # unshare(2) gives a thread a working directory of its own.
    has_threads = os.stat(f"/proc/{pid}/task").st_nlink > 3  # noqa: PLR2004 - one more for each
    for each in _listed(f"/proc/{pid}/task") if has_threads else [f"/proc/{pid}"]:
        yield f"{each}/cwd"
        yield f"{each}/root"


def _listed(folder: str) -> list[str]:
    return [f"{folder}/{name}" for name in os.listdir(folder)]


def _named(path: str) -> str:
    return process.named(path.split("/")[2])


def _is_handle(path: str) -> bool:
    with suppress(OSError):
        flags = process.field(process.kernel_file(path.replace("/fd/", "/fdinfo/")), b"flags")
        return bool(int(flags, 8) & os.O_PATH)
    return False


_TARGETS = {
    "/sys/kernel/config/target/core/fileio_*/*/udev_path": "the SCSI target",
    "/sys/kernel/config/nvmet/subsystems/*/namespaces/*/device_path": "the NVMe target",
}


def look_at_kernel() -> Iterator[tuple[Inode, str]]:
    """Each file that the kernel uses and that can be told, with who uses it."""
    yield from _loops()
    yield from _swaps()
    for pattern, who in _TARGETS.items():
        for path in glob.glob(pattern):
            with suppress(OSError):
                yield _named_in(path), f"{who} ({os.path.dirname(path)})"


def locked(inodes: Collection[Inode]) -> Iterator[tuple[Inode, str]]:
    """Files that anybody locks by open file description (fcntl(2)), by their number alone.

    The lock may be on any filesystem that is mounted here.
    """
    with suppress(OSError):
        rows = [line.split() for line in process.kernel_file("/proc/locks").split(b"\n")]
        places = (row[-3].rpartition(b":") for row in rows if b"OFDLCK" in row)
        here = set(process.superblocks().values())
        numbers = {int(number) for device, _, number in places if device in here}
        for inode in inodes:
            if inode[1] in numbers:
                yield inode, "a process that is not seen from here, locking it as QEMU does"


def _loops() -> Iterator[tuple[Inode, str]]:
    for path in glob.glob("/sys/block/loop*/loop"):
        name = path.split("/")[3]
        with suppress(OSError):  # detached since
            yield _backing(name), f"/dev/{name}"


def _backing(name: str) -> Inode:
    """The device knows its file; the name in sysfs may mean another one in this namespace."""
    try:
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
        fd = openat2(f"/dev/{name}", -1, flags, NO_MAGIC_LINKS)
    except OSError:  # not root, or a /dev of a container
        return _named_in(f"/sys/block/{name}/loop/backing_file")
    with syscalls.closing(fd):
        # LOOP_GET_STATUS64, struct loop_info64 (linux/loop.h): its device and inode come first.
        return struct.unpack_from("=QQ", syscalls.call(fd, 0x4C05, bytearray(232)))


def _swaps() -> Iterator[tuple[Inode, str]]:
    with suppress(OSError):  # a kernel without swap
        for line in process.kernel_file("/proc/swaps").split(b"\n"):
            if b" file" in line:
                with suppress(OSError):
                    yield (
                        inode_of(os.stat(unescape(line.partition(b" ")[0]))),
                        "the kernel, swapping to it",
                    )


def _named_in(path: str) -> Inode:
    """Find the file that a file in sysfs or configfs names."""
    return inode_of(os.stat(process.kernel_file(path).strip(b"\n")))


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
        for number, who in locked(inodes):
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
    opened = look_at_processes(maps=maps)
    found = mount_holds.look(opened.spaces)
    shared = Mounted([*mount_holds.held(found)], found.mounts)
    return Look(started, opened, dict(look_at_kernel()), found, shared)


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
    kernel = dict(look_at_kernel())
    return Look(0.0, look_at_processes(maps=True), kernel).who(inodes)


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
    callers = {process.named(pid) for pid in _callers()}
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
        pid = int(process.kernel_file(f"/proc/{pid}/stat").rpartition(b") ")[2].split()[1])
