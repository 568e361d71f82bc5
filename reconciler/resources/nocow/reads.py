"""What lies below a nocow directory, read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.facts.host import TreeOf
from reconciler.resources.nocow.places import Below

if TYPE_CHECKING:
    from reconciler.engine.place import Reads


READS: Reads = {Below: lambda q, host: host(TreeOf(q.path, q.apart)).plain}
