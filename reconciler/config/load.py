"""The whole way from the bytes of vmtune.yaml to one host's items."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reconciler.config import check, parse
from reconciler.config.check import missing
from reconciler.config.hosts import merge, short_name
from reconciler.engine.item import Item
from reconciler.errors import ConfigError, ConfigErrors
from reconciler.resources.registry import DEFAULTS, KINDS, SECTIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

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


def load(
    text: bytes,
    file: str,
    *,
    host: str,
    home_of: Callable[[str], str | None],
    overlay: tuple[bytes, str] | None = None,
) -> tuple[Item, ...]:
    """Return what is declared for ``host``, by section, then in the order written.

    ``file`` is the name that messages show. ``home_of("")`` is the home of the
    person who called, ``home_of(name)`` that of a user, None where there is no
    such user. ``overlay`` is the text and the name of hosts/<host>.yaml.
    A host that nobody names gets the base. Raises ConfigErrors, with all of them.
    """
    problems: list[ConfigError] = []
    base = _part(text, file, check.MAIN, problems)
    own = _part(*overlay, check.HOST_FILE, problems) if overlay else None
    items, conflicts = _items(_layers(base, short_name(host), own), home_of, whole=not problems)
    _refuse(problems + conflicts)
    return items


def hosts_named(text: bytes, file: str) -> tuple[str, ...]:
    """Return the names of the hosts that the base names, as far as it can be read."""
    return tuple(_hosts(_part(text, file, check.MAIN, [])))


def load_all_hosts(
    text: bytes,
    file: str,
    *,
    home_of: Callable[[str], str | None],
    overlays: Mapping[str, tuple[bytes, str]],
) -> dict[str, tuple[Item, ...]]:
    """Return what is declared for each host that is named, and under "" the base.

    ``overlays`` holds the text and the name of each hosts/<host>.yaml.
    Raises ConfigErrors, with those of all hosts.
    """
    problems: list[ConfigError] = []
    base = _part(text, file, check.MAIN, problems)
    own = {
        short_name(host): _part(*overlay, check.HOST_FILE, problems)
        for host, overlay in overlays.items()
    }
    whole, found = not problems, {}
    for host in ("", *sorted({*_hosts(base), *own})):
        layers = _layers(base, host, own.get(host))
        found[host], conflicts = _items(layers, home_of, whole=whole)
        problems += conflicts
    _refuse(problems)
    return found


def _part(text: bytes, file: str, shape: str, problems: list[ConfigError]) -> Node | None:
    """Return the valid parts of one file; None when it is no tree at all."""
    node, unreadable = parse.read(text, file)
    problems += unreadable
    if node is None:
        return None
    sound, invalid = check.check(node, shape)
    problems += invalid
    return sound


def _hosts(base: Node | None) -> Mapping[str, Node]:
    hosts = base.get("hosts") if base else None
    return hosts.keys if hosts else {}


def _layers(base: Node | None, host: str, own: Node | None) -> list[Node]:
    return [layer for layer in (base, _hosts(base).get(host), own) if layer]


def _items(
    layers: Sequence[Node], home_of: Callable[[str], str | None], *, whole: bool
) -> tuple[tuple[Item, ...], list[ConfigError]]:
    """Merge and cross-check.

    Not ``whole``: invalid parts were left out, so nothing can be said to be missing.
    """
    problems: list[ConfigError] = []
    merged = [
        (section, path, entry)
        for section in SECTIONS
        for path, entry in merge(layers, section, home_of, problems, whole=whole).items()
    ]
    problems += _wrong(layers)
    for section, _, entry in merged:
        problems += conflicts(section, entry)
        problems += gaps(section, entry) if whole else ()
    quiet = _quiet(layers)
    return tuple(item(*entry, quiet) for entry in merged), problems


def _quiet(layers: Sequence[Node]) -> tuple[str, ...]:
    """A later layer's list replaces an earlier one's."""
    lists = [found.entries for layer in layers if (found := layer.get("quiet"))]
    return tuple(entry.text for entry in lists[-1]) if lists else ()


def _wrong(layers: Sequence[Node]) -> Iterator[ConfigError]:
    for section in SECTIONS:
        for written in filter(None, (layer.get(section.name) for layer in layers)):
            for entry in written.entries:
                yield from wrong(section, entry)


def _refuse(problems: list[ConfigError]) -> None:
    if problems:
        raise ConfigErrors(problems)
