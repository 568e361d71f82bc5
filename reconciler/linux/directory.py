"""Directories and what their new files inherit, and one change of all that lies below."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from reconciler.engine.directory import Folder
from reconciler.errors import HostError
from reconciler.facts.host_view import NotVisible
from reconciler.linux import btrfs, filesystems, in_use, inode, selinux, users
from reconciler.linux.tree_walk import Walk, entries

if TYPE_CHECKING:
    from collections.abc import Callable

    from reconciler.engine.directory import Directory
    from reconciler.linux.tree_walk import Entry


def look(path: str) -> Folder | None:
    """The directory as it is; None where nothing is. Btrfs only."""
    try:
        with inode.directory(path) as fd:
            return _folder(fd)
    except FileNotFoundError:
        return None
    except PermissionError:
        raise NotVisible(f"not readable as {users.acting()}") from None


def identity(path: str) -> str:
    """Its filesystem, subvolume and inode, as a person may compare them; "missing" for none."""
    with suppress(FileNotFoundError), inode.directory(path) as fd:
        inside = btrfs.subvolume(fd).identifier
        return f"{btrfs.filesystem_uuid(fd)} subvolume {inside} inode {os.fstat(fd).st_ino}"
    return "missing"


def has_default_acl(path: str) -> bool:
    """Whether new files and directories in it get an access control list from it (acl(5))."""
    with inode.directory(path) as fd:
        return "system.posix_acl_default" in os.listxattr(fd)


def names_in(path: str) -> tuple[str, ...]:
    """The names in a directory, sorted; none where there is no directory."""
    with suppress(FileNotFoundError), inode.directory(path) as fd:
        return tuple(sorted(os.listdir(fd)))
    return ()


def fixed(path: str) -> str:
    """Say what keeps all writers out of a file or directory; "" where nothing does, or is there.

    chattr(1) with i: nothing in it is made or removed, nor its attributes changed; with a: nothing
    is removed or replaced.
    """
    path = os.path.realpath(path)
    # Nothing may be there, or a filesystem may have no such flags.
    with suppress(OSError), inode.opened(path) as fd:
        if inode.is_read_only(path):
            return "is on a read-only filesystem"
        value = inode.flags(fd)
        if value & inode.IMMUTABLE:
            return "is immutable"
        return "is append-only" if value & inode.APPEND else ""
    return ""


def _folder(fd: int) -> Folder:
    status, value = os.fstat(fd), inode.flags(fd)
    nocow, setting = bool(value & inode.NOCOW), inode.compression(fd, value)
    return Folder(nocow, setting, stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid)


def put(place: Directory, have: Folder | None, want: Folder | None) -> None:
    """Make, change or (when empty) remove a directory; HostError when it does not take."""
    parent, name = os.path.split(place.path)
    with inode.directory(parent) as within:
        if want is None:
            in_use.refuse_if_used(name, within, place.path)
            os.rmdir(name, dir_fd=within)
        else:
            if have is None:
                with inode.acting_as(want.uid, want.gid):
                    _make(within, name, want.mode)
            with inode.opened(name, within, os.O_DIRECTORY) as fd:
                if have is not None and _folder(fd) != have:
                    raise HostError(f"{place.path} changed while it was being set")
                with inode.acting_as(want.uid, want.gid):
                    _set(fd, want, place.path)
                    if have is None:
                        selinux.relabel(fd, place.path)
                os.fsync(fd)
        os.fsync(within)


def _set(fd: int, want: Folder, path: str) -> None:
    if not inode.set_nocow(fd, on=want.nocow):
        raise HostError(f"{path}: the kernel said yes to the attribute, but did not take it")
    if not want.nocow:
        inode.set_compression(fd, want.compression)


def _make(within: int, name: str, mode: int) -> None:
    """With its final mode from the start: a kill in between leaves nothing half-open."""
    before = os.umask(0)
    try:
        os.mkdir(name, mode, dir_fd=within)
    finally:
        os.umask(before)


_TOLD = 3


def put_each(path: str, apart: tuple[str, ...], have_it: Callable[[Entry], None]) -> None:
    """Call ``have_it`` for each directory and file below a path; HostError names what refused."""
    mounted = frozenset(mount.target for mount in filesystems.mounts())
    failed: list[str] = []
    count = 0
    for entry in entries(path, Walk(frozenset(apart), mounted)):
        try:
            have_it(entry)
        except OSError as error:
            count += 1
            if len(failed) < _TOLD:
                failed.append(f"{entry.path}: {error.strerror}")
    if failed:
        more = f", and {count - _TOLD:,} more" if count > _TOLD else ""
        raise HostError(f"{path}: {'; '.join(failed)}{more}")
