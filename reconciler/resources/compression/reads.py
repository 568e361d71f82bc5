"""What lies below a directory with a compression property, read."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

from reconciler.engine.directory import alike
from reconciler.facts.host import TreeOf
from reconciler.facts.tree import MOST, NameList
from reconciler.resources.compression.places import PropertyBelow

if TYPE_CHECKING:
    from reconciler.engine.place import Reads
    from reconciler.facts.tree import Tree


def property_below(place: PropertyBelow, tree: Tree) -> NameList:
    """Those that have another setting, or none."""
    others = [each.which for each in tree.settings if not alike(each.value, place.compression)]
    named = heapq.merge(*(each.named for each in others))
    return NameList(sum(each.count for each in others), tuple(named)[:MOST])


READS: Reads = {
    PropertyBelow: lambda q, host: property_below(q, host(TreeOf(q.path, q.apart, close=True))),
}
