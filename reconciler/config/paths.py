"""A path as written, made absolute."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_VARIABLE = r"\$(?:\w+|\{[^}]*\}?|\()"
_OWN_HOME = r"^(?:\$\{?HOME\}?|/home/\$\{?(?:USER|LOGNAME)\}?)(?=/|$)"
_MAX_NAME = 255  # NAME_MAX and PATH_MAX of linux/limits.h, in bytes; PATH_MAX counts the NUL
_MAX_PATH = 4095


class PathError(ValueError):
    """A path that cannot be used: what is wrong, and ``hint``, what to write."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


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
