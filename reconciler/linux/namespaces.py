"""Every mount namespace of this host: what is mounted in it, and a way to resolve its paths.

A namespace lives as long as a process is in it, a bind mount of its file in /proc (nsfs) is
there, or a descriptor of that file is open. Linux 6.12 lists all of them (NS_MNT_GET_NEXT in
linux/nsfs.h); before that they are looked for in all three places. Each is entered by a thread of
this process (setns(2)), which sees all its mounts: /proc/PID/mountinfo leaves out what lies outside
of the process's own root.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from reconciler.formats.fstab import unescape
from reconciler.linux import inode, process, syscalls
from reconciler.linux.syscalls import closing, libc
from reconciler.value import Value

if TYPE_CHECKING:
    from collections.abc import Sequence


_CLONE_FS, _CLONE_NEWNS = 0x200, 0x20000  # linux/sched.h

_KIND = syscalls.number(syscalls.NONE, 0xB7, 3, 0)  # NS_GET_NSTYPE

_FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC

_INITIAL = 0xEFFFFFFC  # PROC_PID_INIT_INO of the initial process namespace (linux/proc_ns.h)


class Row(Value):
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


@dataclass(eq=False, repr=False)
class Namespace:
    """What is mounted in one, by the mounts' numbers."""

    is_own: bool
    mounts: dict[int, Row]
    words: str
    """How its mount points are told from those of this process: "" for its own."""
    works_in: str = ""
    """The working directory of a process in it; "" where none is."""
    places: dict[str, set[tuple[int, str]]] = field(default_factory=dict)
    """Where the names lead that were to be resolved from within: a mount's number, a path on it."""


Names = Callable[[Namespace], Iterable[str]]
"""Of a namespace whose mounts are known the absolute paths that are to be resolved in it."""


class _Tour:
    """The way of one thread through all namespaces: setns(2) changes the root of who calls it.

    Whatever /proc is there, that of this process is used, through a descriptor.
    """

    def __init__(self, names: Names, kept: Iterable[str]) -> None:
        self._spaces: dict[int, Namespace] = {}
        self._unseen: list[str] = []
        self._hidden: list[str] = []
        """Processes that do not show which namespace they are in."""
        self._failed: Exception | None = None
        self._names, self._kept = names, kept
        self._own = os.stat("/proc/self/ns/mnt").st_ino
        self._pids: dict[int, int] = {}
        self._roots: dict[int, dict[tuple[int, int], int]] = {}
        self._pending: list[int] = []
        self._proc = os.open("/proc", _FOLDER)

    def run(self) -> tuple[list[Namespace], list[str]]:
        """Go through them in a thread, then look at what that one could not enter."""
        try:
            self._by_process()
            thread = threading.Thread(target=self._apart)
            try:
                thread.start()
                thread.join()
            except RuntimeError:  # no more threads may be started
                self._go_and_return()
            if self._failed:
                raise self._failed
            for number, pid in self._pids.items():
                if number not in self._spaces:
                    self._plainly(number, pid)
            return list(self._spaces.values()), [*self._unseen, *self._hidden]
        finally:
            os.close(self._proc)
            for fd in self._pending:
                os.close(fd)

    def _by_process(self) -> None:
        for name in process.pids():
            try:
                number = os.stat(f"/proc/{name}/ns/mnt").st_ino
                root = os.stat(f"/proc/{name}/root")
            except PermissionError:
                self._hidden.append(f"the mounts that {process.named(name)} sees may not be read")
                continue
            except OSError:  # it ended
                continue
            self._pids.setdefault(number, int(name))
            roots = self._roots.setdefault(number, {})
            roots.setdefault((root.st_dev, root.st_ino), int(name))

    def _apart(self) -> None:
        """What goes wrong in the thread goes wrong for who waits for it."""
        try:
            self._go()
        except Exception as error:  # noqa: BLE001 - raised by the other thread
            self._failed = error

    def _go_and_return(self) -> None:
        """Do it in this thread, which gets its namespace, root and working directory back."""
        with (
            closing(self._open("self/ns/mnt")) as namespace,
            closing(os.open("/", _FOLDER)) as root,
            closing(os.open(".", _FOLDER)) as folder,
        ):
            try:
                self._go()
            finally:
                if libc().setns(namespace, _CLONE_NEWNS) == 0:  # else it never left
                    os.fchdir(root)
                    os.chroot(".")
                    os.fchdir(folder)

    def _go(self) -> None:
        if libc().unshare(_CLONE_FS):
            return
        if self._listed():
            self._hidden.clear()  # each namespace is in the list, whoever is in it
        else:
            for path in self._kept:
                self._enter_by(path.removeprefix("/proc/"))
        for number, pid in self._pids.items():
            if number not in self._spaces:
                self._enter_by(f"{pid}/ns/mnt")
        while self._pending:
            with closing(self._pending.pop()) as fd:
                self._enter(fd)

    def _listed(self) -> bool:
        """Enter all that the kernel lists; False where it does not (before Linux 6.12)."""
        for index in (11, 12):  # NS_MNT_GET_NEXT, NS_MNT_GET_PREV
            following = self._open("self/ns/mnt")
            while following >= 0:
                with closing(following) as fd:
                    try:
                        following = _next(fd, index)
                    except OSError as error:
                        following = -error.errno  # type: ignore[operator] # a system call sets it
                    self._enter(fd)
            if following != -errno.ENOENT:
                return False
        return True

    def _open(self, path: str, flags: int = os.O_RDONLY) -> int:
        return os.open(path, flags | os.O_CLOEXEC, dir_fd=self._proc)

    def _enter_by(self, path: str) -> None:
        # It ended; or it may not be opened, which is noted.
        with suppress(OSError), closing(self._open(path)) as fd:
            if int(libc().ioctl(fd, _KIND)) == _CLONE_NEWNS:
                self._enter(fd)

    def _enter(self, fd: int) -> None:
        """Look at a namespace from within."""
        number = os.fstat(fd).st_ino
        if number in self._spaces:
            return
        pid = self._pids.get(number, 0)
        if libc().setns(fd, _CLONE_NEWNS) == 0:
            with suppress(OSError):  # what a process of it shows is looked at then
                self._look(number, pid, "thread-self/mountinfo", "/")
        elif not pid:
            self._unseen.append("a mount namespace without a process may not be entered")

    def _plainly(self, number: int, pid: int) -> None:
        """See what a process shows of its namespace: all of it, where it has the first root."""
        try:
            self._look(number, pid, f"{pid}/mountinfo", f"/proc/{pid}/root")
        except OSError as error:
            if error.errno not in {errno.ENOENT, errno.ESRCH, errno.EINVAL}:  # it ended
                self._unseen.append(f"the mounts that {process.named(pid)} sees: {error.strerror}")

    def _look(self, number: int, pid: int, info: str, root: str) -> None:
        mounts = _rows(process.drained(self._open(info)))
        is_own = number == self._own
        space = Namespace(is_own, mounts, "" if is_own else f" {self._who(pid)}")
        with suppress(OSError):
            space.works_in = os.readlink(f"{pid}/cwd", dir_fd=self._proc) if pid else ""
        names = [*self._names(space)]
        with closing(self._open(root, _FOLDER)) as top:
            self._resolve(space, names, top)
            self._kept_in(space, top)
        # A process may have a root of its own: chroot(2).
        for other in self._roots.get(number, {}).values() if names else ():
            with suppress(OSError), closing(self._open(f"{other}/root", _FOLDER)) as fd:
                self._resolve(space, names, fd)
        self._spaces[number] = space

    def _who(self, pid: int) -> str:
        if not pid:
            return "(in a mount namespace without a process)"
        program = "a program"
        with suppress(OSError):
            program = process.drained(self._open(f"{pid}/comm")).decode("utf-8", "replace").strip()
        return f"(pid {pid}, {program})"

    def _resolve(self, space: Namespace, names: Sequence[str], root: int) -> None:
        for name in names:
            with suppress(OSError), closing(_resolved(root, name, os.O_PATH)) as fd:
                text = process.drained(self._open(f"thread-self/fdinfo/{fd}"))
                path = os.readlink(f"thread-self/fd/{fd}", dir_fd=self._proc)
                place = int(process.field(text, b"mnt_id")), path
                space.places.setdefault(name, set()).add(place)

    def _kept_in(self, space: Namespace, root: int) -> None:
        """Remember the namespaces whose file is mounted in this one (nsfs)."""
        for row in space.mounts.values():
            is_one = row.root.startswith(b"mnt:[") and row.kind == b"nsfs"
            if is_one and int(row.root[5:-1]) not in self._spaces:
                with suppress(OSError):
                    self._pending.append(_resolved(root, unescape(row.target), os.O_RDONLY))


def every(names: Names, kept: Iterable[str] = ()) -> tuple[list[Namespace], list[str]]:
    """Look at all of them, and say what could not be looked into.

    ``kept`` are further paths of namespace files, /proc/PID/fd/N.
    """
    return _Tour(names, kept).run()


def in_container() -> bool:
    """Whether this process is in a process namespace of its own: others are not seen from it."""
    return os.stat("/proc/self/ns/pid").st_ino != _INITIAL


def _next(fd: int, index: int) -> int:
    info = bytearray(struct.pack("=IIQ", 16, 0, 0))  # struct mnt_ns_info, its size first
    request = syscalls.number(syscalls.READ, 0xB7, index, len(info))
    found: int = fcntl.ioctl(fd, request, info, True)
    os.set_inheritable(found, False)
    return found


def _resolved(root: int, path: str, flags: int) -> int:
    """A descriptor of a path as it is below a root, links included."""
    return inode.openat2(path, root, flags | os.O_CLOEXEC, inode.IN_ROOT | inode.NO_MAGIC_LINKS)


def _rows(text: bytes) -> dict[int, Row]:
    found = {}
    for line in filter(None, text.split(b"\n")):  # a name may have a carriage return in it
        number, parent, device, root, target, rest = line.split(b" ", 5)
        found[int(number)] = Row(int(parent), device, root, target, rest)
    return found
