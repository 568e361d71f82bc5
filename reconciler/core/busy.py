"""Files that were not looked at, because another process has a lease on them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.core.model import Finding, Op

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reconciler.core.tree import Tree

CODE = "V720"


def findings(tree: Tree, name: str) -> Mapping[str, Finding]:
    """A row for each such file below the directory of that name, by its relative path."""
    return {
        each.path: Finding(Op.UNKNOWN, f"{name}/{each.path}", each.who, code="V720")
        for each in tree.busy
    }
