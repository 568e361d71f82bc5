"""Directories and what their new files inherit: the Directory and Below places."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from reconciler.core.places import Folder
from reconciler.core.snapshot import Hidden
from reconciler.host.kernel import btrfs, inode
from reconciler.host.people import caller
from reconciler.host.refused import Refused

if TYPE_CHECKING:
    from reconciler.core.places import Directory


def look(path: str) -> Folder | None:
    """The directory as it is; None where nothing is. Btrfs only."""
    try:
        with inode.directory(path) as fd:
            return _folder(fd)
    except FileNotFoundError:
        return None
    except PermissionError:
        raise Hidden(f"not readable as {caller.caller().name}") from None


def identity(path: str) -> str:
    """Its filesystem, subvolume and inode, as a person may compare them; "missing" for none."""
    try:
        with inode.directory(path) as fd:
            inside = btrfs.subvolume(fd).identifier
            return f"{btrfs.filesystem_uuid(fd)} subvolume {inside} inode {os.fstat(fd).st_ino}"
    except FileNotFoundError:
        return "missing"


def entries(path: str) -> tuple[str, ...]:
    """The names in a directory, sorted; none where there is no directory."""
    try:
        with inode.directory(path) as fd:
            return tuple(sorted(os.listdir(fd)))
    except FileNotFoundError:
        return ()


def fixed(path: str) -> str:
    """Say what keeps all writers out of a file or directory; "" where nothing does, or is there.

    chattr(1) with i: nothing in it is made or removed, nor its attributes changed; with a: nothing
    is removed or replaced. statvfs(3): ST_RDONLY.
    """
    path = os.path.realpath(path)
    try:
        with inode.opened(path) as fd:
            if os.fstatvfs(fd).f_flag & os.ST_RDONLY:
                return "is on a read-only filesystem"
            value = inode.flags(fd)
    except OSError:  # nothing is there, or a filesystem has no such flags
        return ""
    if value & inode.IMMUTABLE:
        return "is immutable"
    return "is append-only" if value & inode.APPEND else ""


def _folder(fd: int) -> Folder:
    status, value = os.fstat(fd), inode.flags(fd)
    return Folder(
        bool(value & inode.NOCOW),
        inode.compression(fd, value),
        stat.S_IMODE(status.st_mode),
        status.st_uid,
        status.st_gid,
    )


def put(place: Directory, have: Folder | None, want: Folder | None) -> None:
    """Make, change or (when empty) remove a directory; Refused when it does not take."""
    if want is None:
        _remove(place.path)
        return
    parent, name = os.path.split(place.path)
    with inode.directory(parent) as within:
        if have is None:
            with inode.acting_as(want.uid, want.gid):
                _make(within, name, want.mode)
        with inode.opened(name, within, os.O_DIRECTORY) as fd:
            if have is not None and _folder(fd) != have:
                raise Refused(f"{place.path} changed while it was being set")
            with inode.acting_as(want.uid, want.gid):
                _set(fd, want, place.path)
            os.fsync(fd)
        os.fsync(within)


def _remove(path: str) -> None:
    parent, name = os.path.split(path)
    from reconciler.host.in_use import guard  # noqa: PLC0415 - only where one is removed

    with inode.directory(parent) as within:
        guard.leave(name, within, path)
        os.rmdir(name, dir_fd=within)
        os.fsync(within)


def _make(within: int, name: str, mode: int) -> None:
    """With its final mode from the start: a kill in between leaves nothing half-open."""
    before = os.umask(0)
    try:
        os.mkdir(name, mode, dir_fd=within)
    finally:
        os.umask(before)


def _set(fd: int, want: Folder, path: str) -> None:
    if want.nocow:
        inode.clear_compression(fd)
    value = inode.flags(fd)
    wanted = value | inode.NOCOW if want.nocow else value & ~inode.NOCOW
    if wanted != value and not inode.set_flags(fd, wanted):
        raise Refused(f"{path}: the kernel said yes to the attribute, but did not take it")
    if not want.nocow:
        inode.set_compression(fd, want.compression)
