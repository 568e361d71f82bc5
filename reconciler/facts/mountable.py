"""Which subvolume a line of /etc/fstab would mount, and whether it can mount at all.

Rules of the kernel, measured with mount(8): ``subvol=`` is a path from the top level, and
``subvolid=`` a number in any base of strtoull(3), 0 for the top level. Of each the last one
counts. Where both are given they must name the same subvolume. Where neither is given the default
subvolume is mounted (btrfs-subvolume(8), set-default). The path must be a subvolume's, and no
directory's. Symbolic links in it are followed, an absolute one from the top level.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from reconciler.facts.host import FilesystemOf, Locate, Mounts
from reconciler.facts.host_view import Fact, NotVisible
from reconciler.formats import fstab, mountinfo, options
from reconciler.value import Value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.facts.host_view import HostView
    from reconciler.formats.fstab import Line
    from reconciler.formats.mountinfo import Mount


SUBVOLUME, DIRECTORY, MISSING, OTHER = "subvolume", "directory", "missing", "other"

TOP = 5
"""BTRFS_FS_TREE_OBJECTID: the id of the top level."""

_NUMBER = re.compile(r"\+?(0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*)")

_MOST = 2**64

_READ_IN_TWO_WAYS = re.compile(r'"|\\(?!040|011)')
"""Quotes and escapes that versions of mount(8), or mount(8) and systemd, do not read alike."""


class Entry(Value):
    """What a path from the top level leads to; ``identifier`` is 0 for all but a subvolume.

    ``path`` is the subvolume's own, where the path leads there by a symbolic link; else "".
    """

    identifier: int
    kind: str
    path: str = ""


class SubvolumeNamed(Fact[Entry]):
    """Find a path ("/@home") from the top level of the filesystem that is mounted at ``on``."""

    on: str
    name: str


class SubvolumePath(Fact[str]):
    """Find the path of a subvolume from the top level; "" where there is none of that id."""

    on: str
    identifier: int


class DefaultSubvolume(Fact[int]):
    """Find the id of the subvolume that is mounted where no option names one."""

    on: str


class Named(Value):
    """The subvolume that a line would mount."""

    identifier: int
    path: str

    @property
    def words(self) -> str:
        return f"{self.path} (id {self.identifier})"


class Fault(Value):
    """Why no mount by a line works, and what to do about it."""

    text: str
    remedy: str


def uuid_of(mount: Mount, host: HostView) -> str:
    """Return the UUID of a mounted Btrfs, in small letters; "" for another one, or unseen."""
    found = host.maybe(FilesystemOf(mount.target)) if mount.fstype == "btrfs" else None
    return found.uuid.lower() if found else ""


def reachable_mounts_of(uuid: str, host: HostView) -> tuple[Mount, ...]:
    """Return the mounts of a filesystem that can be reached."""
    mounts = host(Mounts())
    found = [m for m in mounts if m.fstype == "btrfs" and mountinfo.at(mounts, m.target) == m]
    devices: dict[str, str] = {}
    for mount in found:
        if not devices.get(mount.device):
            devices[mount.device] = uuid_of(mount, host)
    return tuple(m for m in found if uuid and devices[m.device] == uuid.lower())


def of_line(line: Line, mounts: Sequence[Mount], host: HostView) -> Named | Fault:
    """Return what a line would mount, or why it cannot.

    ``mounts`` are those of its filesystem. Raise NotVisible where that cannot be seen.
    """
    name, number = _written(line, "subvol"), _written(line, "subvolid")
    if fault := _unreadable(line, name, number):
        return fault
    if not mounts:
        raise NotVisible("its filesystem is not mounted here", for_all=True)
    path = fstab.subvolume_named(line.options)
    if name is not None and (path is None or _READ_IN_TWO_WAYS.search(name)):
        raise NotVisible(f"what subvol={name} names depends on who reads it", for_all=True)
    if path is None:
        return _by_number(line, number, mounts, host)
    return _by_path(line, path, number, mounts, host)


def _by_number(
    line: Line, number: str | None, mounts: Sequence[Mount], host: HostView
) -> Named | Fault:
    """Follow subvolid=, or what is mounted where nothing is named."""
    on, known = mounts[0].target, {**_shown(mounts), TOP: "/"}
    identifier = host(DefaultSubvolume(on)) if number is None else _identifier(number)
    if found := known.get(identifier) or host(SubvolumePath(on, identifier)):
        return Named(identifier, found)
    text = f"no subvolume has the id {identifier}, which the line names"
    return Fault(text, _instead(line, "subvolid", mounts, host))


def _by_path(
    line: Line, path: str, number: str | None, mounts: Sequence[Mount], host: HostView
) -> Named | Fault:
    """Follow subvol=, and compare subvolid= where that is given, too."""
    name, known = _written(line, "subvol"), _shown(mounts)
    identifier = 0 if number is None else _identifier(number)
    try:
        there = _at(path, known, mounts[0].target, host)
    except NotVisible:
        if known.get(identifier, path) == path:
            raise
        return Fault(
            f"the line says subvolid={number}, which is {known[identifier]}, and subvol={name}",
            f"take one of the two out of line {line.number}",
        )
    if there.kind != SUBVOLUME:
        is_directory = there.kind == DIRECTORY
        what = f"{path} is a directory" if is_directory else f"no subvolume is at {path}"
        return Fault(
            f"the line says subvol={name}, but {what}", _instead(line, "subvol", mounts, host)
        )
    if identifier and identifier != there.identifier:
        return Fault(
            f"the line says subvolid={number}, but {path} is {there.identifier}",
            f"take subvolid={number} out of line {line.number}",
        )
    return Named(there.identifier, there.path or path)


def mounted_by(line: Line, host: HostView) -> Named | None:
    """Return the subvolume that is mounted at a line's mount point; None where none is."""
    where = host.maybe(Locate(line.target)) if line.target.startswith("/") else None
    mount = mountinfo.at(host(Mounts()), where.path) if where else None
    pair = _pair(mount) if mount and mount.fstype == "btrfs" else None
    return Named(*pair) if pair else None


def _written(line: Line, name: str) -> str | None:
    """Return what stands behind the last ``name=``; "" for a bare word, None for none."""
    token = options.value(line.options, {name})
    return None if token is None else token.partition("=")[2]


def _unreadable(line: Line, name: str | None, number: str | None) -> Fault | None:
    """Return what is wrong with the words themselves, whatever is on the disk."""
    if name == "":
        return Fault(
            "subvol= in it names nothing, which the kernel refuses",
            f"write a subvolume's path behind it, or take it out of line {line.number}",
        )
    if number is not None and not (_NUMBER.fullmatch(number) and _identifier(number) < _MOST):
        return Fault(
            f"subvolid={number} in it is no number of a subvolume, which the kernel refuses",
            f"take subvolid= out of line {line.number}",
        )
    return None


def _identifier(number: str) -> int:
    """Return the number as strtoull(3) with base 0 reads it: 0x is hexadecimal, 0 octal."""
    digits = number.removeprefix("+")
    base = 16 if digits[:2].lower() == "0x" else 8 if digits[0] == "0" else 10
    return int(digits, base) or TOP


def _pair(mount: Mount) -> tuple[int, str] | None:
    """Return id and path of a mounted subvolume, as the kernel shows them at this moment."""
    number = mountinfo.option(mount.super_options, {"subvolid"}) or ""
    path = mountinfo.option(mount.super_options, {"subvol"}) or ""
    digits = number.partition("=")[2]
    return (int(digits), path.partition("=")[2]) if digits.isdigit() and path else None


def _shown(mounts: Sequence[Mount]) -> dict[int, str]:
    return dict(pair for mount in mounts if (pair := _pair(mount)))


def _at(path: str, known: dict[int, str], on: str, host: HostView) -> Entry:
    if path == "/":
        return Entry(TOP, SUBVOLUME)
    number = next((number for number, found in known.items() if found == path), 0)
    return Entry(number, SUBVOLUME) if number else host(SubvolumeNamed(on, path))


def _instead(line: Line, word: str, mounts: Sequence[Mount], host: HostView) -> str:
    """Say what to write: the subvolume that is mounted there, else where to look."""
    there = mounted_by(line, host)
    if there and there.identifier in _shown(mounts):
        return (
            f"{there.path} is mounted there now: write subvol={there.path} in line {line.number}, "
            "and no subvolid="
        )
    return (
        f"name a subvolume behind {word}= in line {line.number}: `btrfs subvolume list "
        f"{mounts[0].target}` lists them"
    )
