"""The kinds of resources. A plan shows them in the order of the file."""

from __future__ import annotations

from reconciler.resources import defrag, mount, nocow

KINDS = (mount.KIND, nocow.KIND, defrag.KIND)
