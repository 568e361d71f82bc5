"""Directories that are to be made: whose they are, their mode, and those on the way to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reconciler.core.model import Goal
from reconciler.core.places import Directory, Folder

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from reconciler.core.facts import Location
    from reconciler.core.snapshot import Snapshot

MODE = 0o711  # what libvirt gives the directory of a storage pool it builds
_PLAIN_MODE = 0o755
TOO_WIDE = frozenset({"/", "/boot", "/etc", "/home", "/opt", "/srv", "/usr", "/var", "/var/lib"})
"""Directories of the system: far more than images lies below them."""


def mode(bits: int, where: Location) -> int:
    """With the set-group-ID bit where the parent hands it on."""
    return bits | 0o2000 if where.parent_setgid else bits


def owner(where: Location) -> dict[str, Any]:
    """The fields ``uid`` and ``gid`` of what is made there."""
    return {"uid": where.parent_uid, "gid": where.parent_gid}


def on_the_way(
    where: Location, see: Snapshot, nocow: Collection[str] = (), own: Collection[str] = ()
) -> Iterator[Goal[Folder | None]]:
    """Missing directories above a path, which inherit from what is there or will be.

    Below the paths ``nocow`` they inherit that; those in ``own`` are made as they are
    declared.
    """
    if len(where.missing) < 2:  # noqa: PLR2004 - only the path itself is missing
        return
    nearest = see.maybe(Directory(where.missing[0].rpartition("/")[0] or "/"))
    for missing in where.missing[:-1]:
        inside = any(missing.startswith(f"{path}/") for path in nocow)
        folder = Folder(
            nocow=inside or bool(nearest and nearest.nocow),
            compression=nearest.compression if nearest and not inside else "",
            mode=mode(_PLAIN_MODE, where),
            **owner(where),
        )
        if missing not in own:
            yield Goal(Directory(missing), folder, weak=True)
