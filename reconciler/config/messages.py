"""What a JSON Schema error says: our words, not the library's, which change between versions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reconciler.config.options import refusal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from jsonschema import ValidationError

_SHOWN = 60  # characters of a wrong value; a longer one is cut

_TYPES = {
    "string": "text",
    "boolean": "true or false",
    "integer": "a whole number",
    "array": "a list",
    "object": "`key: value` lines",
}
_SHAPES = {
    "paths": "begin each entry with `- path: `",
    "mounts": "begin each entry with `- target: `",
    "defrag": "begin each entry with `- path: `",
    "options": "write one key for each option, such as `noatime: true`",
    "hosts": "write one key for each host, and its lists below it",
    "allow": "write `[raid]`, with the brackets",
}


def describe(value: Any) -> str:
    """Name a value found where another was expected."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return f"the number {value}"
    if isinstance(value, str):
        return f"the text {shown(value)}"
    return "a list" if isinstance(value, list) else "keys and values"


def shown(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "...")


def either(words: Iterable[Any]) -> str:
    """``a, b or c``."""
    *first, last = map(str, words)
    return f"{', '.join(first)} or {last}" if first else last


def complaint(error: ValidationError) -> tuple[str, str]:
    """Message and hint for an error about a value."""
    label, found = _label(error), describe(error.instance)
    kind = "pattern" if "pattern" in schema_of(error) else str(error.validator)
    if kind in _WHOLE:
        return _WHOLE[kind](error, label)
    return f"{label}expected {_expected(error)}, found {found}", _hint(error)


def unknown_key(key: str, known: Sequence[str], options: Sequence[str]) -> tuple[str, str]:
    """Message and hint for a key that does not belong where only ``known`` ones do."""
    among_options = known == options
    if among_options and (words := refusal(key)):
        return words
    if "options" in known and key in options:
        return f"{key!r} is a mount option", "write it under `options:`"
    near = suggest(key, known)
    return f"unknown {'mount option' if among_options else 'key'} {shown(key)}", (
        f"did you mean {near!r}?" if near else f"known here: {', '.join(sorted(known))}"
    )


def suggest(word: str, known: Iterable[str]) -> str | None:
    from difflib import get_close_matches  # noqa: PLC0415 - only where something is misspelt

    near = get_close_matches(word.lower().replace("_", "-"), list(known), n=1)
    return near[0] if near else None


def missing(key: str) -> tuple[str, str]:
    if key == "version":
        return "'version' is missing", "the first line to write is `version: 1`"
    return f"{key!r} is missing", ""


def schema_of(error: ValidationError) -> Mapping[str, Any]:
    """Return the part of the schema that refused the value."""
    return error.schema if isinstance(error.schema, dict) else {}


def words_of(error: ValidationError) -> str:
    """Return what the schema says of a text that does not match its pattern."""
    return str(schema_of(error)["patternErrorMessage"])


def _label(error: ValidationError) -> str:
    path = list(error.absolute_path)
    if not path:
        return ""
    if isinstance(path[-1], int):
        return f"{path[-2]}, entry {path[-1] + 1}: "
    return f"{path[-1]}: "


def _expected(error: ValidationError) -> str:
    schema = schema_of(error)
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        return f"a whole number from {low} to {high}"
    if error.validator == "enum":
        return either(schema["enum"])
    if error.validator == "const":
        value = error.validator_value
        return describe(value) if isinstance(value, bool) else f"the number {value}"
    return _TYPES[str(error.validator_value)]


def _hint(error: ValidationError) -> str:
    found, place = error.instance, error.absolute_path
    if error.validator == "type" and error.validator_value in ("array", "object"):
        return _shape_hint(list(place))
    if isinstance(found, str) and error.validator == "enum":
        near = suggest(found, map(str, schema_of(error)["enum"]))
        return f"did you mean {near!r}?" if near else ""
    if isinstance(found, str):
        return _text_hint(found, error)
    return f'write "{found}", in quotes' if error.validator_value == "string" else ""


def _shape_hint(path: list[Any]) -> str:
    name = next((step for step in reversed(path) if isinstance(step, str)), "")
    return _SHAPES.get(name, "write `key: value` lines" if not path else "")


def _text_hint(found: str, error: ValidationError) -> str:
    """Explain text that looks like what was expected."""
    expected = error.validator_value
    if expected == "boolean" and found in ("true", "false"):
        return "remove the quotes"
    if expected == "boolean" and found.lower() in ("true", "yes", "on", "y"):
        return "write true"
    if expected == "boolean" and found.lower() in ("false", "no", "off", "n"):
        return "write false"
    if expected in ("integer", 1) and expected is not True and found.isdigit():
        return "no leading zeros" if found.startswith("0") else "remove the quotes"
    return ""


def _pattern(error: ValidationError, label: str) -> tuple[str, str]:
    message, _, hint = words_of(error).partition("; ")
    if error.instance is False:
        hint = "write `compress: no`"
    return f"{label}{message}; found {describe(error.instance)}", hint


def _repeated(error: ValidationError, label: str) -> tuple[str, str]:
    words: list[Any] = list(error.instance)  # type: ignore[arg-type] # a list: uniqueItems saw it
    twice = next(word for word in words if words.count(word) > 1)
    return f"{label}{shown(str(twice))} is there twice", "keep one of them"


def _lone_remove(_error: ValidationError, _label: str) -> tuple[str, str]:
    return "`remove: true` stands beside other keys", "an entry is either removed or changed"


def _empty(_error: ValidationError, label: str) -> tuple[str, str]:
    return f"{label}nothing is declared here", "write an option, such as `compress: no`"


_WHOLE = {
    "pattern": _pattern,
    "uniqueItems": _repeated,
    "maxProperties": _lone_remove,
    "minProperties": _empty,
}
