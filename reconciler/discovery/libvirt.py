"""libvirt's pools and domains: asked of a running libvirt, else read from its XML files."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, TypeVar

from reconciler.discovery import libvirtxml
from reconciler.discovery.facts import SYSTEM, Libvirt
from reconciler.errors import HostError
from reconciler.linux import files, process, users

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


T = TypeVar("T")

_MOST = 500
"""Files or names of one sort that are looked at."""


def look(whose: str) -> Libvirt:
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
        for domain in _parsed(f"{folder}/qemu", libvirtxml.domain, unread)
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
        return Libvirt(pools, tuple(_described("domain", libvirtxml.domain, until)))
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
