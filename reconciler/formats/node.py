"""A YAML value that knows where it was written."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

from reconciler.value import Value

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from reconciler.errors import SourceLocation


Plain: TypeAlias = "str | int | bool | list[Plain] | dict[str, Plain] | None"

Content: TypeAlias = "str | int | bool | tuple[Node, ...] | Mapping[str, Node] | None"

Path: TypeAlias = "tuple[str | int, ...]"


class Node(Value):
    """One value of a document.

    ``origin`` is where the value begins, ``key`` where the key before it does
    (None in a list and at the top). A ``value`` of None was unusable, and has
    already been reported: YAML's null is never read.
    """

    value: Content
    origin: SourceLocation
    key: SourceLocation | None = None

    @property
    def keys(self) -> Mapping[str, Node]:
        return self.value if isinstance(self.value, dict) else {}

    @property
    def entries(self) -> tuple[Node, ...]:
        return self.value if isinstance(self.value, tuple) else ()

    @property
    def text(self) -> str:
        return self.value if isinstance(self.value, str) else ""

    def get(self, key: str) -> Node | None:
        return self.keys.get(key)

    def at(self, path: Path) -> Node:
        """The node that a JSON Schema error's path leads to, or the last one on the way."""
        if not path:
            return self
        step, *rest = path
        child = self.entries[step] if isinstance(step, int) else self.keys.get(step)
        return child.at(tuple(rest)) if child else self

    def plain(self) -> Plain:
        """Give the value as JSON would hold it: lists, not tuples; no positions."""
        if isinstance(self.value, dict):
            return {key: child.plain() for key, child in self.value.items()}
        if isinstance(self.value, tuple):
            return [child.plain() for child in self.value]
        return self.value  # type: ignore[return-value]

    def merged(self, newer: Node) -> Node:
        """Merge mappings key by key; anything else is replaced by ``newer``."""
        if not isinstance(self.value, dict) or not isinstance(newer.value, dict):
            return newer
        keys = dict(self.value)
        for key, child in newer.value.items():
            keys[key] = keys[key].merged(child) if key in keys else child
        return replace(newer, value=keys)

    def without(self, cuts: Collection[Path], here: Path = ()) -> Node:
        """Leave out the values at the paths in ``cuts``; without the root, nothing is left."""
        if () in cuts:
            return replace(self, value=None)
        if isinstance(self.value, dict):
            kept = {
                key: child.without(cuts, (*here, key))
                for key, child in self.value.items()
                if (*here, key) not in cuts
            }
            return replace(self, value=kept)
        if isinstance(self.value, tuple):
            left = (
                child.without(cuts, (*here, index))
                for index, child in enumerate(self.value)
                if (*here, index) not in cuts
            )
            return replace(self, value=tuple(left))
        return self
