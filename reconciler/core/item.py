"""One declared resource, as the configuration gives it to its kind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reconciler.core.origin import Origin


@dataclass(frozen=True, slots=True)
class Item:
    """A valid entry of one of the lists ``paths``, ``mounts`` and ``defrag``.

    ``name`` is the path or mount point as the user wrote it (``~/libvirt/images``),
    ``path`` the same made absolute. ``data`` holds the entry's remaining keys.
    ``marks`` tells where each key of the entry was written.
    """

    section: str
    name: str
    path: str
    data: Mapping[str, Any]
    origin: Origin
    marks: Mapping[str, Origin]
