"""Replacing files so that a crash leaves the old one or the new one, whole; output files."""

from __future__ import annotations

import errno
import os
import pwd
import re
import stat
from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING

from reconciler.errors import HostError
from reconciler.linux import inode, syscalls, users
from reconciler.linux.syscalls import closing
from reconciler.value import Value

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager


STATE = "/var/lib/vmtune"
"""Where vmtune keeps its journal, claims and copies."""


def read(path: str) -> bytes | None:
    """The whole of a regular file; None when there is nothing of that name, OSError for others."""
    with suppress(FileNotFoundError):
        return start_of(path, -1)
    return None


def start_of(path: str, largest: int) -> bytes:
    """The first bytes of a regular file that anybody may have put there; OSError for others.

    Opened without waiting: a FIFO would wait for its writer, for ever. A link to /dev/null
    is an empty file: systemd.unit(5) calls that masked.
    """
    with closing(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)) as fd:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) and status.st_rdev != os.makedev(1, 3):
            raise OSError(errno.EINVAL, "not a regular file", path)
        with os.fdopen(fd, "rb", closefd=False) as file:
            return file.read(largest)


def listed(folder: str) -> list[str]:
    """What a shell's ``folder/*`` is, sorted; nothing where it is gone or may not be read."""
    with suppress(OSError):
        return [f"{folder}/{name}" for name in sorted(os.listdir(folder)) if name[0] != "."]
    return []


def replace(path: str, data: bytes, mode: int = 0o644, expected: bytes | None = None) -> None:
    """Put ``data`` under ``path``, atomically and durably.

    A file that was there hands on its owner, mode and extended attributes (ACLs and the SELinux
    label among them); a link is followed, so that it stays a link. On Btrfs the new name survives
    a power cut only once file and directory are synced. HostError, with nothing written, where the
    file no longer holds what was ``expected``: somebody else edits it too.
    """
    path = os.path.realpath(path)

    def settle(temporary: str, path: str) -> None:
        if expected is not None and read(path) != expected:
            changed = f"{path} was changed while it was being edited"
            raise HostError(f"{changed}; nothing was written to it")
        os.replace(temporary, path)

    _put(path, data, lambda fd: _become(fd, path, mode), settle)


def create(path: str, data: bytes, mode: int) -> None:
    """The same for a new file: what was there hands on nothing, and a link is replaced.

    Whoever put a link or a file of theirs into /tmp gains nothing by it.
    """
    _put(path, data, lambda fd: os.fchmod(fd, mode))


def create_new(path: str, data: bytes, mode: int = 0o644) -> None:
    """A file that is not there yet, whole or not at all; FileExistsError where one is (link(2))."""

    def settle(temporary: str, path: str) -> None:
        os.link(temporary, path)
        with suppress(OSError):  # the file is there by now
            os.unlink(temporary)

    _put(path, data, lambda fd: os.fchmod(fd, mode), settle)


def _put(
    path: str,
    data: bytes,
    prepare: Callable[[int], None],
    settle: Callable[[str, str], None] = os.replace,
) -> None:
    """Write all of a file beside a path; ``settle`` gives it that path in place of its own."""
    folder, name = os.path.split(path)
    temporary = os.path.join(folder, f".{name}.{os.urandom(4).hex()}.vmtune")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with closing(os.open(temporary, flags, 0o600)) as fd:
            prepare(fd)
            _write(fd, data)
            os.fsync(fd)
        settle(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
    sync_directory(folder)


def append(path: str, data: bytes, mode: int = 0o644) -> None:
    """Add to a file, made where missing, durably."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    with closing(os.open(path, flags, mode)) as fd:
        _write(fd, data)
        os.fsync(fd)


def remove(path: str) -> None:
    """Take a file away, durably."""
    os.unlink(path)
    sync_directory(os.path.dirname(path))


def sweep(folder: str) -> None:
    """Remove temporary files of ``replace`` that a kill left behind."""
    if not os.path.isdir(folder):
        return
    temporary = re.compile(r"(?s)\..*\.[0-9a-f]{8}\.vmtune")
    strays = [name for name in os.listdir(folder) if temporary.fullmatch(name)]
    for name in strays:
        os.unlink(os.path.join(folder, name))
    if strays:
        sync_directory(folder)


def sync_directory(path: str) -> None:
    """fsync(2) of a directory: what makes names in it survive a power cut."""
    with closing(os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)) as fd:
        os.fsync(fd)


def _become(fd: int, path: str, mode: int) -> None:
    """Owner, mode and extended attributes of what is replaced, before any byte is written."""
    try:
        old = os.stat(path)
    except FileNotFoundError:
        os.fchmod(fd, mode)
        return
    os.fchown(fd, old.st_uid, old.st_gid)
    for attribute in os.listxattr(path):
        inode.hand_on(path, fd, attribute)
    os.fchmod(fd, old.st_mode & 0o7777)


def _write(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def read_gone(path: str) -> bytes:
    """The whole file, empty where it is gone or may not be read: for advice only."""
    with suppress(OSError):
        return start_of(path, -1)
    return b""


def sync_filesystem(path: str) -> None:
    """syncfs(2): a removed file or a new attribute is durable only with its transaction."""
    with closing(os.open(path, os.O_RDONLY | os.O_CLOEXEC)) as fd:
        sync(fd)


def sync(fd: int) -> None:
    """The same for the filesystem that a descriptor is on."""
    syscalls.checked(syscalls.libc().syncfs(fd))


class Sort(Value):
    """Files that vmtune may write anew: ``mark`` stands at their beginning; what messages say."""

    mark: str
    name: str


def checked_output(path: str, option: str = "-o", sort: Sort | None = None) -> str:
    """Return the path as of users.absolute; HostError where something is there.

    With a ``sort``, a file of that sort may be there, or an empty one.
    """
    if not path:
        raise HostError(f"{option} names no file", "is the variable empty that should name it?")
    absolute = users.absolute(path)
    try:
        with _as_owner(os.path.dirname(absolute)):
            is_free = not os.path.lexists(absolute) or (sort and _is_of(absolute, sort))
    except OSError as error:
        raise HostError(f"{absolute}: {error.strerror}", "nothing was written") from None
    if not is_free:
        raise _there(absolute, option, sort)
    return absolute


def write_output(path: str, data: bytes) -> None:
    """Whole or not at all, with the directories above it; HostError where it cannot be made."""
    try:
        with _as_owner(os.path.dirname(path)):
            os.makedirs(os.path.dirname(path), exist_ok=True)
            create_new(path, data)
    except FileExistsError:
        raise _there(path, "-o", None) from None
    except OSError as error:
        raise HostError(f"{path}: {error.strerror}", "nothing was written") from None


def replace_output(path: str, data: bytes, option: str, sort: Sort) -> None:
    """The same over a file of its sort, for its owner only: it names what closed folders hold."""
    path = checked_output(path, option, sort)
    try:
        with _as_owner(os.path.dirname(path)):
            create(path, data, 0o600)
    except OSError as error:
        raise HostError(f"{path} cannot be written: {error.strerror}") from None


def _is_of(path: str, sort: Sort) -> bool:
    if os.path.islink(path) or not os.path.isfile(path):
        return False
    head = start_of(path, 200)
    return not head or sort.mark.encode() in head


def _there(path: str, option: str, sort: Sort | None) -> HostError:
    if sort:
        return HostError(
            f"{path} is there, and is no {sort.name}; nothing was written",
            f"name another file with {option}, or move that one away",
        )
    return HostError(
        f"{path} is there already, and stays as it is",
        f"name another file with {option}, or remove this one first",
    )


def _as_owner(folder: str) -> AbstractContextManager[None]:
    """Below what belongs to the caller, as the caller, also under sudo."""
    while not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    who = users.caller()
    if os.geteuid() == 0 and who.uid and os.stat(folder).st_uid == who.uid:
        return inode.acting_as(who.uid, pwd.getpwuid(who.uid).pw_gid)
    return nullcontext()
