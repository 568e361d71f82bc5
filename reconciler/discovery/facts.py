"""What only ``vmtune init`` and ``vmtune doctor`` ask of a host: who keeps images where."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.facts.host_view import Fact
from reconciler.value import dataclass

if TYPE_CHECKING:
    from reconciler.discovery.libvirtxml import Domain, Pool


SYSTEM, SESSION = "system", "session"


@dataclass(frozen=True, slots=True)
class Libvirt:
    """Pools and domains of one libvirt; ``unread`` says what of it could not be read, and why."""

    pools: tuple[Pool, ...] = ()
    domains: tuple[Domain, ...] = ()
    unread: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LibvirtOf(Fact[Libvirt]):
    """``whose`` is SYSTEM (qemu:///system) or SESSION (the caller's own)."""

    whose: str


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, whose home counts as ``~``, and whether that is root."""

    name: str
    home: str
    is_root: bool


@dataclass(frozen=True, slots=True)
class WhoAsks(Fact[Caller]):
    """Also under sudo: the person in front of the terminal."""


@dataclass(frozen=True, slots=True)
class ImageFolder:
    """A directory with image files in it: how many, and their sizes summed up, in bytes."""

    path: str
    count: int
    size: int


@dataclass(frozen=True, slots=True)
class ImageFolders:
    """``whole`` is False where the search gave up: too deep, too many, or not readable."""

    folders: tuple[ImageFolder, ...] = ()
    whole: bool = True


@dataclass(frozen=True, slots=True)
class ImagesBelow(Fact[ImageFolders]):
    """Files by the names of images, up to ``depth`` directories below the path, by path.

    ``names`` are further names that count there, of images without a suffix.
    """

    path: str
    depth: int
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Machine:
    """A quickemu configuration, and the image it names; both absolute."""

    file: str
    disk: str


@dataclass(frozen=True, slots=True)
class QuickemuIn(Fact[tuple[Machine, ...]]):
    """The configurations right in a directory, by name."""

    folder: str


@dataclass(frozen=True, slots=True)
class TmpfilesLine:
    """A line that sets the nocow attribute of ``path`` at each boot."""

    file: str
    number: int
    path: str


@dataclass(frozen=True, slots=True)
class TmpfilesLines(Fact[tuple[TmpfilesLine, ...]]):
    """Those of /etc/tmpfiles.d, where administrators put theirs."""


@dataclass(frozen=True, slots=True)
class SnapshotTool:
    """A program that snapshots a subvolume by schedule, and the file that says so."""

    name: str
    file: str
    path: str


@dataclass(frozen=True, slots=True)
class SnapshotTools(Fact[tuple[SnapshotTool, ...]]):
    """snapper, Timeshift and btrbk, as far as their files may be read."""


@dataclass(frozen=True, slots=True)
class SnapshotPlansOf(Fact[tuple[str, ...]]):
    """As SnapshotsOf, but only the snapshots to come: which needs no root."""

    path: str


@dataclass(frozen=True, slots=True)
class SubvolumeRoot(Fact[bool]):
    """Whether an existing directory is itself the root of a Btrfs subvolume."""

    path: str


@dataclass(frozen=True, slots=True)
class Label:
    """The SELinux label of a directory, and the policy's for its path.

    ``differs``: they are of different types, and nobody may have set the one by hand.
    """

    have: str
    want: str
    differs: bool


@dataclass(frozen=True, slots=True)
class LabelOf(Fact["Label | None"]):
    """None where SELinux is off, or its policy has no label for the path."""

    path: str


@dataclass(frozen=True, slots=True)
class Kernel:
    """``release`` as of ``uname -r``; ``btrfs``: the filesystem is there, or can be loaded."""

    release: str
    btrfs: bool


@dataclass(frozen=True, slots=True)
class RunningKernel(Fact[Kernel]):
    pass


@dataclass(frozen=True, slots=True)
class VersionOf(Fact[str]):
    """The number that a program prints for --version; "" where it is not installed."""

    program: str


@dataclass(frozen=True, slots=True)
class Space:
    """statvfs(3) in bytes, ``free`` as ordinary users have it."""

    total: int
    free: int


@dataclass(frozen=True, slots=True)
class SpaceOn(Fact[Space]):
    path: str


@dataclass(frozen=True, slots=True)
class FstabFault:
    """An error of ``findmnt --verify``, and the mount point that it is about."""

    target: str
    text: str


@dataclass(frozen=True, slots=True)
class FstabFaults(Fact[tuple[FstabFault, ...]]):
    """Errors only: its warnings are about passno and types, and mostly wrong for Btrfs."""
