"""The kinds of resources. A plan shows them in the order of the file."""

from __future__ import annotations

from reconciler.resources import compression, defrag, images, mount, nocow, subvolume

KINDS = (mount.KIND, subvolume.KIND, nocow.KIND, compression.KIND, images.KIND, defrag.KIND)
