"""Which directories hold images, who says so, and how their paths are written in vmtune.yaml."""

from __future__ import annotations

import posixpath
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from reconciler.discovery.facts import (
    SESSION,
    SYSTEM,
    ImagesBelow,
    LibvirtOf,
    QuickemuIn,
    TmpfilesLines,
    WhoAsks,
)
from reconciler.facts.host import EntriesOf, Locate, TreeOf
from reconciler.formats.paths import is_at_or_below, is_below
from reconciler.formats.sizes import counted
from reconciler.value import Value

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from reconciler.discovery.facts import ImageFolders, Libvirt
    from reconciler.facts.host_view import HostView


_LONGEST_NAME, _LONGEST_PATH = 255, 4095  # NAME_MAX, and PATH_MAX less its NUL, in bytes

# What vmtune.yaml refuses in a text: what no editor shows, and what looks like an expansion.
_UNWRITABLE = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff\u200b\u2060\ufeff]"
)

_EXPANSION = re.compile(r"\$(?:\w|\{|\()|\{\{|\{%")


def tilde(path: str, home: str) -> str:
    """An absolute path with the home at its beginning as ~."""
    return f"~{path[len(home) :]}" if home and path.startswith(f"{home}/") else path


def declarable(shown: str) -> str:
    """Why a path cannot be written in vmtune.yaml; "" when it can."""
    if _UNWRITABLE.search(shown):
        return "has characters in its name that vmtune.yaml cannot hold; rename it"
    if _EXPANSION.search(shown):
        return "its name looks like a variable or a template; rename it"
    names = [name.encode() for name in shown.split("/")]
    if sum(map(len, names)) + len(names) > _LONGEST_PATH or max(map(len, names)) > _LONGEST_NAME:
        return "its name is longer than Linux allows"
    return ""


DEPTH = 3


class Usual(Value):
    """A directory that is looked into, ``depth`` levels deep, and whose it is.

    ``program`` keeps its images there; "" where people do. Where all images lie in the directory
    ``inner`` of it, that one is suggested: the rest is not for images. ``volumes``: each directory
    with an image is suggested on its own, since the others hold anything. ``names`` are
    those of images without a suffix.
    """

    path: str
    program: str = ""
    depth: int = DEPTH
    inner: str = ""
    volumes: bool = False
    names: tuple[str, ...] = ()

    def query(self, home: str) -> ImagesBelow:
        """Return the question for the images there."""
        path = home + self.path[1:] if self.path.startswith("~") else self.path
        return ImagesBelow(path, self.depth, self.names)


_BY_HAND = (
    "~/libvirt/images",
    "~/.local/share/libvirt/images",
    "~/VMs",
    "~/vms",
    "~/VirtualBox VMs",
    "~/Virtual Machines",
    "~/vmware",
    "~/quickemu",
    "~/Quickemu",
    "/var/lib/libvirt/images",
    "/srv/libvirt/images",
    "/srv/vm",
    "/srv/vms",
    "/vm",
    "/vms",
)

USUAL = (
    *map(Usual, _BY_HAND),
    Usual("~/.local/share/winpodx/storage", "winpodx"),
    Usual("~/.lima", "Lima", names=("basedisk", "diffdisk", "disk")),
    Usual("~/.local/share/containers/podman/machine", "podman machine"),
    Usual("~/.vagrant.d", "Vagrant", 6, inner="boxes"),
    Usual("~/.minikube", "minikube", 4, inner="machines"),
    Usual("~/.android/avd", "Android emulator"),
    Usual("~/.local/share/containers/storage/volumes", "podman", volumes=True),
    Usual("~/.local/share/docker/volumes", "docker", volumes=True),
    Usual("/var/lib/containers/storage/volumes", "podman", volumes=True),
    Usual("/var/lib/docker/volumes", "docker", volumes=True),
    Usual("/var/lib/incus/storage-pools", "Incus"),
    Usual("/var/lib/lxd/storage-pools", "LXD"),
    Usual("/var/snap/lxd/common/lxd/storage-pools", "LXD"),
    Usual("/var/snap/multipass/common/data/multipassd/vault/instances", "Multipass"),
    Usual("/var/lib/vz/images", "Proxmox VE"),
    Usual("/var/lib/machines", "systemd-machined"),
    Usual("/var/lib/nova/instances", "OpenStack Nova", names=("disk", "disk.local", "disk.swap")),
)

_VIRTUAL = ("virtu", "wirtu", "вирту", "вірту", "εικονικ", "仮想", "虚拟", "虛擬", "가상")
"""What the names of such directories have in common, from Máquinas virtuais to Virtuelle Maschinen.

Hypervisors translate the name of the directory in the home of whoever installs them.
"""


def at(places: Iterable[str], home: str) -> Iterator[str]:
    """Yield the paths, absolute; those of a home only where there is one."""
    for place in places:
        if not place.startswith("~"):
            yield place
        elif home:
            yield home + place[1:]


def reachable(home: str) -> Iterator[Usual]:
    """Yield the places; those of a home only where there is one."""
    return (each for each in USUAL if home or not each.path.startswith("~"))


_BOXES = (
    "~/.local/share/gnome-boxes/images",
    "~/.var/app/org.gnome.Boxes/data/gnome-boxes/images",
)

_QUICKEMU = ("~", "~/VMs", "~/vms", "~/quickemu", "~/Quickemu")

_NAMED = 4


class Candidate(Value):
    """A directory by its resolved path. ``cow`` is what its libvirt pool says of copy-on-write.

    Not ``dedicated``: an image lies in it, but nobody says that it is there for images.
    """

    path: str
    origins: tuple[str, ...]
    cow: str = ""
    dedicated: bool = True
    program: str = ""
    """The program that keeps its images there, and makes directories or subvolumes for them."""
    look: ImagesBelow | None = None
    """The question for its images where that is not the ordinary one."""

    def joined(self, other: Candidate) -> Candidate:
        """With what else is known of the same directory, or of one within it."""
        return Candidate(
            self.path,
            tuple(dict.fromkeys((*self.origins, *other.origins))),
            self.cow or other.cow,
            self.dedicated or (self.path == other.path and other.dedicated),
            self.program or other.program,
            self.look or other.look,
        )


def candidates(host: HostView) -> tuple[Candidate, ...]:
    """Each once, in the order found; what lies within another, and inherits from it, joins it."""
    found: dict[str, Candidate] = {}
    for named in _named(host):
        where = host.maybe(Locate(named.path))
        each = replace(named, path=where.path if where else named.path)
        found[each.path] = found[each.path].joined(each) if each.path in found else each
    return _outermost(found, host)


def images_below(of: Candidate, host: HostView) -> ImageFolders | None:
    """The image files that a candidate holds, or None where that cannot be seen."""
    found = host.maybe(of.look or ImagesBelow(of.path, DEPTH))
    if not found or not of.look or of.look.path == of.path:
        return found
    inside = (folder for folder in found.folders if is_at_or_below(folder.path, of.path))
    return replace(found, folders=tuple(inside))


def unread(host: HostView) -> Iterator[str]:
    """Usual places in which no images were found, though some may be there."""
    home = host(WhoAsks()).home
    for usual in reachable(home):
        query = usual.query(home)
        found = host.maybe(query)
        if found and not found.whole and not found.folders:
            yield query.path


def looked_in(host: HostView) -> Iterator[str]:
    """Where images were looked for, as a person would write it."""
    yield "libvirt's pools and domains"
    yield "what /etc/tmpfiles.d sets +C on"
    home = host(WhoAsks()).home
    if home:
        yield from _BOXES
        yield "quickemu's *.conf in " + ", ".join(_QUICKEMU)
        yield "~ itself, and directories in it whose names say virtual in some language"
    yield from (usual.path for usual in reachable(home))


def _named(host: HostView) -> Iterator[Candidate]:
    """By the paths as they are named, some of them more than once."""
    for whose in (SYSTEM, SESSION):
        yield from _of_libvirt(whose, host(LibvirtOf(whose)))
    yield from _of_others(host)
    for line in host.maybe(TmpfilesLines()) or ():
        if not line.path.startswith("/var/log/journal"):
            yield Candidate(line.path, (f"{line.file}:{line.number} sets +C on it at boot",))


def _of_others(host: HostView) -> Iterator[Candidate]:
    """GNOME Boxes, quickemu, and image files that lie where people put them."""
    home = host(WhoAsks()).home
    for path in at(_BOXES, home):
        if host.maybe(EntriesOf(path)):  # its images have names of systems, and no suffix
            yield Candidate(path, ("GNOME Boxes",))
    for usual in reachable(home):
        yield from _in_usual(usual, home, host)
    names = host.maybe(EntriesOf(home)) if home else None
    shown = (name for name in names or () if name[:1] != ".")  # hidden ones are programs' own
    for name in shown:
        is_virtual = any(word in name.casefold() for word in _VIRTUAL)
        if is_virtual and _holds_images(ImagesBelow(f"{home}/{name}", DEPTH), host):
            yield Candidate(f"{home}/{name}", ())
    for folder in at(_QUICKEMU, home):
        for machine in host.maybe(QuickemuIn(folder)) or ():
            where, origin = posixpath.dirname(machine.disk), posixpath.basename(machine.file)
            yield Candidate(where, (f"quickemu {origin}",), dedicated=False)
    if home and _holds_images(ImagesBelow(home, 0), host):
        yield Candidate(home, (), dedicated=False)


def _of_libvirt(whose: str, libvirt: Libvirt) -> Iterator[Candidate]:
    for pool in libvirt.pools:
        if pool.path and pool.type in {"dir", "fs", "netfs"}:  # their volumes are files
            yield Candidate(pool.path, (f"libvirt pool {pool.name} ({whose})",), pool.cow)
    folders: dict[str, list[str]] = {}
    for domain in libvirt.domains:
        for disk in domain.disks:
            names = folders.setdefault(posixpath.dirname(disk), [])
            names.extend([domain.name] if domain.name not in names else [])
    for folder, names in folders.items():
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        word = "domain" if len(names) == 1 else "domains"
        origin = f"{word} {', '.join(names[:_NAMED])}{more} ({whose})"
        yield Candidate(folder, (origin,), dedicated=False)


def _holds_images(query: ImagesBelow, host: HostView) -> bool:
    found = host.maybe(query)
    return bool(found and found.folders)


def _in_usual(usual: Usual, home: str, host: HostView) -> Iterator[Candidate]:
    """Yield the directory of a usual place that is for images, or each of several."""
    query = usual.query(home)
    found = host.maybe(query)
    if not found or not found.folders:
        return
    origins = (usual.program,) if usual.program else ()
    if usual.volumes:
        for folder in found.folders:
            own = f"a volume of {usual.program}"
            yield Candidate(folder.path, (own,), dedicated=False, program=usual.program)
        return
    inner = f"{query.path}/{usual.inner}"
    is_inside = all(is_at_or_below(folder.path, inner) for folder in found.folders)
    path = inner if usual.inner and is_inside else query.path
    look = query if usual.program else None
    yield Candidate(path, origins, program=usual.program, look=look)


def _outermost(found: dict[str, Candidate], host: HostView) -> tuple[Candidate, ...]:
    home = host(WhoAsks()).home
    kept: dict[str, Candidate] = {}
    for path in sorted(found, key=lambda path: path.count("/")):
        around = next((o for o in kept if _covers(o, path, host) and o not in {home, "/"}), None)
        if around is None:
            kept[path] = found[path]
            continue
        inner = found[path]
        within = tuple(f"{origin} in {path[len(around) + 1 :]}/" for origin in inner.origins)
        kept[around] = kept[around].joined(replace(inner, origins=within))
    return tuple(kept[path] for path in found if path in kept)


def _covers(outer: str, inner: str, host: HostView) -> bool:
    """Whether what is set on the outer one reaches the inner one: no subvolume in between."""
    if not is_below(inner, outer):
        return False
    tree = host.maybe(TreeOf(outer))
    apart = (*tree.subvolumes, *tree.mounts) if tree else ()
    relative = inner[len(outer.rstrip("/")) + 1 :]
    return not any(is_at_or_below(relative, each) for each in apart)


def told(images: ImageFolders | None) -> str:
    """3 image files, counted; "" where there are none."""
    count = sum(folder.count for folder in images.folders) if images else 0
    return counted(count, "image file") if count else ""
