"""The kinds of resources: each is a folder here and a name in this list, in the order of a plan.

No other module of vmtune changes for a new one. What it needs beside them (its keys in the schema,
cases, a page): CONTRIBUTING.md, "A new kind".
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from reconciler.resources.paths_section import PATHS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.engine.resource import Kind


_NAMES = (
    "mount",
    "subvolume",
    "nocow",
    "compression",
    "images",
    "defrag",
)

KINDS: tuple[Kind, ...] = tuple(import_module(f"{__package__}.{name}.kind").KIND for name in _NAMES)

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


def modules_of_kinds(name: str) -> Iterator[Any]:
    """Load and yield the module of that name of each kind that has one.

    ``reads`` has READS: who answers the facts of the kind, its places among them. ``writes`` has
    WRITES: who puts each place. ``codes`` has TEXT: a paragraph for each code.
    """
    for kind in _NAMES:
        if find_spec(f"{__package__}.{kind}.{name}"):
            yield import_module(f"{__package__}.{kind}.{name}")
