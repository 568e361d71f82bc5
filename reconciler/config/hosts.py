"""One host's declarations, from layers: the base, its entry under hosts, its own file.

A later layer wins. Mappings merge key by key; the lists by identity, which is
the path after ``~`` has been expanded; anything else is replaced.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.config.paths import PathError, expand
from reconciler.core.origin import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from reconciler.config.node import Node

IDENTITY = {"paths": "path", "mounts": "target", "defrag": "path"}


def short_name(host: str) -> str:
    """Return the name as it is written under hosts: names of hosts know no case."""
    return host.partition(".")[0].lower()


def merge(
    layers: Sequence[Node],
    section: str,
    home_of: Callable[[str], str | None],
    problems: list[Problem],
    *,
    whole: bool,
) -> dict[str, Node]:
    """Return one section's entries by absolute path, in the order first written.

    What is wrong is added to ``problems``: unusable paths, an identity written
    twice in one layer and, where the layers are ``whole``, the removal of what
    is not there.
    """
    merged: dict[str, Node] = {}
    for layer in layers:
        for path, entry in _by_identity(layer, section, home_of, problems).items():
            _apply(merged, path, entry, problems if whole else [])
    return merged


def _apply(merged: dict[str, Node], path: str, entry: Node, problems: list[Problem]) -> None:
    if entry.get("remove") is None:
        merged[path] = merged[path].merged(entry) if path in merged else entry
    elif merged.pop(path, None) is None:
        message = f"`remove: true`, but nothing is inherited for {path!r}"
        problems.append(Problem(entry.origin, message, "remove this entry"))


def _by_identity(
    layer: Node, section: str, home_of: Callable[[str], str | None], problems: list[Problem]
) -> dict[str, Node]:
    found: dict[str, Node] = {}
    written = layer.get(section)
    for entry in written.entries if written else ():
        identity = entry.get(IDENTITY[section])
        if identity is None:
            continue  # already reported
        try:
            path = expand(identity.text, home_of)
        except PathError as error:
            problems.append(Problem(identity.origin, str(error), error.hint))
            continue
        if path in found:
            problems.append(_twice(path, section, found[path], entry))
        found.setdefault(path, entry)
    return found


def _twice(path: str, section: str, first: Node, again: Node) -> Problem:
    one, other = (entry.keys[IDENTITY[section]].origin for entry in (first, again))
    message = f"{path!r} is in {section} twice, in lines {one.line} and {other.line}"
    return Problem(other, message, "make them one entry")
