"""Answers to what only ``vmtune init`` and ``vmtune doctor`` ask: who keeps images where."""

from __future__ import annotations

import os
import posixpath
import re
import shlex
from typing import TYPE_CHECKING

from reconciler.discovery import facts as discovery
from reconciler.discovery import libvirt
from reconciler.discovery.facts import ImageFolder, ImageFolders, Machine, TmpfilesLine
from reconciler.facts import host as facts
from reconciler.formats import image_file
from reconciler.linux import btrfs, files, filesystems, inode, machine, process, selinux, users
from reconciler.value import Value

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.discovery.facts import ImagesBelow
    from reconciler.engine.place import Reads
    from reconciler.facts.host_view import HostView


def _who() -> discovery.Caller:
    who = users.caller()
    return discovery.Caller(who.name, who.home.rstrip("/"), os.geteuid() == 0)


def _images(query: discovery.ImagesBelow, host: HostView) -> discovery.ImageFolders:
    mounted = frozenset(mount.target for mount in host(facts.Mounts()))
    return image_folders(query, mounted)


def _space(path: str) -> discovery.Space:
    found = os.statvfs(path)
    return discovery.Space(found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize)


def _tools() -> tuple[discovery.SnapshotTool, ...]:
    return tuple(discovery.SnapshotTool(*each) for each in filesystems.snapshot_tools())


def _label(path: str) -> discovery.Label | None:
    if not selinux.enabled() or not (want := selinux.by_policy(path)):
        return None
    with inode.directory(path) as fd:
        have = selinux.of(fd)
    is_other = selinux.type_of(have) != selinux.type_of(want)
    return discovery.Label(have, want, is_other and not selinux.is_customizable(have))


READS: Reads = {
    discovery.ImagesBelow: _images,
    discovery.LabelOf: lambda q, _: _label(q.path),
    discovery.LibvirtOf: lambda q, _: libvirt.look(q.whose),
    discovery.QuickemuIn: lambda q, _: quickemu_machines(q.folder),
    discovery.RunningKernel: lambda _, __: discovery.Kernel(machine.kernel(), machine.has_btrfs()),
    discovery.SnapshotPlansOf: lambda q, _: filesystems.snapshot_plans(q.path),
    discovery.SnapshotTools: lambda _, __: _tools(),
    discovery.SpaceOn: lambda q, _: _space(q.path),
    discovery.SubvolumeRoot: lambda q, _: os.stat(q.path).st_ino == btrfs.FIRST_INODE,
    discovery.TmpfilesLines: lambda _, __: tmpfiles_lines(),
    discovery.VersionOf: lambda q, _: process.version(q.program),
    discovery.WhoAsks: lambda _, __: _who(),
}

_SUFFIXES = (
    *image_file.SUFFIXES,
    *(".raw", ".img", ".vdi", ".vhd", ".vhdx"),
    ".rawdisk",  # minikube's
)

_MOST_ENTRIES = 50_000

_MOST_FOLDERS = 50

_LARGEST_CONF = 1 << 16

_MOST_CONFS = 1000


def image_folders(query: ImagesBelow, mounted: frozenset[str]) -> ImageFolders:
    """Not through symbolic links, nor into other mounts; subvolumes it does enter."""
    found: dict[str, ImageFolder] = {}
    names = frozenset(query.names)
    pending, entries, whole = [(query.path, 0)], 0, True
    while pending:
        folder, level = pending.pop()
        try:
            listed = list(os.scandir(folder))
        except FileNotFoundError:
            continue
        except OSError:
            whole = False
            continue
        entries += len(listed)
        if images := [e for e in listed if _is_image(e, names)]:
            found[folder] = ImageFolder(folder, len(images), sum(map(_size, images)))
        inner = [e.path for e in listed if e.is_dir(follow_symlinks=False)]
        inner = [each for each in inner if each not in mounted]
        is_too_much = entries > _MOST_ENTRIES or len(found) > _MOST_FOLDERS
        if inner and (level >= query.depth or is_too_much):
            whole = False
        else:
            pending.extend((each, level + 1) for each in inner)
    return ImageFolders(tuple(found[folder] for folder in sorted(found)), whole)


def _is_image(entry: os.DirEntry[str], names: frozenset[str]) -> bool:
    is_named = entry.name in names or entry.name.lower().endswith(_SUFFIXES)
    return is_named and entry.is_file(follow_symlinks=False)


def _size(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat(follow_symlinks=False).st_size
    except OSError:  # gone by now
        return 0


def quickemu_machines(folder: str) -> tuple[Machine, ...]:
    """Quickemu's configurations in a folder that name an image."""
    return tuple(_machines(folder))


def _machines(folder: str) -> Iterator[Machine]:
    try:
        names = sorted(name for name in os.listdir(folder) if name.endswith(".conf"))
    except OSError:
        return
    for name in names[:_MOST_CONFS]:
        path = f"{folder}/{name}"
        try:
            disk = quickemu_disk(files.start_of(path, _LARGEST_CONF), folder)
        except OSError:
            continue
        if disk:
            yield Machine(path, disk)


_DISK = re.compile(rb"""(?m)^[ \t]*disk_img=(?:"([^"\n$`\\]+)"|'([^'\n]+)'|([^\s"'$`\\;#]+))""")


def quickemu_disk(data: bytes, folder: str) -> str:
    """The image's absolute path, "" where none is named or only a shell can tell.

    A relative one counts from the ``folder`` of the file, where quickemu is started.
    """
    found = _DISK.findall(data)
    if not found:
        return ""
    name = b"".join(found[-1]).decode("utf-8", "surrogateescape")
    return posixpath.normpath(posixpath.join(folder, name))


_FOLDER = "/etc/tmpfiles.d"

_LARGEST = 1 << 20


def tmpfiles_lines() -> tuple[TmpfilesLine, ...]:
    """All of them, in the order in which systemd reads the files."""
    names = sorted(os.listdir(_FOLDER)) if os.path.isdir(_FOLDER) else []
    return tuple(
        TmpfilesLine(path, line.number, line.path)
        for path in (f"{_FOLDER}/{name}" for name in names if name.endswith(".conf"))
        for line in nocow_lines(_text(path))
    )


def _text(path: str) -> bytes:
    try:
        return files.start_of(path, _LARGEST)
    except OSError:
        return b""


_ARGUMENT = 6
"""Type, path, mode, user, group, age, argument."""


class TmpfilesEntry(Value):
    """``number`` counts lines from 1; ``path`` is absolute, without specifiers or wildcards."""

    number: int
    path: str


def nocow_lines(data: bytes) -> Iterator[TmpfilesEntry]:
    """Lines of type h or H that add C; what only systemd can read is left out."""
    for number, row in enumerate(data.decode("utf-8", "surrogateescape").split("\n"), 1):
        try:
            fields = [] if row.lstrip().startswith("#") else shlex.split(row)
        except ValueError:  # a quote is open
            continue
        if len(fields) > _ARGUMENT and fields[0][:1] in {"h", "H"}:
            path, argument = fields[1], fields[_ARGUMENT]
            adds = "C" in argument and not argument.startswith("-")
            if adds and path.startswith("/") and _is_plain(path):
                yield TmpfilesEntry(number, path.rstrip("/") or "/")


def _is_plain(path: str) -> bool:
    return not set(path) & set("%*?[")
