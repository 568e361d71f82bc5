"""Two values of one place told apart: the only importer of deepdiff, and the words for people."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from reconciler.facts.tree import NameList
from reconciler.value import Value

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from reconciler.engine.place import Place


class Difference(Value):
    """One attribute, by its name, before and after; name "" is the value itself."""

    name: str
    before: Any
    after: Any


def _attributes(value: Any) -> dict[str, Any]:
    """Return the attributes by name; none for a value without attributes."""
    named = fields(value) if is_dataclass(value) else ()
    return {each.name: getattr(value, each.name) for each in named}


def compare(before: Any, after: Any) -> tuple[Difference, ...]:
    """Return the differing attributes, sorted by name; none exactly when the values are equal."""
    if before == after:
        return ()
    old, new = _attributes(before), _attributes(after)
    if not old or old.keys() != new.keys():
        return (Difference("", before, after),)
    names = (name for name in sorted(old) if old[name] != new[name])
    return tuple(Difference(name, old[name], new[name]) for name in names)


def structural(before: Any, after: Any) -> Iterator[Difference]:
    """Yield each place inside two values where they differ, by its path: for people to read.

    deepdiff finds them, also in lists and in values within values.
    """
    from deepdiff import DeepDiff  # noqa: PLC0415 - a tenth of a second, where a person asks why

    old, new = _attributes(before) or before, _attributes(after) or after
    tree = DeepDiff(old, new, view="tree")
    leaves = [leaf for group in tree.values() for leaf in group]
    for leaf in sorted(leaves, key=lambda leaf: str(leaf.path())):
        steps = leaf.path(output_format="list")
        yield Difference(".".join(str(step) for step in steps), leaf.t1, leaf.t2)


_NAMED = 3
_LONGEST = 80


def found_instead(place: Place[Any], expected: Any, found: Any, verb: str = "found") -> str:
    """Say "X, found Y" of two values that differ; where X and Y are the same words, say how."""
    one, other = place.words(expected), place.words(found)
    if one != other:
        return f"{one}, {verb} {other}"
    return f"{one}, {verb} {other} too, but {'; '.join(_details(expected, found))}"


def _details(expected: Any, found: Any) -> Iterator[str]:
    """Say for each part of the value what it was expected to be, and what it is."""
    if isinstance(expected, NameList) and isinstance(found, NameList):
        yield from _names("not", sorted(set(expected.named) - set(found.named)))
        yield from _names("instead", sorted(set(found.named) - set(expected.named)))
    elif isinstance(expected, str) and isinstance(found, str):
        lines = zip_longest(expected.splitlines(), found.splitlines(), fillvalue="")
        numbered = (n for n, (old, new) in enumerate(lines, 1) if old != new)
        yield f"line {next(numbered, 0)} is another one"
    else:
        for each in structural(expected, found):
            yield f"{each.name or 'it'} is {_short(each.after)} instead of {_short(each.before)}"


def _names(what: str, names: Sequence[str]) -> Iterator[str]:
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    if names:
        yield f"{what} {', '.join(names[:_NAMED])}{more}"


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
