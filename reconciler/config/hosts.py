"""One host's declarations, from layers: the base, its entry under hosts, its own file.

The paths in them are made absolute.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from reconciler.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from reconciler.engine.item import Section
    from reconciler.formats.node import Node


def short_name(host: str) -> str:
    """Return the name as it is written under hosts: names of hosts know no case."""
    return host.partition(".")[0].lower()


def merge(
    layers: Sequence[Node],
    section: Section,
    home_of: Callable[[str], str | None],
    problems: list[ConfigError],
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


def _apply(merged: dict[str, Node], path: str, entry: Node, problems: list[ConfigError]) -> None:
    if entry.get("remove") is None:
        merged[path] = merged[path].merged(entry) if path in merged else entry
    elif merged.pop(path, None) is None:
        message = f"`remove: true`, but nothing is inherited for {_shown(path)!r}"
        problems.append(ConfigError(entry.origin, message, "remove this entry"))


def _by_identity(
    layer: Node, section: Section, home_of: Callable[[str], str | None], problems: list[ConfigError]
) -> dict[str, Node]:
    found: dict[str, Node] = {}
    written = layer.get(section.name)
    for entry in written.entries if written else ():
        identity = entry.get(section.identity)
        if identity is None:
            continue  # already reported
        try:
            path = expand(identity.text, home_of)
        except PathError as error:
            problems.append(ConfigError(identity.origin, str(error), error.hint))
            continue
        if path in found:
            problems.append(_twice(path, section, found[path], entry))
        found.setdefault(path, entry)
    return found


def _twice(path: str, section: Section, first: Node, again: Node) -> ConfigError:
    one, other = (entry.keys[section.identity].origin for entry in (first, again))
    message = f"{_shown(path)!r} is in {section.name} twice, in lines {one.line} and {other.line}"
    return ConfigError(other, message, "make them one entry")


_VARIABLE = r"\$(?:\w+|\{[^}]*\}?|\()"

_OWN_HOME = r"^(?:\$\{?HOME\}?|/home/\$\{?(?:USER|LOGNAME)\}?)(?=/|$)"

_MAX_NAME = 255  # NAME_MAX and PATH_MAX of linux/limits.h, in bytes; PATH_MAX counts the NUL

_MAX_PATH = 4095


class PathError(ValueError):
    """A path that cannot be used: what is wrong, and ``hint``, what to write."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


def any_home(name: str) -> str:
    """Stand for the home of a user, where no host is asked: see ``expand``."""
    return f"/~{name}"


def _shown(path: str) -> str:
    """Return an absolute path as messages name it, also one below ``any_home``."""
    return path[1:] if path.startswith("/~") else path


def expand(written: str, home_of: Callable[[str], str | None]) -> str:
    """Return the absolute path for ``/...``, ``~``, ``~/...`` and ``~name/...``.

    Doubled and trailing slashes go. Symbolic links are not resolved: that needs a host.
    Raises PathError.
    """
    if not written:
        raise PathError("the path is empty", "write an absolute path, or one that begins with ~")
    _refuse_variables(written)
    if written[0] not in "/~":
        raise PathError(f"{written!r} is not an absolute path", _rooted_hint(written))
    names = [name for name in _with_home(written, home_of).split("/") if name]
    _refuse_dots(written, names)
    path = "/" + "/".join(names)
    if len(path.encode()) > _MAX_PATH or any(len(name.encode()) > _MAX_NAME for name in names):
        raise PathError(f"the path is longer than Linux allows: {_MAX_NAME} bytes a name")
    return path


def _refuse_variables(written: str) -> None:
    if "$" in written and (found := re.search(_VARIABLE, written)):
        suggestion = re.sub(_OWN_HOME, "~", written)
        hint = "write the path out" if "$" in suggestion else f"write {suggestion!r}"
        raise PathError(f"variables such as {found[0]} are not expanded here", hint)


def _rooted_hint(written: str) -> str:
    rest = written.removeprefix("./")
    if not rest or rest.startswith("."):
        return "begin with / or ~"
    return f"write {'/' + rest!r} or {'~/' + rest!r}"


def _with_home(written: str, home_of: Callable[[str], str | None]) -> str:
    if not written.startswith("~"):
        return written
    name, _, rest = written[1:].partition("/")
    home = home_of(name)
    if home is None or not home.startswith("/"):
        whose = f"no user {name!r} with a home directory" if name else "no home directory for ~"
        raise PathError(f"there is {whose} on this host", "write the path out")
    return f"{home}/{rest}"


def _refuse_dots(written: str, names: list[str]) -> None:
    if dots := next((name for name in names if name in (".", "..")), None):
        raise PathError(f"{written!r} has a component {dots!r}", "write the path without it")
