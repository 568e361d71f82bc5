"""A whole tree into an empty subvolume of the same filesystem, sharing all data (FICLONE).

No data is read or written: a file's new inode points at the extents that the old one has, in
the same order. That the clone is exact needs no belief in it: nobody else has the file open
(its lease), and afterwards FIEMAP finds both files in the same places on disk.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
from contextlib import contextmanager
from itertools import zip_longest
from typing import TYPE_CHECKING

from reconciler.errors import HostError
from reconciler.linux import copy_metadata, extents, in_use, inode, lease, syscalls
from reconciler.resources.subvolume.inventory import beneath, joined
from reconciler.resources.subvolume.remove_old import OPEN_OLD

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from reconciler.resources.subvolume.inventory import Entry
    from reconciler.resources.subvolume.remove_old import Watched


_KEEP_SIZE = 0x01  # FALLOC_FL_KEEP_SIZE

_KINDS = extents.INLINE | extents.UNWRITTEN | extents.ENCODED

_UNFIT = inode.IMMUTABLE | inode.APPEND | inode.VERITY

_BLOCK = 4096

_PIECE = 1 << 20

_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

Run = tuple[int, int, int, int]
"""Logical and physical start, length in bytes, flags."""


def carry(was: Watched, becomes: Watched, going: Callable[[str, Entry], None]) -> None:
    """Everything that was found below one top into the other, which becomes like it last.

    Both get a lease on each regular file; the caller releases them. ``going``
    hears each name before it is done, and may raise. HostError, OSError: what was
    done so far stays.
    """
    source, target, found = was.top, becomes.top, was.found
    with _naming(""):
        _attributes(source, target)
    status = os.fstat(source)
    first: dict[int, str] = {}
    statuses: dict[str, os.stat_result] = {}
    for folder, entries in found.folders.items():
        with beneath(folder, source) as old, beneath(folder, target) as new:
            statuses[folder] = os.fstat(old) if folder else status
            if statuses[folder].st_ino != found.numbers[folder]:
                raise HostError(f"{folder} was replaced while it was being copied")
            for name, entry in entries.items():
                path = joined(folder, name)
                going(path, entry)
                if entry.number in first:  # a second name of what is there already
                    os.link(first[entry.number], name, src_dir_fd=target, dst_dir_fd=new)
                    continue
                with _naming(path):
                    if entry.format == stat.S_IFREG:
                        was.leases[entry.number] = fd = _leased(old, name, entry)
                        made = os.open(name, _NEW, 0o600, dir_fd=new)
                        becomes.leases[os.fstat(made).st_ino] = made
                        _file(fd, made)
                    else:
                        _carry(old, new, name, entry)
                if entry.links > 1 and entry.format != stat.S_IFDIR:
                    first[entry.number] = path
    for folder in reversed(found.folders):  # last, since each entry made in it changes its times
        with _naming(folder), beneath(folder, source) as old, beneath(folder, target) as new:
            copy_metadata.give(new, old, statuses[folder])


@contextmanager
def _naming(path: str) -> Iterator[None]:
    try:
        yield
    except HostError as refused:
        raise HostError(f"{path or '.'}: {refused.message}", refused.hint) from None


def _carry(old: int, new: int, name: str, entry: Entry) -> None:
    if entry.format == stat.S_IFDIR:
        os.mkdir(name, 0o700, dir_fd=new)
        with beneath(name, old) as source, beneath(name, new) as target:
            _attributes(source, target)
    else:
        _link(old, new, name)


def _leased(within: int, name: str, entry: Entry) -> int:
    """The file, which nobody else has open; HostError names who does."""
    try:
        fd = os.open(name, OPEN_OLD, dir_fd=within)
    except BlockingIOError:
        raise HostError("somebody holds a lease on it (fcntl(2), F_SETLEASE)") from None
    try:
        _hold(fd, entry)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _hold(fd: int, entry: Entry) -> None:
    is_alone = lease.take(fd)  # before the look: until then somebody may write to it, and close it
    status = os.fstat(fd)
    if (status.st_ino, status.st_ctime_ns) != (entry.number, entry.changed):
        raise HostError("changed while its directory was being copied")
    if not is_alone:
        raise HostError(f"open: {in_use.users_named(status)}", "end it, then run this again")


def _file(source: int, target: int) -> None:
    status = os.fstat(source)
    _attributes(source, target)
    if status.st_size:
        _clone(source, target)
    end = -(-status.st_size // _BLOCK) * _BLOCK
    _preallocate(source, target, end)
    if status.st_size and not _same_places(source, target, end):
        _compare(source, target, status.st_size)
    copy_metadata.give(target, source, status)
    lease.take(target)


def _clone(source: int, target: int) -> None:
    if _cloned(source, target):
        return
    # Under the mount option nodatasum a new file has no checksums. To be told that it is not nocow
    # gives it some, as long as it is empty.
    inode.set_flags(target, inode.flags(target))
    if not _cloned(source, target):
        raise HostError(
            "it has checksums and new files here get none, or the other way round (mount option "
            "nodatasum): they cannot share data",
            "copy it to a new name with `cp --reflink=never`, and that over it, then try again",
        )


def _cloned(source: int, target: int) -> bool:
    """Whether they share their data now: not where one has checksums and the other none."""
    try:
        inode.clone(source, target)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return False
    return True


def _preallocate(source: int, target: int, end: int) -> None:
    """Space behind the end of the data, which a clone leaves out (fallocate(2))."""
    for start, length in extents.preallocated_ranges(source):
        behind = max(start, end)
        if behind < start + length:
            offsets = (ctypes.c_int64(behind), ctypes.c_int64(start + length - behind))
            syscalls.checked(syscalls.libc().fallocate64(target, _KEEP_SIZE, *offsets))


def _same_places(source: int, target: int, end: int) -> bool:
    """Whether both files are the same stretches of disk: then they are the same bytes."""
    pairs = zip_longest(_runs(source, end), _runs(target, end))
    return all(one == other and one and not one[3] & extents.INLINE for one, other in pairs)


def _runs(fd: int, end: int) -> Iterator[Run]:
    """The extents below an offset, neighbours as one: how FIEMAP joins them differs by sharing."""
    last: Run | None = None
    for logical, physical, length, flags in extents.extents(fd):
        if logical >= end:
            break
        run = (logical, physical, min(length, end - logical), flags & _KINDS)
        if last and not run[3] & extents.ENCODED and _goes_on(last, run):
            last = (last[0], last[1], last[2] + run[2], last[3])
            continue
        if last:
            yield last
        last = run
    if last:
        yield last


def _goes_on(last: Run, run: Run) -> bool:
    return (last[0] + last[2], last[1] + last[2], last[3]) == (run[0], run[1], run[3])


def _compare(source: int, target: int, size: int) -> None:
    """Byte by byte: small files lie in the metadata, where FIEMAP gives no place."""
    for at in range(0, size, _PIECE):
        if os.pread(source, _PIECE, at) != os.pread(target, _PIECE, at):
            raise HostError("its clone reads back as something else; nothing was changed")


def _link(old: int, new: int, name: str) -> None:
    """A symbolic link, with its owner, times and extended attributes (a SELinux label)."""
    status = os.lstat(name, dir_fd=old)
    os.symlink(os.readlink(name, dir_fd=old), name, dir_fd=new)
    os.chown(name, status.st_uid, status.st_gid, dir_fd=new, follow_symlinks=False)
    source, target = (f"/proc/self/fd/{fd}/{name}" for fd in (old, new))
    for key in os.listxattr(source, follow_symlinks=False):
        inode.hand_on(source, target, key, follow_symlinks=False)
    times = (status.st_atime_ns, status.st_mtime_ns)
    os.utime(name, ns=times, dir_fd=new, follow_symlinks=False)


def _attributes(source: int, target: int) -> None:
    """How data is to be kept, nocow or compressed, as it is there: before there is any."""
    wanted = inode.flags(source)
    if wanted & _UNFIT:
        raise HostError(
            "immutable, append-only or sealed (lsattr): it cannot be moved",
            "take the attribute away first (chattr -i -a); move a sealed file out",
        )
    setting = inode.compression(source, wanted)
    keeping = wanted & copy_metadata.KEPT
    if _is_so(target, keeping, setting):
        return
    inode.clear_compression(target)
    now = inode.flags(target) & ~copy_metadata.KEPT
    inode.set_flags(target, now | keeping & inode.NOCOW)
    if setting in {"c", "m"}:
        inode.set_flags(target, now | keeping)
    elif setting:
        os.setxattr(target, inode.PROPERTY, setting.encode("ascii"))
    if not _is_so(target, keeping, setting):
        raise HostError("its attributes (lsattr, btrfs property) cannot be given to a new file")


def _is_so(target: int, keeping: int, setting: str) -> bool:
    now = inode.flags(target)
    return now & copy_metadata.KEPT == keeping and inode.compression(target, now) == setting
