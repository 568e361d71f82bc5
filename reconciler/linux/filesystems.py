"""Where a path is, and on what: resolved names, filesystem types, snapshots.

Programs that take snapshots by schedule count, too: the ones to come as much as those there are.
"""

from __future__ import annotations

import errno
import glob
import json
import os
import re
import stat
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from reconciler.facts.host import (
    BtrfsIn,
    Filesystem,
    Location,
    Mounts,
    Quota,
    SnapshotsIn,
    SystemSubvolume,
)
from reconciler.facts.host_view import NotVisible
from reconciler.facts.stub import KIND as STUB
from reconciler.formats import mountinfo
from reconciler.formats.paths import at_and_above, is_at_or_below, is_below
from reconciler.formats.sizes import counted
from reconciler.linux import btrfs, files, inode, process, syscalls, trees, users

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

    from reconciler.facts.host_view import HostView


def mounts() -> tuple[mountinfo.Mount, ...]:
    """/proc/self/mountinfo, parsed."""
    return mountinfo.parse(process.kernel_file("/proc/self/mountinfo"))


def locate(path: str, homes: frozenset[str]) -> Location:
    """Resolve links; for a path that is not there, find out which directories to make."""
    real, links = _followed(path)
    nearest, status = _nearest(real)
    missing = [each for each in at_and_above(real) if is_below(each, nearest)][::-1]
    is_stub = trees.is_stub(nearest, status)
    kind = STUB if is_stub else _KINDS.get(stat.S_IFMT(status.st_mode), "a special file")
    if missing:
        kind = "missing" if kind == "directory" else f"below {nearest}, which is {kind}"
    at_home = any(is_at_or_below(nearest, home) for home in homes)
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
    with suppress(FileNotFoundError, NotADirectoryError):
        return os.lstat(path)
    return None


def _nearest(path: str) -> tuple[str, os.stat_result]:
    """An absolute path, or the first one above it that is there, and what is there."""
    while (status := _status(path)) is None:
        path = os.path.dirname(path)
    return path, status


def filesystem(path: str, host: HostView) -> Filesystem:
    """The filesystem of an existing path, or of the nearest existing directory above it."""
    path, there = _nearest(path)
    name = syscalls.filesystem_type(path)
    if name != "btrfs":
        return Filesystem(name)
    if trees.is_stub(path, there):  # it answers no ioctl (ENOTTY); what it lies in does
        path = os.path.dirname(path)
        there = os.lstat(path)
    status = os.statvfs(path)
    # One that may not be read says nothing of the others there.
    is_open = os.access(path, os.R_OK)
    found = host(BtrfsIn(there.st_dev, path)) if is_open else btrfs_in(path, host)
    read_only = inode.is_read_only(path) or found.read_only
    return replace(found, free=status.f_bavail * status.f_frsize, read_only=read_only)


def btrfs_in(path: str, host: HostView) -> Filesystem:
    """What a Btrfs says of itself, and of the subvolume of an existing path."""
    with _anywhere_on(path, host) as fd:
        uuid, inside = btrfs.filesystem_uuid(fd), btrfs.subvolume(fd)
        is_there = os.fstat(fd).st_dev == os.lstat(path).st_dev
        return Filesystem(
            "btrfs",
            uuid,
            btrfs.label(fd),
            btrfs.data_profiles(fd),
            read_only=inside.read_only,
            condition=btrfs.condition(fd),
            quota=trees.quota_of(fd, uuid, inside.identifier) if is_there else Quota(unseen=True),
            zoned=btrfs.is_zoned(fd),
        )


def _anywhere_on(path: str, host: HostView) -> AbstractContextManager[int]:
    """A descriptor on the path, or on the mount point it is below: the answers are alike."""
    if not os.access(path, os.R_OK):
        mount = mountinfo.containing(host(Mounts()), path)
        if mount and os.access(mount.target, os.R_OK):
            path = mount.target
    return inode.opened(path)


_BY_UUID = "/dev/disk/by-uuid/"


def source_uuid(source: str) -> str:
    """The Btrfs UUID behind UUID=, LABEL=, PARTUUID=, PARTLABEL= or a device; "" for others."""
    tag, equals, value = source.partition("=")
    if equals and tag == "UUID":
        return value
    if source.startswith(_BY_UUID) and not os.path.exists(source):  # no udev, as in a chroot
        return source.removeprefix(_BY_UUID)
    # Of the mounted Btrfs filesystems, by their UUIDs; "features" and "debug" are none.
    folders = glob.glob("/sys/fs/btrfs/*-*-*-*-*")
    if equals and tag == "LABEL":
        labels = ((each, files.read_gone(f"{each}/label").rstrip(b"\n")) for each in folders)
        found = (each for each, label in labels if label == os.fsencode(value))
    else:
        if equals and tag in {"PARTUUID", "PARTLABEL"}:
            source = f"/dev/disk/by-{tag.lower()}/{value}"
        if not source.startswith("/dev/"):
            return ""
        device = os.path.basename(os.path.realpath(source))
        found = (each for each in folders if os.path.exists(f"{each}/devices/{device}"))
    return os.path.basename(next(found, ""))


def snapshot_plans(path: str) -> tuple[str, ...]:
    """Programs that snapshot a path's subvolume; NotVisible if one's file may not be read."""
    with inode.opened(_nearest(path)[0]) as fd:
        found = tuple(snapshot_tools_of(btrfs.subvolume(fd).identifier))
    if not found and (hidden := unreadable_tool()):
        raise NotVisible(f"{hidden} is not readable as {users.acting()}")
    return found


def snapshots(path: str, host: HostView) -> tuple[str, ...]:
    """Signs that the subvolume of a path is snapshotted: ones there are, and ones to come."""
    path, _ = _nearest(path)
    with inode.opened(path) as fd:
        return host(SnapshotsIn(os.fstat(fd).st_dev, path))


def snapshots_in(path: str) -> tuple[str, ...]:
    """The same for an existing path that may be read.

    Those there are only root sees; a program that will make more is sign enough.
    """
    with inode.opened(path) as fd:
        own = btrfs.subvolume(fd)
        coming = tuple(snapshot_tools_of(own.identifier))
        try:
            there = _named(fd, trees.snapshots(fd, own.uuid))
        except PermissionError:
            if not coming:
                raise users.not_visible("list snapshots") from None
            there = ()
    return (*there, *coming)


def _named(fd: int, there: Sequence[int]) -> tuple[str, ...]:
    """Say how many snapshots there are, and which is the newest: the first that anybody looks for.

    Its path is that from the top level of the filesystem, which need not be mounted anywhere.
    """
    if not there:
        return ()
    path = trees.path_of(fd, there[-1])
    newest = path if len(there) == 1 else f"the newest is {path}"
    name = f" ({newest})" if path else ""
    return (f"{counted(len(there), 'snapshot')} of its subvolume{name}",)


def subvolume_at(target: str) -> SystemSubvolume:
    """Tell which subvolume is at a mount point, and which one a mount without subvol= shows."""
    with inode.opened(target, extra=os.O_DIRECTORY) as fd:
        mine = btrfs.subvolume(fd)
        found = SystemSubvolume(mine.identifier, mine.is_snapshot)
        with suppress(PermissionError):
            default, path = trees.default_subvolume(fd)
            found = replace(found, default=default, default_path=path)
        return found


def home_of(path: str, host: HostView) -> str:
    """Tell which filesystem and subvolume a path lies on, or would: its nearest existing ancestor.

    A filesystem without a UUID of its own is told by its type and source; "" where it cannot
    be seen. Device numbers are no answer: they change from boot to boot.
    """
    try:
        path, _ = _nearest(path)
        real = os.path.realpath(path)
        if syscalls.filesystem_type(path) == "btrfs":
            # Not the path itself: nobody need be allowed to read the file.
            folder = path if os.path.isdir(path) else os.path.dirname(path)
            with inode.opened(folder, extra=os.O_DIRECTORY) as fd:
                inside = btrfs.subvolume(fd).identifier
                return f"btrfs {btrfs.filesystem_uuid(fd)} subvolume {inside}"
    except OSError:
        return ""
    mount = mountinfo.containing(host.maybe(Mounts()) or (), real)
    return f"{mount.fstype} {mount.source}" if mount else ""


_SNAPPER = "/etc/snapper/configs"

_TIMESHIFT = "/etc/timeshift/timeshift.json"

_BTRBK = ("/etc/btrbk/btrbk.conf", "/etc/btrbk.conf")


def snapshot_tools_of(subvolume: int) -> Iterator[str]:
    """Which of them snapshot the subvolume with this identifier, in words."""
    for name, file, path in snapshot_tools():
        with suppress(OSError), inode.opened(path) as fd:
            if btrfs.subvolume(fd).identifier == subvolume:
                yield f"{name} ({file}) snapshots its subvolume"


def snapshot_tools() -> Iterator[tuple[str, str, str]]:
    """Program, file and path of each subvolume it snapshots, as far as files may be read."""
    for path in files.listed(_SNAPPER):
        for found in re.findall(rb'(?m)^\s*SUBVOLUME="?([^"\n]*)"?', files.read_gone(path)):
            yield "snapper", path, found.decode("utf-8", "surrogateescape")
    for path in _timeshift():
        yield "Timeshift", _TIMESHIFT, path
    for file in _BTRBK:
        for pattern in btrbk_subvolumes(files.read_gone(file)):
            for path in sorted(glob.glob(pattern)):
                yield "btrbk", file, path


def unreadable_tool() -> str:
    """The first of their files that may not be read from here; "" when all may."""
    for path in (*files.listed(_SNAPPER), _TIMESHIFT, *_BTRBK):
        if os.path.exists(path) and not os.access(path, os.R_OK):
            return path
    is_closed = os.path.isdir(_SNAPPER) and not os.access(_SNAPPER, os.R_OK | os.X_OK)
    return _SNAPPER if is_closed else ""


def _timeshift() -> Iterator[str]:
    """It snapshots @, and @home where that is asked for; in its other mode it uses rsync."""
    try:
        settings = json.loads(files.read_gone(_TIMESHIFT))
    except (ValueError, RecursionError):
        return
    if isinstance(settings, dict) and settings.get("btrfs_mode") == "true":
        yield "/"
        if settings.get("include_btrfs_home_for_backup") == "true":
            yield "/home"


_WORD = re.compile(rb"""(?m)^[ \t]*(volume|subvolume)[ \t]+(?:"([^"\n]*)"|'([^'\n]*)'|(\S+))""")


def btrbk_subvolumes(data: bytes) -> tuple[str, ...]:
    """Their absolute paths, with wildcards as they are; relative ones count from their volume."""
    volume, found = "", []
    for word, *names in _WORD.findall(data):
        name = b"".join(names).decode("utf-8", "surrogateescape").rstrip("/") or "/"
        if word == b"volume":
            volume = name
        elif name.startswith("/"):
            found.append(name)
        elif volume.startswith("/"):  # not one on another host
            found.append(volume if name == "." else f"{volume.rstrip('/')}/{name}")
    return tuple(found)
