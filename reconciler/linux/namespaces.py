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
from reconciler.linux import inode, proc, syscalls
from reconciler.linux.proc import named
from reconciler.linux.syscalls import libc
from reconciler.value import Value

if TYPE_CHECKING:
    from collections.abc import Sequence


_CLONE_FS, _CLONE_NEWNS = 0x200, 0x20000  # linux/sched.h

_INFO = struct.Struct("=IIQ")  # struct mnt_ns_info, its size first

_NEXT = syscalls.number(syscalls.READ, 0xB7, 11, _INFO.size)  # NS_MNT_GET_NEXT

_PREVIOUS = syscalls.number(syscalls.READ, 0xB7, 12, _INFO.size)  # NS_MNT_GET_PREV

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


@dataclass
class Namespace:
    """``pid`` is a process in it, 0 where none is; ``mounts`` are by their numbers."""

    pid: int
    is_own: bool
    mounts: dict[int, Row]
    words: str
    """How its mount points are told from those of this process: "" for its own."""
    works_in: str = ""
    """The working directory of that process."""
    places: dict[str, set[Place]] = field(default_factory=dict)
    """Where the names lead that were to be resolved from within."""


Place = tuple[int, str]
"""A mount by its number, and a path that is on it."""

Names = Callable[[Namespace], Iterable[str]]
"""Of a namespace whose mounts are known the absolute paths that are to be resolved in it."""


class _Tour:
    """The way of one thread through all namespaces: setns(2) changes the root of who calls it.

    Whatever /proc is there, that of this process is used, through a descriptor.
    """

    def __init__(self, names: Names, kept: Iterable[str]) -> None:
        self.spaces: dict[int, Namespace] = {}
        self.unseen: list[str] = []
        self._hidden: list[str] = []
        """Processes that do not show which namespace they are in."""
        self._failed: Exception | None = None
        self._names, self._kept = names, kept
        self._own = os.stat("/proc/self/ns/mnt").st_ino
        self._pids: dict[int, int] = {}
        self._roots: dict[int, dict[tuple[int, int], int]] = {}
        self._pending: list[int] = []
        self._proc = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def run(self) -> None:
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
                if number not in self.spaces:
                    self._plainly(number, pid)
            self.unseen += self._hidden
        finally:
            os.close(self._proc)
            for fd in self._pending:
                os.close(fd)

    def _by_process(self) -> None:
        for name in os.listdir("/proc"):
            if not name.isdecimal():
                continue
            try:
                number = os.stat(f"/proc/{name}/ns/mnt").st_ino
                root = os.stat(f"/proc/{name}/root")
            except PermissionError:
                self._hidden.append(f"the mounts that {named(name)} sees may not be read")
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
        namespace = self._open("self/ns/mnt")
        root, folder = (os.open(path, _FOLDER) for path in ("/", "."))
        try:
            self._go()
        finally:
            if libc().setns(namespace, _CLONE_NEWNS) == 0:  # else it never left
                os.fchdir(root)
                os.chroot(".")
                os.fchdir(folder)
            for fd in (namespace, root, folder):
                os.close(fd)

    def _go(self) -> None:
        if libc().unshare(_CLONE_FS):
            return
        if self._listed():
            self._hidden.clear()  # each namespace is in the list, whoever is in it
        else:
            for path in self._kept:
                self._enter_by(path.removeprefix("/proc/"))
        for number, pid in self._pids.items():
            if number not in self.spaces:
                self._enter_by(f"{pid}/ns/mnt")
        while self._pending:
            self._enter(self._pending.pop())

    def _listed(self) -> bool:
        """Enter all that the kernel lists; False where it does not (before Linux 6.12)."""
        for request in (_NEXT, _PREVIOUS):
            fd = self._open("self/ns/mnt")
            while True:
                try:
                    following = _next(fd, request)
                except OSError as error:
                    following = -error.errno  # type: ignore[operator] # a system call sets it
                self._enter(fd)
                if following < 0:
                    break
                fd = following
            if following != -errno.ENOENT:
                return False
        return True

    def _open(self, path: str) -> int:
        return inode.openat2(path, self._proc, os.O_RDONLY | os.O_CLOEXEC, 0)

    def _enter_by(self, path: str) -> None:
        with suppress(OSError):  # it ended; or it may not be opened, which is noted
            fd = self._open(path)
            if int(libc().ioctl(fd, _KIND)) == _CLONE_NEWNS:
                self._enter(fd)
            else:
                os.close(fd)

    def _enter(self, fd: int) -> None:
        """Look at a namespace from within; the descriptor is closed."""
        try:
            number = os.fstat(fd).st_ino
            if number in self.spaces:
                return
            pid = self._pids.get(number, 0)
            if libc().setns(fd, _CLONE_NEWNS):
                if not pid:
                    self.unseen.append("a mount namespace without a process may not be entered")
                return
            with suppress(OSError):  # what a process of it shows is looked at then
                self._look(number, pid, "thread-self/mountinfo", "/")
        finally:
            os.close(fd)

    def _plainly(self, number: int, pid: int) -> None:
        """See what a process shows of its namespace: all of it, where it has the first root."""
        try:
            self._look(number, pid, f"{pid}/mountinfo", f"/proc/{pid}/root")
        except OSError as error:
            if error.errno not in {errno.ENOENT, errno.ESRCH, errno.EINVAL}:  # it ended
                self.unseen.append(f"the mounts that {named(pid)} sees: {error.strerror}")

    def _look(self, number: int, pid: int, info: str, root: str) -> None:
        mounts = _rows(proc.drained(self._open(info)))
        who = f" {self._who(pid)}" if number != self._own else ""
        space = Namespace(pid, number == self._own, mounts, who)
        with suppress(OSError):
            space.works_in = os.readlink(f"{pid}/cwd", dir_fd=self._proc) if pid else ""
        names = [*self._names(space)]
        others = self._roots.get(number, {}).values() if names else ()
        top = inode.openat2(root, self._proc, _FOLDER, 0)
        try:
            self._resolve(space, names, top)
            self._kept_in(space, top)
        finally:
            os.close(top)
        for other in others:  # a process may have a root of its own: chroot(2)
            with suppress(OSError):
                fd = inode.openat2(f"{other}/root", self._proc, _FOLDER, 0)
                try:
                    self._resolve(space, names, fd)
                finally:
                    os.close(fd)
        self.spaces[number] = space

    def _who(self, pid: int) -> str:
        if not pid:
            return "(in a mount namespace without a process)"
        try:
            program = proc.drained(self._open(f"{pid}/comm")).decode("utf-8", "replace").strip()
        except OSError:
            program = "a program"
        return f"(pid {pid}, {program})"

    def _resolve(self, space: Namespace, names: Sequence[str], root: int) -> None:
        for name in names:
            with suppress(OSError):
                fd = _resolved(root, name, os.O_PATH)
                try:
                    space.places.setdefault(name, set()).add(self._place(fd))
                finally:
                    os.close(fd)

    def _place(self, fd: int) -> Place:
        lines = proc.drained(self._open(f"thread-self/fdinfo/{fd}")).splitlines()
        number = next(int(line[7:]) for line in lines if line.startswith(b"mnt_id:"))
        return number, os.readlink(f"thread-self/fd/{fd}", dir_fd=self._proc)

    def _kept_in(self, space: Namespace, root: int) -> None:
        """Remember the namespaces whose file is mounted in this one (nsfs)."""
        for row in space.mounts.values():
            is_one = row.root.startswith(b"mnt:[") and row.kind == b"nsfs"
            if is_one and int(row.root[5:-1]) not in self.spaces:
                with suppress(OSError):
                    self._pending.append(_resolved(root, unescape(row.target), os.O_RDONLY))


def every(names: Names, kept: Iterable[str] = ()) -> tuple[list[Namespace], list[str]]:
    """Look at all of them, and say what could not be looked into.

    ``kept`` are further paths of namespace files, /proc/PID/fd/N.
    """
    tour = _Tour(names, kept)
    tour.run()
    return list(tour.spaces.values()), tour.unseen


def in_container() -> bool:
    """Whether this process is in a process namespace of its own: others are not seen from it."""
    return os.stat("/proc/self/ns/pid").st_ino != _INITIAL


def _next(fd: int, request: int) -> int:
    found: int = fcntl.ioctl(fd, request, bytearray(_INFO.pack(_INFO.size, 0, 0)), True)
    os.set_inheritable(found, False)
    return found


def _resolved(root: int, path: str, flags: int) -> int:
    """A descriptor of a path as it is below a root, links included."""
    return inode.openat2(path, root, flags | os.O_CLOEXEC, inode.IN_ROOT | inode.NO_MAGIC_LINKS)


def _rows(text: bytes) -> dict[int, Row]:
    found = {}
    for line in filter(None, text.split(b"\n")):  # a name may hold a "\r"
        number, parent, device, root, target, rest = line.split(b" ", 5)
        found[int(number)] = Row(int(parent), device, root, target, rest)
    return found
