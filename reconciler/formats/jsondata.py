"""Plain JSON data, checked as it becomes a value: what is something else is a FormatError."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any, TypeVar

from reconciler.value import Value, as_dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


T = TypeVar("T")
V = TypeVar("V", bound=Value)


class FormatError(Exception):
    """The data is no plan or journal of this version: says what is wrong with it."""


def text(data: Any) -> str:
    """The data, which is a string that stands for bytes (PEP 383)."""
    found = _a(str, data)
    try:
        found.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise FormatError(f"no text: {found!r:.60}") from None
    return found


def name(data: Any) -> str:
    """The data, which is a text that the kernel takes as a name."""
    found = text(data)
    if "\0" in found:
        raise FormatError(f"no name: {found!r:.60}")
    return found


def number(data: Any) -> int:
    """The data, which is an integer; JSON's true is none."""
    return _a(int, data)


def flag(data: Any) -> bool:
    """The data, which is true or false."""
    return _a(bool, data)


def items(data: Any) -> list[Any]:
    """The data, which is a list."""
    return _a(list, data)


def mapping(data: Any) -> dict[str, Any]:
    """The data, which is an object."""
    return _a(dict, data)


def _a(kind: type[T], data: Any) -> T:
    if type(data) is not kind:
        raise FormatError(f"expected {kind.__name__}, found {data!r:.60}")
    return data


def optional(data: Any) -> str | None:
    """Return the data, which is a text or null."""
    return None if data is None else text(data)


def names(data: Any) -> tuple[str, ...]:
    """Return the data, which is a list of names."""
    return tuple(name(entry) for entry in items(data))


_READERS: Mapping[str, Callable[[Any], Any]] = {
    "bool": flag,
    "int": number,
    "str": name,
    "tuple[str, ...]": names,
}
"""By the annotation of a field."""


def built(kind: type[V], data: Mapping[str, Any]) -> V:
    """A value from all of its fields, each of its type."""
    as_dataclass(kind)
    types = {each.name: str(each.type) for each in fields(kind)}  # type: ignore[arg-type]
    if types.keys() != data.keys():
        names = ", ".join(sorted(types.keys() ^ data.keys()))
        raise FormatError(f"{kind.__name__} with other fields than expected: {names:.60}")
    return kind(**{name: _READERS[types[name]](value) for name, value in data.items()})
