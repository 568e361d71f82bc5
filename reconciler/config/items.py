"""Merged entries to items: cross-checks, defaults and positions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reconciler.config.check import missing
from reconciler.engine.item import Item
from reconciler.errors import ConfigError
from reconciler.resources.registry import DEFAULTS, KINDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.engine.item import Section
    from reconciler.engine.resource import Kind
    from reconciler.errors import SourceLocation
    from reconciler.formats.node import Node


def item(section: Section, path: str, entry: Node, quiet: tuple[str, ...] = ()) -> Item:
    """Return the entry with its defaults; ``quiet`` is what the file says for all of them."""
    identity = entry.keys[section.identity]
    data = {key: _data(node) for key, node in entry.keys.items() if node is not identity}
    merged = {**DEFAULTS[section.name], **data}
    return Item(
        section.name, identity.text, path, merged, identity.origin, dict(_marks(entry)), quiet
    )


def wrong(section: Section, entry: Node) -> Iterator[ConfigError]:
    """Yield what is wrong with an entry in whichever layer it is written."""
    for kind in _kinds(section):
        yield from kind.wrong(entry)


def conflicts(section: Section, entry: Node) -> Iterator[ConfigError]:
    """Yield what cannot hold together in one entry, also in one that is not yet complete."""
    for kind in _kinds(section):
        yield from kind.conflicts(entry)


def gaps(section: Section, entry: Node) -> Iterator[ConfigError]:
    """Yield what an entry lacks once all layers are merged."""
    identity = entry.keys[section.identity]
    for key in section.required:
        if key not in entry.keys:
            yield ConfigError(identity.origin, *missing(key))
    if section.one_of and entry.keys.keys().isdisjoint(section.one_of):
        message = f"nothing is declared for {identity.text!r}"
        yield ConfigError(identity.origin, message, section.hint)


def _kinds(section: Section) -> Iterator[Kind]:
    return (kind for kind in KINDS if kind.section is section)


def _data(node: Node) -> Any:
    plain = node.plain()
    return tuple(plain) if isinstance(plain, list) else plain


def _marks(entry: Node, above: str = "") -> Iterator[tuple[str, SourceLocation]]:
    for key, node in entry.keys.items():
        yield above + key, node.origin
        yield from _marks(node, f"{above}{key}.")
