"""A document held against schemas/vmtune.schema.json, and what is wrong with it in our words.

The words are ours, because the library's change between its versions.
"""

from __future__ import annotations

import json
import re
from functools import cache
from typing import TYPE_CHECKING, Any

from reconciler.config import schema_validator
from reconciler.config.hosts import short_name
from reconciler.errors import ConfigError
from reconciler.formats import options as mount_options
from reconciler.resources.registry import SECTIONS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from jsonschema import Draft202012Validator, ValidationError

    from reconciler.formats.node import Node, Path


MAIN = "main"

HOST_FILE = "host_file"


def check(document: Node, shape: str = MAIN) -> tuple[Node, tuple[ConfigError, ...]]:
    """Return the document without its invalid parts, and what is wrong with them.

    ``shape`` is MAIN for vmtune.yaml, or the name of one of the schema's ``$defs``.
    The document returned is valid but for missing and unknown keys: later checks
    can trust the types of what is left.
    """
    if problem := _other_version(document):
        return document.without({(key,) for key in document.keys}), (problem,)
    plain = document.plain()
    if schema_validator.is_valid(shape, plain):
        return document, ()
    errors = list(_validator(shape).iter_errors(plain))
    problems = [problem for error in errors for problem in _problems(error, document)]
    cuts = {cut for error in errors if (cut := _cut(error)) is not None}
    return document.without(cuts), tuple(problems)


@cache
def load_schema() -> dict[str, Any]:
    """Return the schema that ships with the package."""
    from importlib import resources  # noqa: PLC0415 - only a mistake needs the schema

    file = resources.files("reconciler").joinpath("schemas", "vmtune.schema.json")
    schema: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return schema


@cache
def _validator(shape: str) -> Draft202012Validator:
    from jsonschema import Draft202012Validator  # noqa: PLC0415 - 138 ms

    return Draft202012Validator(_schema(shape))


def _schema(shape: str) -> dict[str, Any]:
    whole = load_schema()
    return whole if shape == MAIN else {**whole["$defs"][shape], "$defs": whole["$defs"]}


def _other_version(document: Node) -> ConfigError | None:
    """Another version has other keys: to complain about them would mislead."""
    version = document.get("version")
    if version is None or not isinstance(version.value, int) or version.value == 1:
        return None
    message = f"version: this vmtune reads version 1, found the number {version.value}"
    return ConfigError(version.origin, message)


def _cut(error: ValidationError) -> Path | None:
    """Return the part of the document that the error makes unusable."""
    whole_is_usable = ("additionalProperties", "required")
    if error.validator in whole_is_usable or _is_name(error) or _is_schedule(error):
        return None
    return tuple(error.absolute_path)


def _is_name(error: ValidationError) -> bool:
    return "propertyNames" in error.absolute_schema_path


def _is_schedule(error: ValidationError) -> bool:
    """Whether it is about a schedule's text: ``schedule_problem`` says which field is wrong."""
    return error.validator == "pattern" and "schedule" in error.absolute_path


def _problems(error: ValidationError, document: Node) -> Iterator[ConfigError]:
    node = document.at(tuple(error.absolute_path))
    if error.instance is None or node.value is None or _is_schedule(error):
        return  # reported where the text was read, and each schedule where it is understood
    if error.validator == "additionalProperties":
        yield from _unknown_keys(error, node)
    elif error.validator == "required":
        yield from _missing_keys(error, node)
    elif _is_name(error):
        yield _host_name(error, node)
    else:
        yield ConfigError(node.origin, *complaint(error))


def _unknown_keys(error: ValidationError, node: Node) -> Iterator[ConfigError]:
    known = list(schema_of(error)["properties"])
    options = list(load_schema()["$defs"]["options"]["properties"])
    for key, child in node.keys.items():
        if key not in known:
            words = unknown_key(key, known, options, is_no=child.value is False)
            yield ConfigError(child.key or child.origin, *words)


def _missing_keys(error: ValidationError, node: Node) -> Iterator[ConfigError]:
    """One problem for each missing key, unless a misspelt one is reported already."""
    for key in schema_of(error)["required"]:
        meant = {suggest(other, [key]) for other in node.keys}
        if key not in node.keys and key not in meant:
            yield ConfigError(node.origin, *missing(key))


def _host_name(error: ValidationError, hosts: Node) -> ConfigError:
    name = str(error.instance)
    found = hosts.get(name)
    origin = found.key if found and found.key else hosts.origin
    message = f"hosts: {words_of(error)}; found {shown(name)}"
    return ConfigError(origin, message, f"write {short_name(name)!r}" if "." in name else "")


_MANY = 8
"""Words that an error lists; of more it says what they are."""

_SHOWN = 60  # characters of a wrong value; a longer one is cut

_WORDS_FOR_OFF = frozenset({"none", "no", "off", "false", "never", "disabled", "nocompress", "0"})

_LEVELS = {"zlib": (1, 9), "zstd": (-15, 15)}

_TYPES = {
    "string": "text",
    "boolean": "true or false",
    "integer": "a whole number",
    "array": "a list",
    "object": "`key: value` lines",
}

_SHAPES = {
    **{each.name: f"begin each entry with `- {each.identity}: `" for each in SECTIONS},
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
    kind = "pattern" if "patternErrorMessage" in schema_of(error) else str(error.validator)
    if kind in _WHOLE:
        return _WHOLE[kind](error, label)
    return f"{label}expected {_expected(error)}, found {found}", _hint(error)


def unknown_key(
    key: str, known: Sequence[str], options: Sequence[str], *, is_no: bool = False
) -> tuple[str, str]:
    """Message and hint for a key that does not belong where only ``known`` ones do.

    ``is_no``: its value is false.
    """
    among_options = known == options
    if among_options and (words := mount_options.refusal(key, is_no=is_no)):
        return words
    if "options" in known and key in options:
        return f"{key!r} is a mount option", "write it under `options:`"
    near = suggest(key, known)
    return f"unknown {'mount option' if among_options else 'key'} {shown(key)}", (
        f"did you mean {near!r}?" if near else f"known here: {', '.join(sorted(known))}"
    )


def suggest(word: str, known: Iterable[str]) -> str | None:
    from difflib import get_close_matches  # noqa: PLC0415 - only where something is misspelt

    by_form = {each.lower(): each for each in known}
    near = get_close_matches(word.lower().replace("_", "-"), by_form, n=1)
    return by_form[near[0]] if near else None


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


def _key(error: ValidationError) -> str:
    """Return the last key on the way to a value; "" where there is none."""
    return next((str(s) for s in reversed(error.absolute_path) if isinstance(s, str)), "")


def _expected(error: ValidationError) -> str:
    schema = schema_of(error)
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        return f"a whole number from {low} to {high}"
    if error.validator == "enum":
        is_long = len(schema["enum"]) > _MANY and "title" in schema
        return str(schema["title"]) if is_long else either(schema["enum"])
    if error.validator == "const":
        return describe(error.validator_value)
    return _TYPES[str(error.validator_value)]


def _hint(error: ValidationError) -> str:
    found = error.instance
    if error.validator == "type" and error.validator_value in ("array", "object"):
        return _SHAPES.get(_key(error), "" if error.absolute_path else "write `key: value` lines")
    if error.validator == "enum" and str(found).lower() in _WORDS_FOR_OFF:
        off = next((w for w in schema_of(error)["enum"] if w in {"no", "none"}), "")
        return f"write `{_key(error)}: {off}`" if off else ""
    if isinstance(found, str) and error.validator == "enum":
        near = suggest(found, map(str, schema_of(error)["enum"]))
        return f"did you mean {near!r}?" if near else _of_many(schema_of(error))
    if isinstance(found, str):
        return _text_hint(found, error)
    return f'write "{found}", in quotes' if error.validator_value == "string" else ""


def _of_many(schema: Mapping[str, Any]) -> str:
    """Return what the schema says of words that are too many to be listed."""
    return str(schema.get("description", "")) if len(schema["enum"]) > _MANY else ""


def _text_hint(found: str, error: ValidationError) -> str:
    """Explain text that looks like what was expected."""
    expected = error.validator_value
    if expected == "boolean" and found in ("true", "false"):
        return "remove the quotes"
    if expected == "boolean" and found.lower() in ("true", "yes", "on", "y"):
        return "write true"
    if expected == "boolean" and found.lower() in {*_WORDS_FOR_OFF, "n"}:
        return "write false"
    if expected == "integer" and (number := re.fullmatch("([1-9][0-9]*) ?[A-Za-z]+", found)):
        return f"write {number[1]}, without a unit"
    if expected in ("integer", 1) and expected is not True and found.isdigit():
        return "no leading zeros" if found.startswith("0") else "remove the quotes"
    return ""


def _pattern(error: ValidationError, label: str) -> tuple[str, str]:
    message, _, hint = words_of(error).partition("; ")
    if _key(error) in {"compress", "compress-force"}:
        hint = _compression_hint(error.instance, hint)
    return f"{label}{message}; found {describe(error.instance)}", hint


def _compression_hint(found: Any, of_levels: str) -> str:
    """Say how "off" is written; a remark on levels is for a level alone."""
    if str(found).lower() in _WORDS_FOR_OFF:
        return "write `compress: no`"
    algorithm, _, level = str(found).partition(":")
    lowest, highest = _LEVELS.get(algorithm, (0, 0))
    if not highest or not re.fullmatch("-?[0-9]{1,9}", level):
        return ""
    number = int(level)
    is_one = number and lowest <= number <= highest
    return f"write `{algorithm}:{number}`" if is_one else of_levels


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
