"""Where a path is, and on what: resolved names, filesystem types, snapshots."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

from reconciler.core.facts import BtrfsIn, Filesystem, Location, Mounts, SnapshotsIn
from reconciler.core.room import Quota
from reconciler.core.sizes import counted
from reconciler.core.snapshot import Hidden
from reconciler.core.stub import KIND as STUB
from reconciler.formats import mountinfo
from reconciler.host.kernel import btrfs, inode, quota, statfs, stub, wholeness
from reconciler.host.people import caller
from reconciler.host.system import snapshotters
from reconciler.value import replace

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from reconciler.core.snapshot import Snapshot


def mounts() -> tuple[mountinfo.Mount, ...]:
    """/proc/self/mountinfo, parsed."""
    with open("/proc/self/mountinfo", "rb") as file:
        return mountinfo.parse(file.read())


def locate(path: str, homes: frozenset[str]) -> Location:
    """Resolve links; for a path that is not there, find out which directories to make."""
    real, links = _followed(path)
    missing: list[str] = []
    nearest = real
    while (status := _status(nearest)) is None:
        missing.insert(0, nearest)
        nearest = os.path.dirname(nearest)
    is_stub = stub.is_stub(nearest, status)
    kind = STUB if is_stub else _KINDS.get(stat.S_IFMT(status.st_mode), "a special file")
    if missing:
        kind = "missing" if kind == "directory" else f"below {nearest}, which is {kind}"
    at_home = any(nearest == home or nearest.startswith(f"{home}/") for home in homes)
    setgid = bool(status.st_mode & stat.S_ISGID)
    uid = status.st_uid if at_home else 0
    gid = status.st_gid if at_home or setgid else 0
    is_home = real in homes
    # Only what one could have changed oneself may one have changed through a link.
    foreign = (link for link, owner in links if owner not in {0, status.st_uid})
    return Location(
        real, kind, tuple(missing), uid, gid, setgid, is_home,
        foreign_link=next(foreign, ""), stub=nearest if is_stub else "",
    )  # fmt: skip


def _followed(path: str) -> tuple[str, list[tuple[str, int]]]:
    """Where an absolute path leads, and each symbolic link on the way with its owner."""
    real, links, ahead = "/", [], path.split("/")[::-1]
    while ahead:
        name = ahead.pop()
        if name in {"", ".", ".."}:
            real = os.path.dirname(real) if name == ".." else real
            continue
        here = os.path.join(real, name)
        status = _status(here)
        if status is None or not stat.S_ISLNK(status.st_mode):
            real = here
            continue
        links.append((here, status.st_uid))
        if len(links) > _MOST_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        target = os.readlink(here)
        real = "/" if target.startswith("/") else real
        ahead.extend(target.split("/")[::-1])
    return real, links


_MOST_LINKS = 40
"""MAXSYMLINKS, after which the kernel gives up (path_resolution(7))."""
_KINDS = {stat.S_IFDIR: "directory", stat.S_IFREG: "a file"}


def _status(path: str) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None


def filesystem(path: str, see: Snapshot) -> Filesystem:
    """The filesystem of an existing path, or of the nearest existing directory above it."""
    while (there := _status(path)) is None:
        path = os.path.dirname(path)
    name = statfs.filesystem_type(path)
    if name != "btrfs":
        return Filesystem(name)
    if stub.is_stub(path, there):  # it answers no ioctl (ENOTTY); what it lies in does
        path = os.path.dirname(path)
        there = os.lstat(path)
    status = os.statvfs(path)
    # One that may not be read says nothing of the others there.
    is_open = os.access(path, os.R_OK)
    found = see(BtrfsIn(there.st_dev, path)) if is_open else btrfs_in(path, see)
    read_only = bool(status.f_flag & os.ST_RDONLY) or found.read_only
    return replace(found, free=status.f_bavail * status.f_frsize, read_only=read_only)


def btrfs_in(path: str, see: Snapshot) -> Filesystem:
    """What a Btrfs says of itself, and of the subvolume of an existing path."""
    mounted = see(Mounts())
    mount = mountinfo.containing(mounted, path)
    with _anywhere_on(path, see) as fd:
        uuid, inside = btrfs.filesystem_uuid(fd), btrfs.subvolume(fd)
        is_there = os.fstat(fd).st_dev == os.lstat(path).st_dev
        return Filesystem(
            "btrfs",
            uuid,
            btrfs.label(fd),
            btrfs.data_profiles(fd),
            read_only=inside.read_only,
            condition=wholeness.look(fd, mount.super_options if mount else ""),
            quota=quota.look(fd, uuid, inside.identifier) if is_there else Quota(unseen=True),
        )


def _anywhere_on(path: str, see: Snapshot) -> AbstractContextManager[int]:
    """A descriptor on the path, or on the mount point it is below: the answers are alike."""
    if os.access(path, os.R_OK):
        return inode.opened(path)
    mounts_now = see(Mounts())
    mount = mountinfo.containing(mounts_now, path)
    if mount is None or not os.access(mount.target, os.R_OK):
        raise Hidden(f"{path} is not readable as {caller.caller().name}")
    return inode.opened(mount.target)


def source_uuid(source: str) -> str:
    """The Btrfs UUID behind UUID=, LABEL=, PARTUUID=, PARTLABEL= or a device; "" for others."""
    tag, equals, value = source.partition("=")
    if equals and tag == "UUID":
        return value
    folders = {"LABEL": "by-label", "PARTUUID": "by-partuuid", "PARTLABEL": "by-partlabel"}
    if equals and tag in folders:
        source = f"/dev/disk/{folders[tag]}/{value}"
    if not source.startswith("/dev/"):
        return ""
    device = os.path.basename(os.path.realpath(source))
    return _labelled(value) if tag == "LABEL" and equals else _with_device(device)


def _with_device(device: str) -> str:
    return next((u for u in _known() if os.path.exists(f"/sys/fs/btrfs/{u}/devices/{device}")), "")


def _labelled(label: str) -> str:
    return next((u for u in _known() if _label(u) == label), "")


def _label(uuid: str) -> str:
    try:
        with open(f"/sys/fs/btrfs/{uuid}/label", encoding="utf-8", errors="surrogateescape") as f:
            return f.read().rstrip("\n")
    except OSError:
        return ""


def _known() -> list[str]:
    """UUIDs of the mounted Btrfs filesystems; "features" and "debug" are no filesystems."""
    try:
        return [name for name in os.listdir("/sys/fs/btrfs") if name.count("-") == 4]  # noqa: PLR2004
    except OSError:
        return []


def snapshot_plans(path: str) -> tuple[str, ...]:
    """Programs that snapshot the subvolume of a path; Hidden where one's file may not be read."""
    while _status(path) is None:
        path = os.path.dirname(path)
    with inode.opened(path) as fd:
        found = tuple(snapshotters.of(btrfs.subvolume(fd).identifier))
    if not found and (hidden := snapshotters.closed()):
        raise Hidden(f"{hidden} is not readable as {caller.caller().name}")
    return found


def is_subvolume_root(path: str) -> bool:
    """By its inode number, on a path known to be on Btrfs."""
    return os.stat(path).st_ino == btrfs.FIRST_INODE


def snapshots(path: str, see: Snapshot) -> tuple[str, ...]:
    """Signs that the subvolume of a path is snapshotted: ones there are, and ones to come."""
    while _status(path) is None:
        path = os.path.dirname(path)
    with inode.opened(path) as fd:
        return see(SnapshotsIn(os.fstat(fd).st_dev, path))


def snapshots_in(path: str) -> tuple[str, ...]:
    """The same for an existing path that may be read.

    Those there are only root sees; a program that will make more is sign enough.
    """
    with inode.opened(path) as fd:
        own = btrfs.subvolume(fd)
        coming = tuple(snapshotters.of(own.identifier))
        try:
            count = btrfs.snapshots(fd, own.uuid)
        except PermissionError:
            if not coming:
                raise Hidden("snapshots are listed only for root") from None
            count = 0
    there = (f"{counted(count, 'snapshot')} of its subvolume",) if count else ()
    return (*there, *coming)


def home_of(path: str, see: Snapshot) -> str:
    """Tell which filesystem and subvolume a path lies on, or would: its nearest existing ancestor.

    A filesystem without a UUID of its own is told by its type and source; "" where it cannot
    be seen. Device numbers are no answer: they change from boot to boot.
    """
    try:
        while _status(path) is None:
            path = os.path.dirname(path)
        real = os.path.realpath(path)
        if statfs.filesystem_type(path) == "btrfs":
            # Not the path itself: nobody need be allowed to read the file.
            folder = path if os.path.isdir(path) else os.path.dirname(path)
            with inode.opened(folder, extra=os.O_DIRECTORY) as fd:
                inside = btrfs.subvolume(fd).identifier
                return f"btrfs {btrfs.filesystem_uuid(fd)} subvolume {inside}"
    except OSError:
        return ""
    mounted = see.maybe(Mounts())
    mount = mountinfo.containing(mounted, real) if mounted else None
    return f"{mount.fstype} {mount.source}" if mount else ""
