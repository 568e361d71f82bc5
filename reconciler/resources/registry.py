"""The kinds of resources. A plan shows them in the order of the file."""

from __future__ import annotations

from reconciler.resources.compression import kind as compression_kind
from reconciler.resources.defrag import kind as defrag_kind
from reconciler.resources.images import kind as images_kind
from reconciler.resources.mount import kind as mount_kind
from reconciler.resources.nocow import kind as nocow_kind
from reconciler.resources.subvolume import kind as subvolume_kind

KINDS = (
    mount_kind.KIND,
    subvolume_kind.KIND,
    nocow_kind.KIND,
    compression_kind.KIND,
    images_kind.KIND,
    defrag_kind.KIND,
)
