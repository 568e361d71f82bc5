"""The kinds of resources. A plan shows them in the order of the file."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from reconciler.resources.compression.kind import KIND as COMPRESSION
from reconciler.resources.defrag.kind import KIND as DEFRAG
from reconciler.resources.images.kind import KIND as IMAGES
from reconciler.resources.mount.kind import KIND as MOUNT
from reconciler.resources.nocow.kind import KIND as NOCOW
from reconciler.resources.paths import PATHS
from reconciler.resources.subvolume.kind import KIND as SUBVOLUME

if TYPE_CHECKING:
    from collections.abc import Iterator


KINDS = (MOUNT, SUBVOLUME, NOCOW, COMPRESSION, IMAGES, DEFRAG)
SECTIONS = tuple(dict.fromkeys((PATHS, *(kind.section for kind in KINDS))))
"""The lists of vmtune.yaml; where images lie comes first."""
DEFAULTS = {
    section.name: {
        key: value
        for kind in KINDS
        if kind.section is section
        for key, value in kind.defaults.items()
    }
    for section in SECTIONS
}
"""What each key of an entry means where it is not written, by section."""


def linux_of_each_kind() -> Iterator[Any]:
    """Yield the module of each kind that reads and writes its places: READS, WRITES, folders."""
    for kind in KINDS:
        yield import_module(f"reconciler.resources.{kind.name}.linux")
