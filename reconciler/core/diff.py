"""Which attributes differ between two values: the only importer of deepdiff."""

from __future__ import annotations

from typing import Any

from reconciler.value import dataclass, types_of


@dataclass(frozen=True, slots=True)
class Difference:
    """One attribute, by its name, before and after; name "" is the value itself."""

    name: str
    before: Any
    after: Any


def _attributes(value: Any) -> dict[str, Any]:
    """Keyed, since DeepDiff pairs list items by likeness; empty for a value without attributes."""
    return {name: getattr(value, name) for name in types_of(value)}


def compare(before: Any, after: Any) -> tuple[Difference, ...]:
    """The differing attributes, sorted by name; empty exactly when the values are equal."""
    if before == after:
        return ()
    old, new = _attributes(before), _attributes(after)
    if not old or old.keys() != new.keys():
        return (Difference("", before, after),)
    from deepdiff import DeepDiff  # noqa: PLC0415 - a tenth of a second, only when needed

    tree = DeepDiff(old, new, view="tree")
    names = {str(leaf.path(output_format="list")[0]) for group in tree.values() for leaf in group}
    return tuple(Difference(name, old[name], new[name]) for name in sorted(names))
