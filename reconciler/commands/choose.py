"""The entries that a command line names: by kind, or as the path or mount point they are about."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from reconciler.config.hosts import PathError, expand
from reconciler.errors import Misused
from reconciler.linux import users
from reconciler.value import dataclass, field

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from reconciler.engine.model import Change, Plan


def _kinds() -> frozenset[str]:
    from reconciler.resources.registry import KINDS  # noqa: PLC0415 - most commands name none

    return frozenset(kind.name for kind in KINDS)


@dataclass(frozen=True, slots=True)
class _Word:
    """One argument: the name of a kind, or a path with the absolute forms it has."""

    typed: str
    kind: str = ""
    paths: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Choice:
    """Which rows of a plan a command is about; it remembers which arguments named one."""

    words: tuple[_Word, ...]
    names: dict[str, None] = field(default_factory=dict)
    matched: set[str] = field(default_factory=set)

    def __call__(self, change: Change) -> bool:
        """Tell whether an argument names the row's entry."""
        self.names.update(dict.fromkeys((change.name, change.about)))
        mine = [word for word in self.words if _is_about(word, change)]
        self.matched.update(word.typed for word in mine)
        return bool(mine)

    def again(self) -> Choice:
        """Return the choice for a plan after the run: what is done needs no row any more."""
        return Choice(self.words, matched={word.typed for word in self.words})

    def check(self, made: Plan) -> Plan:
        """Return the plan; raises Misused where an argument names no row of it."""
        for word in self.words:
            if word.typed not in self.matched:
                import difflib  # noqa: PLC0415 - only for a mistake

                close = difflib.get_close_matches(word.typed, filter(None, self.names), 3, 0.6)
                named = f"did you mean {' or '.join(close)}?" if close else ""
                raise Misused(
                    f"{word.typed!r} is no entry and no saved plan",
                    named or "`vmtune plan` shows the entries; name one by its path",
                )
        return made

    @property
    def as_words(self) -> list[str]:
        """Return the arguments for another run, which may stand in another directory."""
        return [word.kind or min(word.paths, key=len) for word in self.words]


def choice(words: Sequence[str]) -> Choice | None:
    """Return the choice that arguments make; None where there are none. Raises Misused."""
    _no_configuration(word for word in words if word not in _kinds() and _is_file(word))
    return Choice(tuple(map(_word, words))) if words else None


def is_saved_plan(words: Sequence[str]) -> bool:
    """Tell whether the arguments are one saved plan, a regular file; Misused where they mix."""
    files = [word for word in words if word not in _kinds() and _is_file(word)]
    _no_configuration(files)
    if files and len(words) > 1:
        raise Misused(
            f"{files[0]} is a file: a saved plan stands alone", "name entries, or one plan"
        )
    return bool(files)


def _no_configuration(files: Iterable[str]) -> None:
    """Raise Misused where a file is a configuration: that is named in another way."""
    for file in files:
        if file.endswith((".yaml", ".yml")):
            raise Misused(
                f"{file} is a configuration, not a saved plan", f"name it with --config {file}"
            )


def _is_file(word: str) -> bool:
    try:
        return stat.S_ISREG(os.stat(_absolute(word)).st_mode)
    except OSError:
        return False


def _word(typed: str) -> _Word:
    if typed in _kinds():
        return _Word(typed, kind=typed)
    path = _absolute(typed)
    return _Word(typed, paths=frozenset({path, os.path.realpath(path)}))


def _absolute(typed: str) -> str:
    try:
        return expand(typed, users.home_of) if typed[:1] in "/~" else users.absolute(typed)
    except PathError as error:
        raise Misused(str(error), error.hint) from None


def _is_about(word: _Word, change: Change) -> bool:
    if word.kind:
        return change.kind == word.kind
    return any(path in word.paths or _is_same(path, word) for path in _paths(change))


def _paths(change: Change) -> Iterable[str]:
    """The paths that a row is about: absolute, links resolved or not."""
    if change.about:
        yield change.about
    if change.name.startswith(("/", "~")):
        try:
            yield expand(change.name, users.home_of)
        except PathError:
            return


def _is_same(path: str, word: _Word) -> bool:
    """Tell whether two paths lead to one thing, as by a link or a second mount."""
    if os.path.realpath(path) in word.paths:
        return True
    try:
        return any(os.path.samefile(path, other) for other in word.paths)
    except OSError:
        return False
