"""What only ``vmtune init`` and ``vmtune doctor`` ask of a host: who keeps images where."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.facts.host_view import Fact, PathFact
from reconciler.value import Value

if TYPE_CHECKING:
    from reconciler.formats.libvirtxml import Domain, Pool


SYSTEM, SESSION = "system", "session"


class Libvirt(Value):
    """Pools and domains of one libvirt; ``unread`` says what of it could not be read, and why."""

    pools: tuple[Pool, ...] = ()
    domains: tuple[Domain, ...] = ()
    unread: tuple[str, ...] = ()


class LibvirtOf(Fact[Libvirt]):
    """``whose`` is SYSTEM (qemu:///system) or SESSION (the caller's own)."""

    whose: str


class Caller(Value):
    """Who asks, whose home counts as ``~``, and whether that is root."""

    name: str
    home: str
    is_root: bool


class WhoAsks(Fact[Caller]):
    """Also under sudo: the person in front of the terminal."""


class ImageFolder(Value):
    """A directory with image files in it: how many, and their sizes summed up, in bytes."""

    path: str
    count: int
    size: int


class ImageFolders(Value):
    """``whole`` is False where the search gave up: too deep, too many, or not readable."""

    folders: tuple[ImageFolder, ...] = ()
    whole: bool = True


class ImagesBelow(Fact[ImageFolders]):
    """Files by the names of images, up to ``depth`` directories below the path, by path.

    ``names`` are further names that count there, of images without a suffix.
    """

    path: str
    depth: int
    names: tuple[str, ...] = ()


class Machine(Value):
    """A quickemu configuration, and the image it names; both absolute."""

    file: str
    disk: str


class QuickemuIn(Fact[tuple[Machine, ...]]):
    """The configurations right in a directory, by name."""

    folder: str


class TmpfilesLine(Value):
    """A line that sets the nocow attribute of ``path`` at each boot."""

    file: str
    number: int
    path: str


class TmpfilesLines(Fact[tuple[TmpfilesLine, ...]]):
    """Those of /etc/tmpfiles.d, where administrators put theirs."""


class SnapshotTool(Value):
    """A program that snapshots a subvolume by schedule, and the file that says so."""

    name: str
    file: str
    path: str


class SnapshotTools(Fact[tuple[SnapshotTool, ...]]):
    """snapper, Timeshift and btrbk, as far as their files may be read."""


class SnapshotPlansOf(PathFact[tuple[str, ...]]):
    """As SnapshotsOf, but only the snapshots to come: which needs no root."""


class SubvolumeRoot(PathFact[bool]):
    """Whether an existing directory is itself the root of a Btrfs subvolume."""


class Label(Value):
    """The SELinux label of a directory, and the policy's for its path.

    ``differs``: they are of different types, and nobody may have set the one by hand.
    """

    have: str
    want: str
    differs: bool


class LabelOf(PathFact["Label | None"]):
    """None where SELinux is off, or its policy has no label for the path."""


class Kernel(Value):
    """``release`` as of ``uname -r``; ``btrfs``: the filesystem is there, or can be loaded."""

    release: str
    btrfs: bool


class RunningKernel(Fact[Kernel]):
    """The kernel that runs, for doctor's row; documents ask ``linux.machine.kernel``."""


class VersionOf(Fact[str]):
    """The number that a program prints for --version; "" where it is not installed."""

    program: str


class Space(Value):
    """statvfs(3) in bytes, ``free`` as ordinary users have it."""

    total: int
    free: int


class SpaceOn(PathFact[Space]):
    """The room of the filesystem that an existing path is on."""
