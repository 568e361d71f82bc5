"""Files put together in place: BTRFS_IOC_DEFRAG_RANGE on a descriptor (btrfs.defragment).

Content, attributes and times stay; a process that has the file open, a running
virtual machine too, goes on with it. The kernel asks for the right to write to the
file, not for a descriptor to write with.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from typing import TYPE_CHECKING

from reconciler.engine.reporter import Progress
from reconciler.errors import HostError
from reconciler.facts import compression, condition
from reconciler.formats import mountinfo
from reconciler.linux import (
    btrfs,
    extents,
    filesystems,
    inode,
    lease,
    syscalls,
    tree_walk,
    trees,
    users,
)
from reconciler.linux.files import sync
from reconciler.resources.defrag import ranges as defrag_ranges
from reconciler.resources.defrag.ranges import Ended, File, Found, Left, Outcome, Why
from reconciler.value import Value

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from reconciler.engine.reporter import Reporter
    from reconciler.resources.defrag.ranges import Pieces


_HOPELESS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO})

_FRESH = 10.0
"""Seconds for which what was seen of a file is taken to be so: to look costs as well."""

_WAYS_OUT = {
    errno.ENOSPC: "make room",
    errno.EDQUOT: "`btrfs qgroup show -pcre PATH` shows which limit it is: raise it, or make room",
}

_GONE = frozenset({errno.ENOENT, errno.ELOOP, errno.ENOTDIR})


class Target(Value):
    """What to work on: all below ``top``, or ``name`` in it. ``path`` has no links in it."""

    path: str
    top: str
    name: str
    uuid: str
    compression: str
    mounted: frozenset[str]

    @property
    def free(self) -> int:
        """Bytes, as ordinary users have them."""
        found = os.statvfs(self.top)
        return found.f_bavail * found.f_frsize


def place(given: str) -> Target:
    """Look where a path leads; HostError says why nothing can be defragmented there."""
    try:
        path = os.path.realpath(given, strict=True)
        status = os.stat(path)
        if not stat.S_ISDIR(status.st_mode) and not stat.S_ISREG(status.st_mode):
            raise HostError(f"{given} is neither a directory nor a file", "name one that is")
        kind = syscalls.filesystem_type(path)
        if kind != "btrfs":
            raise HostError(f"{given} is on {kind}, not Btrfs: there is nothing to defragment")
        if trees.is_stub(path, status):
            raise trees.stub_refused(path)
        is_file = stat.S_ISREG(status.st_mode)
        top, name = os.path.split(path) if is_file else (path, "")
        with inode.opened(top, extra=os.O_DIRECTORY) as fd:
            closed = btrfs.subvolume(fd).read_only or os.fstatvfs(fd).f_flag & os.ST_RDONLY
            uuid, profiles = btrfs.filesystem_uuid(fd), btrfs.data_profiles(fd)
            unsafe = condition.refusal(btrfs.condition(fd), profiles)
    except OSError as error:
        raise HostError(f"{given}: {error.strerror}", _way_out(error)) from None
    if unsafe:
        raise HostError(f"{given}: {unsafe.text}", unsafe.hint)
    if closed:
        raise HostError(
            f"{given} is in a subvolume or a mount that is read-only: nothing can be moved there",
            "name the subvolume it was snapshotted from, or mount it for writing",
        )
    mounts = filesystems.mounts()
    mount = mountinfo.containing(mounts, path)
    setting = compression.now(mount) if mount else compression.OFF
    mounted = frozenset(each.target for each in mounts)
    return Target(path, top, name, uuid, setting, mounted)


def _way_out(error: OSError) -> str:
    denied = error.errno in {errno.EACCES, errno.EPERM}
    return "root may look" if denied and not users.is_root() else ""


def look(where: Target, allowed: bool, known: set[tuple[int, int]], several: bool) -> Found:
    """Every file there that is not in ``known`` (device and inode).

    Added to it is what may be met again: files of several names, or all where ``several`` places
    are looked at. Nothing is changed. ``allowed``: also those that snapshots or clones share.
    """
    walk, since = tree_walk.Walk(mounted=where.mounted), time.monotonic()
    todo: list[File] = []
    left: list[Left] = []
    whole = 0
    try:
        for entry in _entries(where, walk):
            key = (entry.status.st_dev, entry.status.st_ino)
            if key in known or not stat.S_ISREG(entry.status.st_mode):
                continue
            if several or entry.status.st_nlink > 1:
                known.add(key)
            found = _file(entry, where.compression)
            stays = found and _reason(found, found.lies, allowed, is_closed=_is_closed(entry))
            whole += not found
            if stays:
                left.append(stays)
            elif found:
                todo.append(found)
    except OSError as error:
        raise HostError(f"{where.path}: {error.strerror}", _way_out(error)) from None
    todo.sort(key=lambda each: each.path)
    return Found(
        where.path, todo, whole, sorted(left, key=lambda each: each.path),
        sorted(walk.subvolumes), sorted(walk.mounts), walk.unseen.standing,
        where.compression, where.free, since, lease.busy_words(walk.busy),
    )  # fmt: skip


def _entries(where: Target, walk: tree_walk.Walk) -> Iterator[tree_walk.Entry]:
    if not where.name:
        yield from tree_walk.entries(where.path, walk)
        return
    with inode.directory(where.top) as top:
        try:
            with lease.opened(where.name, top) as fd:
                yield tree_walk.Entry(where.name, fd, os.fstat(fd), top)
        except lease.BusyError as error:
            walk.busy[where.name] = error.pid
            walk.unseen.add(where.name)
        except PermissionError:
            walk.unseen.add(where.name)


def _file(entry: tree_walk.Entry, mount: str) -> File | None:
    """None for one that lies as well as it can: most are in one piece, which costs no list."""
    if extents.count(entry.fd) <= 1:
        return None
    found = defrag_ranges.pieces(extents.extents(entry.fd))
    if not found.stretches:
        return None
    packs = _packs(inode.flags(entry.fd), mount)
    return File(entry.path, entry.status.st_ino, found, packs)


def _packs(flags: int, mount: str) -> bool:
    """Whether what is written to a file with these attributes is compressed."""
    if flags & inode.NOCOW:
        return False
    if mount.endswith("forced") or flags & inode.COMPRESS:
        return True
    return mount != compression.OFF and not flags & inode.NOCOMPRESS


def _is_closed(entry: tree_walk.Entry) -> bool:
    """Whether the caller, who is not root, may not write to it."""
    name = os.path.basename(entry.path)
    may_write = users.is_root() or os.access(name, os.W_OK, dir_fd=entry.within, effective_ids=True)
    return not may_write


def _reason(file: File, lies: Pieces, allowed: bool, *, is_closed: bool = False) -> Left | None:
    """Why a file is left as it is, at the first look and once more at its turn; None: no reason.

    ``lies`` is how it lies at that moment.
    """
    if lies.shared and not allowed:
        return Left(file.path, Why.SHARED, "", lies.shared)
    return Left(file.path, Why.CLOSED, "", lies.size) if is_closed else None


class Defragmentation:
    """Doing it, step by step, one place after the other; ``size`` bytes altogether."""

    def __init__(self, found: Sequence[Found], allowed: bool, watch: Reporter) -> None:
        self._allowed = allowed
        self._watch = watch
        self._count = sum(len(each.files) for each in found)
        self._size = sum(file.lies.size for each in found for file in each.files)
        self._step = defrag_ranges.step(self._size)
        self._number = self._before = 0
        self.problem: HostError | None = None
        """Why nothing more can be written; what was done before stays."""

    @property
    def stopped(self) -> bool:
        """Whether it is over early."""
        return self._watch.stop() or self.problem is not None

    def run(self, where: Target, found: Found) -> Outcome:
        """The files found at a place; what was done is on disk when this returns."""
        fresh = found.since + _FRESH
        done: list[tuple[File, int]] = []
        left: list[Left] = []
        with inode.directory(where.top) as fd:
            for file in found.files:
                self._number += 1
                if not self.stopped:
                    size = self._file(file, fd, left, fresh)
                    done += [(file, size)] * bool(size)
                self._before += file.lies.size
            try:
                sync(fd)
            except OSError as error:
                self._give_up(where.top, error)
            ended = [Ended(f.path, size, f.lies.fragments, _after(f, fd)) for f, size in done]
        return Outcome(found.path, ended, left)

    def _file(self, file: File, top: int, left: list[Left], fresh: float) -> int:
        """Bytes that were done of it; 0 where it changed so that it may not be."""
        done = 0
        try:
            with lease.opened(file.path, top) as fd:
                if os.fstat(fd).st_ino != file.inode:
                    return 0
                now = file.lies
                if time.monotonic() > fresh:  # a snapshot may have come in between
                    now = defrag_ranges.pieces(extents.extents(fd))
                if stays := _reason(file, now, self._allowed):
                    left.append(stays)
                    return 0
                for call in defrag_ranges.calls(now.stretches, self._step):
                    self._tell(file, min(done, file.lies.size))
                    if not self._called(fd, call):
                        break
                    done += call.length
                self._tell(file, min(done, file.lies.size))
        except OSError as error:
            if error.errno in _HOPELESS:
                self._give_up(file.path, error)
            elif error.errno not in _GONE:
                is_closed = isinstance(error, PermissionError) and not users.is_root()
                why = Why.CLOSED if is_closed else Why.FAILED
                left.append(Left(file.path, why, error.strerror or "", file.lies.size))
        return done

    def _called(self, fd: int, call: defrag_ranges.Call) -> bool:
        """Whether it was done; the kernel gives up when a signal comes (EAGAIN)."""
        threshold = defrag_ranges.THRESHOLD
        while not self.stopped:
            try:
                btrfs.defragment(fd, call.start, call.length, threshold=threshold, flush=call.flush)
            except BlockingIOError:
                continue
            return True
        return False

    def _tell(self, file: File, done: int) -> None:
        self._watch.tell(
            Progress(
                file.path, "defragmenting", done, file.lies.size, self._number, self._count,
                self._before + done, self._size,
            )
        )  # fmt: skip

    def _give_up(self, path: str, error: OSError) -> None:
        hint = _WAYS_OUT.get(error.errno or 0, "`dmesg` may say why")
        self.problem = HostError(
            f"{path}: {error.strerror}",
            f"{hint}; what was done stays, and running it again goes on",
        )


def _after(file: File, top: int) -> int:
    """Fragments now; as before where the file is gone or closed since."""
    try:
        with lease.opened(file.path, top) as fd:
            return defrag_ranges.pieces(extents.extents(fd)).fragments
    except OSError:
        return file.lies.fragments
