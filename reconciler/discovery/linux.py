"""Answers to what only ``vmtune init`` and ``vmtune doctor`` ask: who keeps images where."""

from __future__ import annotations

import os
import posixpath
import re
import shlex
import time
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from reconciler.discovery import facts as discovery
from reconciler.discovery.facts import SYSTEM, Libvirt
from reconciler.errors import HostError
from reconciler.facts import host as facts
from reconciler.formats import image_file, libvirtxml
from reconciler.linux import btrfs, files, filesystems, inode, machine, process, selinux, users

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from reconciler.engine.place import Reads
    from reconciler.facts.host_view import HostView


T = TypeVar("T")

_MOST = 500
"""Files or names of one sort that are looked at."""


def libvirt(whose: str) -> Libvirt:
    """The system's libvirt through virsh where its daemon runs, else from files; never started."""
    if whose == SYSTEM:
        return _asked() or _read(["/etc/libvirt"])
    return _read(_own_folders())


def _own_folders() -> list[str]:
    """Of the caller; GNOME Boxes in a Flatpak has a libvirt of its own."""
    who = users.caller()
    chosen = os.environ.get("XDG_CONFIG_HOME", "") if os.getuid() == who.uid else ""
    config = chosen if os.path.isabs(chosen) else f"{who.home}/.config"
    return [f"{config}/libvirt", f"{who.home}/.var/app/org.gnome.Boxes/config/libvirt"]


def _read(folders: list[str]) -> Libvirt:
    unread: list[str] = []
    pools = [
        pool for folder in folders for pool in _parsed(f"{folder}/storage", libvirtxml.pool, unread)
    ]
    domains = [
        domain
        for folder in folders
        for domain in _parsed(f"{folder}/qemu", libvirtxml.defined, unread)
    ]
    return Libvirt(tuple(pools), tuple(domains), tuple(unread))


def _parsed(folder: str, parse: Callable[[bytes], T], unread: list[str]) -> Iterator[T]:
    """Each *.xml of a folder; what cannot be read is named."""
    try:
        names = sorted(name for name in os.listdir(folder) if name.endswith(".xml"))
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        unread.append(f"{folder}: {error.strerror}")
        return
    for name in names[:_MOST]:
        path = f"{folder}/{name}"
        try:
            yield parse(files.start_of(path, libvirtxml.LARGEST + 1))
        except OSError as error:
            unread.append(f"{path}: {error.strerror}")
        except ValueError as error:
            unread.append(f"{path}: {error}")


def _asked() -> Libvirt | None:
    """What virsh says; None where it is missing, or nobody would answer it.

    It is asked only when a daemon runs already: a connection would start one,
    and that one the machines that start by themselves.
    """
    if not process.find("virsh") or not process.running(frozenset({"libvirtd", "virtqemud"})):
        return None
    until = time.monotonic() + 5.0  # for all that virsh is asked
    try:
        pools = tuple(_described("pool", libvirtxml.pool, until))
        return Libvirt(pools, tuple(_described("domain", libvirtxml.defined, until)))
    except (HostError, ValueError):
        return None


def _described(what: str, parse: Callable[[bytes], T], until: float) -> Iterator[T]:
    of_pools = "pool-" if what == "pool" else ""
    # By UUID: names may hold blanks, and virsh pads those of pools with more.
    for uuid in _virsh(until, f"{of_pools}list", "--all", "--uuid").split()[:_MOST]:
        yield parse(os.fsencode(_virsh(until, f"{of_pools}dumpxml", f"--{what}", uuid)))


def _virsh(until: float, *words: str) -> str:
    """Read-only (-r): it may not change anything, and needs no password."""
    left = max(0.1, until - time.monotonic())
    return process.must("virsh", "-q", "-r", "-c", "qemu:///system", *words, timeout=left)


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
    discovery.LibvirtOf: lambda q, _: libvirt(q.whose),
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
    *(*image_file.SUFFIXES, ".raw", ".img", ".vdi", ".vhd", ".vhdx"),
    ".rawdisk",  # minikube's
)

_MOST_ENTRIES, _MOST_FOLDERS = 50_000, 50


def image_folders(query: discovery.ImagesBelow, mounted: frozenset[str]) -> discovery.ImageFolders:
    """Not through symbolic links, nor into other mounts; subvolumes it does enter."""
    found: dict[str, discovery.ImageFolder] = {}
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
            found[folder] = discovery.ImageFolder(folder, len(images), sum(map(_size, images)))
        inner = [e.path for e in listed if e.is_dir(follow_symlinks=False)]
        inner = [each for each in inner if each not in mounted]
        is_too_much = entries > _MOST_ENTRIES or len(found) > _MOST_FOLDERS
        if inner and (level >= query.depth or is_too_much):
            whole = False
        else:
            pending.extend((each, level + 1) for each in inner)
    return discovery.ImageFolders(tuple(found[folder] for folder in sorted(found)), whole)


def _is_image(entry: os.DirEntry[str], names: frozenset[str]) -> bool:
    is_named = entry.name in names or entry.name.lower().endswith(_SUFFIXES)
    return is_named and entry.is_file(follow_symlinks=False)


def _size(entry: os.DirEntry[str]) -> int:
    with suppress(OSError):
        return entry.stat(follow_symlinks=False).st_size
    return 0  # gone by now


def quickemu_machines(folder: str) -> tuple[discovery.Machine, ...]:
    """Quickemu's configurations in a folder that name an image: of the first thousand."""
    confs = islice(_confs(folder, 1 << 16), 1000)
    found = ((path, quickemu_disk(data, folder)) for path, data in confs)
    return tuple(discovery.Machine(path, disk) for path, disk in found if disk)


def _confs(folder: str, largest: int) -> Iterator[tuple[str, bytes]]:
    """Each *.conf of a folder that can be read, by name: its path, and its first bytes."""
    try:
        names = sorted(name for name in os.listdir(folder) if name.endswith(".conf"))
    except OSError:
        return
    for path in (f"{folder}/{name}" for name in names):
        try:
            data = files.start_of(path, largest)
        except OSError:
            continue
        yield path, data


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


def tmpfiles_lines() -> tuple[discovery.TmpfilesLine, ...]:
    """All of them, in the order in which systemd reads the files."""
    return tuple(
        discovery.TmpfilesLine(file, number, path)
        for file, data in _confs("/etc/tmpfiles.d", 1 << 20)
        for number, path in nocow_lines(data)
    )


_ARGUMENT = 6
"""Type, path, mode, user, group, age, argument."""


def nocow_lines(data: bytes) -> Iterator[tuple[int, str]]:
    """Lines of type h or H that add C, each with its number, from 1, and its absolute path.

    What only systemd can read is left out: a path with specifiers or wildcards.
    """
    for number, row in enumerate(data.decode("utf-8", "surrogateescape").split("\n"), 1):
        try:
            fields = [] if row.lstrip().startswith("#") else shlex.split(row)
        except ValueError:  # a quote is open
            continue
        if len(fields) > _ARGUMENT and fields[0][:1] in {"h", "H"}:
            path, argument = fields[1], fields[_ARGUMENT]
            adds = "C" in argument and not argument.startswith("-")
            if adds and path.startswith("/") and not set(path) & set("%*?["):
                yield number, path.rstrip("/") or "/"
