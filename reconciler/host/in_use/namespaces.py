"""Every mount namespace of this host: what is mounted in it, and a way to resolve its paths.

A namespace lives as long as a process is in it, a bind mount of its file in /proc (nsfs) is
there, or a descriptor of that file is open. Linux 6.12 lists all of them (NS_MNT_GET_NEXT in
linux/nsfs.h); before that they are looked for in all three places. Each is entered by a thread of
this process (setns(2)), which sees all its mounts: /proc/PID/mountinfo leaves out what lies outside
of the process's own root.
"""

from __future__ import annotations

import errno
import os
import struct
import threading
from contextlib import ExitStack, suppress

from reconciler.host.kernel import inode, ioctl, proc
from reconciler.host.kernel.libc import libc
from reconciler.host.kernel.proc import in_brackets, named
from reconciler.value import dataclass, field

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_CLONE_FS, _CLONE_NEWNS = 0x200, 0x20000  # linux/sched.h
_INFO = struct.Struct("=IIQ")  # struct mnt_ns_info, its size first
_NEXT = ioctl.number(ioctl.READ, 0xB7, 11, _INFO.size)  # NS_MNT_GET_NEXT
_PREVIOUS = ioctl.number(ioctl.READ, 0xB7, 12, _INFO.size)  # NS_MNT_GET_PREV
_KIND = ioctl.number(ioctl.NONE, 0xB7, 3, 0)  # NS_GET_NSTYPE
_INITIAL = 0xEFFFFFFC  # PROC_PID_INIT_INO of the initial process namespace (linux/proc_ns.h)


@dataclass(frozen=True, slots=True)
class Row:
    """One mount: as in formats.mountinfo.Mount, not decoded, since few of them matter."""

    parent: int
    device: bytes
    root: bytes
    target: bytes
    rest: bytes

    @property
    def kind(self) -> bytes:
        """The filesystem's type."""
        return self.rest.split(b" - ", 1)[-1].split(b" ", 1)[0]


@dataclass(slots=True)
class Namespace:
    """``pid`` is a process in it, 0 where none is; ``roots`` are O_PATH descriptors.

    The first root is the namespace's own, the others are those that processes in it have.
    """

    pid: int
    is_own: bool
    mounts: dict[int, Row]
    roots: list[int]

    words: str
    """How its mount points are told from those of this process: "" for its own."""


@dataclass(slots=True)
class _Found:
    """Namespaces while they are looked for: a process of each, and the roots that are there."""

    pids: dict[int, int] = field(default_factory=dict)
    roots: dict[int, dict[tuple[int, int], int]] = field(default_factory=dict)
    unseen: list[str] = field(default_factory=list)


def every(stack: ExitStack, kept: Iterable[str] = ()) -> tuple[list[Namespace], list[str]]:
    """All of them, and what could not be looked into, in words.

    ``kept`` are further paths of namespace files, /proc/PID/fd/N. The descriptors in the answer
    are closed with ``stack``.
    """
    own, found = os.stat("/proc/self/ns/mnt").st_ino, _by_process()
    files = _listed()
    is_whole = files is not None
    if is_whole:
        found.unseen.clear()  # each of its namespaces is in the list
    files = {} if files is None else files
    for path in () if is_whole else kept:
        _open(path, files)
    for number, pid in found.pids.items():
        if number not in files:
            _open(f"/proc/{pid}/ns/mnt", files)
    spaces: list[Namespace] = []
    while files:
        pending, files = files, {}
        seen = _entered(pending, found, own, stack)
        spaces += seen
        known = {*found.roots, *pending}
        if not is_whole:
            for space in seen:
                _mounted(space, known, files)
            found.roots |= {number: {} for number in files}
    return spaces, found.unseen


def in_container() -> bool:
    """Whether this process is in a process namespace of its own: others are not seen from it."""
    return os.stat("/proc/self/ns/pid").st_ino != _INITIAL


def _by_process() -> _Found:
    found = _Found()
    for name in os.listdir("/proc"):
        if not name.isdecimal():
            continue
        try:
            number = os.stat(f"/proc/{name}/ns/mnt").st_ino
            root = os.stat(f"/proc/{name}/root")
        except PermissionError:
            found.unseen.append(f"the mounts that {named(name)} sees may not be read")
            continue
        except OSError:  # it ended
            continue
        found.pids.setdefault(number, int(name))
        found.roots.setdefault(number, {}).setdefault((root.st_dev, root.st_ino), int(name))
    return found


def _listed() -> dict[int, int] | None:
    """Descriptors of all namespaces by number; None where the kernel does not list them."""
    start = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    files = {os.fstat(start).st_ino: start}
    if os.geteuid():
        _close(files)
        return None
    for request in (_NEXT, _PREVIOUS):
        fd = start
        while True:
            buffer = bytearray(_INFO.pack(_INFO.size, 0, 0))
            try:
                fd = _next(fd, request, buffer)
            except OSError as error:
                if error.errno == errno.ENOENT:
                    break
                _close(files)  # ENOTTY: an older kernel
                return None
            files[os.fstat(fd).st_ino] = fd
    return files


def _next(fd: int, request: int, buffer: bytearray) -> int:
    import fcntl  # noqa: PLC0415 - its result is the descriptor

    found: int = fcntl.ioctl(fd, request, buffer, True)
    os.set_inheritable(found, False)
    return found


def _close(files: dict[int, int]) -> None:
    for fd in files.values():
        os.close(fd)


def _open(path: str, files: dict[int, int]) -> None:
    """The namespace file, where it is one of a mount namespace and not there yet."""
    with suppress(OSError):  # it ended, or may not be opened: that is noted by process
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        number = os.fstat(fd).st_ino
        if number in files or not _is_mount_namespace(fd):
            os.close(fd)
        else:
            files[number] = fd


def _is_mount_namespace(fd: int) -> bool:
    return int(libc().ioctl(fd, _KIND)) == _CLONE_NEWNS


def _entered(files: dict[int, int], found: _Found, own: int, stack: ExitStack) -> list[Namespace]:
    """Look at each from within, in a thread: setns(2) changes the root of who calls it."""
    spaces: dict[int, Namespace] = {}
    within = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def enter() -> None:
        if libc().unshare(_CLONE_FS):
            return
        for number, fd in files.items():
            if libc().setns(fd, _CLONE_NEWNS) == 0:
                with suppress(OSError):
                    seen = _here("thread-self/mountinfo", "/", within, stack)
                    spaces[number] = _space(found.pids.get(number, 0), seen, is_own=number == own)

    try:
        with suppress(RuntimeError):  # no more threads may be started: what a process shows, then
            thread = threading.Thread(target=enter)
            thread.start()
            thread.join()
    finally:
        os.close(within)
        _close(files)
    for number in files:
        if number in spaces:
            _chroots(spaces[number], found.roots.get(number, {}), stack)
        else:
            _plainly(number, found, own, spaces, stack)
    return list(spaces.values())


def _here(info: str, root: str, within: int, stack: ExitStack) -> tuple[dict[int, Row], list[int]]:
    mounts = _rows(proc.drained(inode.openat2(info, within, os.O_RDONLY | os.O_CLOEXEC, 0)))
    fd = inode.openat2(root, within, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, 0)
    stack.callback(os.close, fd)
    return mounts, [fd]


def _space(pid: int, seen: tuple[dict[int, Row], list[int]], *, is_own: bool) -> Namespace:
    who = in_brackets(pid) if pid else "(in a mount namespace without a process)"
    return Namespace(pid, is_own, *seen, "" if is_own else f" {who}")


def _chroots(space: Namespace, roots: dict[tuple[int, int], int], stack: ExitStack) -> None:
    own = os.fstat(space.roots[0])
    for (device, number), pid in roots.items():
        if (device, number) != (own.st_dev, own.st_ino):
            with suppress(OSError):
                fd = os.open(f"/proc/{pid}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
                stack.callback(os.close, fd)
                space.roots.append(fd)


def _plainly(
    number: int, found: _Found, own: int, spaces: dict[int, Namespace], stack: ExitStack
) -> None:
    """What a process shows of a namespace that may not be entered, all where it has its root."""
    pid = found.pids.get(number, 0)
    if not pid:
        found.unseen.append("a mount namespace without a process may not be entered")
        return
    try:
        seen = _here(f"/proc/{pid}/mountinfo", f"/proc/{pid}/root", -1, stack)
    except OSError as error:
        if error.errno not in {errno.ENOENT, errno.ESRCH, errno.EINVAL}:  # it ended
            found.unseen.append(f"the mounts that {named(pid)} sees: {error.strerror}")
        return
    spaces[number] = _space(pid, seen, is_own=number == own)


def _mounted(space: Namespace, known: set[int], files: dict[int, int]) -> None:
    """Namespaces whose file is mounted in this one, as `ip netns` does it with others."""
    for row in space.mounts.values():
        if row.kind == b"nsfs" and row.root.startswith(b"mnt:["):
            number = int(row.root[5:-1])
            if number not in known:
                with suppress(OSError):
                    fd = resolved(space.roots[0], _path(row.target), os.O_RDONLY)
                    files.setdefault(number, fd)


def _path(shown: bytes) -> str:
    from reconciler.formats.fstab import unescape  # noqa: PLC0415 - hardly ever needed

    return unescape(shown)


def _rows(text: bytes) -> dict[int, Row]:
    found = {}
    for line in text.splitlines():
        number, parent, device, root, target, rest = line.split(b" ", 5)
        found[int(number)] = Row(int(parent), device, root, target, rest)
    return found


def resolved(root: int, path: str, flags: int = os.O_PATH) -> int:
    """A descriptor of a path as it is below another root, links included."""
    return inode.openat2(path, root, flags | os.O_CLOEXEC, inode.IN_ROOT | inode.NO_MAGIC_LINKS)
