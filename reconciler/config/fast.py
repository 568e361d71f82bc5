"""Whether a document is surely valid: the part of JSON Schema that vmtune's schema uses.

A judge that loads in no time, for the many runs whose configuration is as it
should be. It never says what is wrong: whatever is not surely valid, a keyword
or a value that it does not know among them, goes to jsonschema, which takes a
tenth of a second to load and decides.
"""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    Check = Callable[[Any], bool]

_TYPES = {"array": list, "boolean": bool, "integer": int, "object": dict, "string": str}
_KNOWN = frozenset({str, int, bool, list, dict, type(None)})
_SILENT = frozenset(
    {"$defs", "$schema", "default", "description", "examples", "patternErrorMessage", "title"}
)
_DEFINITION = "#/$defs/"


class Unsure(Exception):  # noqa: N818 - no error: jsonschema decides
    """The schema, or the document, has what is not known here."""


def surely_valid(schema: Mapping[str, Any], document: Any) -> bool:
    """True only for a document that jsonschema finds valid too; False says nothing."""
    try:
        return Judge(schema).check(schema)(document)
    except Unsure:
        return False


class Judge:
    """Checks made of schemas; definitions are those of the whole schema, read when first used."""

    def __init__(self, whole: Mapping[str, Any]) -> None:
        self._definitions = whole.get("$defs", {})
        self._made: dict[str, Check] = {}

    def check(self, schema: Any) -> Check:
        """What says exactly whether a value is valid; Unsure where that is not known."""
        if isinstance(schema, bool):
            return lambda _: schema
        checks = [
            _KEYWORDS[keyword](self, expected, schema)
            for keyword, expected in schema.items()
            if keyword not in _SILENT and _known(keyword)
        ]
        return lambda value: all(check(value) for check in checks)

    def defined(self, reference: str, _: Mapping[str, Any]) -> Check:
        """``$ref``; a definition may lead back to itself, so it is made when first asked."""
        name = reference.removeprefix(_DEFINITION)
        if name == reference or name not in self._definitions:
            raise Unsure(reference)

        def check(value: Any) -> bool:
            if name not in self._made:
                self._made[name] = self.check(self._definitions[name])
            return self._made[name](value)

        return check

    def properties(self, of: Mapping[str, Any], _: Mapping[str, Any]) -> Check:
        checks = {key: self.check(schema) for key, schema in of.items()}
        return _of(
            dict, lambda value: all(checks[key](value[key]) for key in value if key in checks)
        )

    def others(self, schema: Any, around: Mapping[str, Any]) -> Check:
        """``additionalProperties``, which are those not in the ``properties`` beside it."""
        check, named = self.check(schema), around.get("properties", {})
        return _of(dict, lambda value: all(check(value[key]) for key in value if key not in named))

    def names(self, schema: Any, _: Mapping[str, Any]) -> Check:
        check = self.check(schema)
        return _of(dict, lambda value: all(map(check, value)))

    def items(self, schema: Any, _: Mapping[str, Any]) -> Check:
        check = self.check(schema)
        return _of(list, lambda value: all(map(check, value)))

    def if_then(self, schema: Any, around: Mapping[str, Any]) -> Check:
        condition, then = self.check(schema), self.check(around.get("then", True))
        return lambda value: not condition(value) or then(value)


def _known(keyword: str) -> bool:
    if keyword not in _KEYWORDS:
        raise Unsure(keyword)
    return True


def _of(kind: type, check: Check) -> Check:
    """Most keywords say nothing of values of another type."""
    return lambda value: _typed(value) is not kind or check(value)


def _typed(value: Any) -> type:
    """The type; Unsure for one that no configuration has: 1.0 would be JSON's 1."""
    if type(value) not in _KNOWN:
        raise Unsure(type(value).__name__)
    return type(value)


def _type(_: Judge, name: Any, __: Mapping[str, Any]) -> Check:
    if not isinstance(name, str) or name not in _TYPES:
        raise Unsure(str(name))
    kind = _TYPES[name]
    return lambda value: _typed(value) is kind


def _constant(_: Judge, wanted: Any, __: Mapping[str, Any]) -> Check:
    return _among((wanted,))


def _enumerated(_: Judge, wanted: Sequence[Any], __: Mapping[str, Any]) -> Check:
    return _among(wanted)


def _among(wanted: Sequence[Any]) -> Check:
    """JSON's true is not its 1, though Python's is."""
    if any(type(each) not in {str, int, bool} for each in wanted):
        raise Unsure(repr(wanted))
    return lambda value: any(_typed(value) is type(each) and value == each for each in wanted)


def _pattern(_: Judge, pattern: str, __: Mapping[str, Any]) -> Check:
    return _of(str, lambda value: re.search(pattern, value) is not None)


def _required(_: Judge, keys: Sequence[str], __: Mapping[str, Any]) -> Check:
    return _of(dict, lambda value: all(key in value for key in keys))


def _least(_: Judge, least: int, __: Mapping[str, Any]) -> Check:
    return _of(int, lambda value: value >= least)


def _most(_: Judge, most: int, __: Mapping[str, Any]) -> Check:
    return _of(int, lambda value: value <= most)


def _least_keys(_: Judge, least: int, __: Mapping[str, Any]) -> Check:
    return _of(dict, lambda value: len(value) >= least)


def _most_keys(_: Judge, most: int, __: Mapping[str, Any]) -> Check:
    return _of(dict, lambda value: len(value) <= most)


def _unique(_: Judge, wanted: bool, __: Mapping[str, Any]) -> Check:
    def check(value: list[Any]) -> bool:
        if any(type(each) is not str for each in value):
            raise Unsure("what is equal to what")
        return not wanted or len(set(value)) == len(value)

    return _of(list, check)


_KEYWORDS: Mapping[str, Callable[[Judge, Any, Mapping[str, Any]], Check]] = {
    "$ref": Judge.defined,
    "additionalProperties": Judge.others,
    "const": _constant,
    "enum": _enumerated,
    "if": Judge.if_then,
    "items": Judge.items,
    "maxProperties": _most_keys,
    "maximum": _most,
    "minProperties": _least_keys,
    "minimum": _least,
    "pattern": _pattern,
    "properties": Judge.properties,
    "propertyNames": Judge.names,
    "required": _required,
    "then": lambda _, __, ___: lambda _: True,  # read with the "if" beside it
    "type": _type,
    "uniqueItems": _unique,
}
