"""The places where people, and programs without a list of machines of their own, keep images.

A path with ``~`` is below the home of the person who asks. What libvirt and quickemu say of their
images is asked of them, see ``candidates``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.discovery.facts import ImagesBelow
from reconciler.value import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


DEPTH = 3


@dataclass(frozen=True, slots=True)
class Usual:
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


def translated(names: Iterable[str]) -> Iterator[str]:
    """Yield the names that say "virtual" in some language; hidden ones are programs' own."""
    for name in names:
        if not name.startswith(".") and any(word in name.casefold() for word in _VIRTUAL):
            yield name
