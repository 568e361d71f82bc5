"""A document held against schemas/vmtune.schema.json."""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any

from reconciler.config import messages, schema_validator
from reconciler.config.hosts import short_name
from reconciler.core.origin import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jsonschema import Draft202012Validator, ValidationError

    from reconciler.config.node import Node, Path

MAIN = "main"
HOST_FILE = "host_file"


def check(document: Node, shape: str = MAIN) -> tuple[Node, tuple[Problem, ...]]:
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


def _other_version(document: Node) -> Problem | None:
    """Another version has other keys: to complain about them would mislead."""
    version = document.get("version")
    if version is None or version.value is True or not isinstance(version.value, int):
        return None
    if version.value == 1:
        return None
    message = f"version: this vmtune reads version 1, found the number {version.value}"
    return Problem(version.origin, message)


def _cut(error: ValidationError) -> Path | None:
    """Return the part of the document that the error makes unusable."""
    whole_is_usable = ("additionalProperties", "required")
    if error.validator in whole_is_usable or _is_name(error):
        return None
    return tuple(error.absolute_path)


def _is_name(error: ValidationError) -> bool:
    return "propertyNames" in error.absolute_schema_path


def _problems(error: ValidationError, document: Node) -> Iterator[Problem]:
    node = document.at(tuple(error.absolute_path))
    if error.instance is None or node.value is None:
        return  # reported where the text was read
    if error.validator == "additionalProperties":
        yield from _unknown_keys(error, node)
    elif error.validator == "required":
        yield from _missing_keys(error, node)
    elif _is_name(error):
        yield _host_name(error, node)
    else:
        yield Problem(node.origin, *messages.complaint(error))


def _unknown_keys(error: ValidationError, node: Node) -> Iterator[Problem]:
    known = list(messages.schema_of(error)["properties"])
    options = list(load_schema()["$defs"]["options"]["properties"])
    for key, child in node.keys.items():
        if key not in known:
            words = messages.unknown_key(key, known, options)
            yield Problem(child.key or child.origin, *words)


def _missing_keys(error: ValidationError, node: Node) -> Iterator[Problem]:
    """One problem for each missing key, unless a misspelt one is reported already."""
    for key in messages.schema_of(error)["required"]:
        meant = {messages.suggest(other, [key]) for other in node.keys}
        if key not in node.keys and key not in meant:
            yield Problem(node.origin, *messages.missing(key))


def _host_name(error: ValidationError, hosts: Node) -> Problem:
    name = str(error.instance)
    found = hosts.get(name)
    origin = found.key if found and found.key else hosts.origin
    message = f"hosts: {messages.words_of(error)}; found {messages.shown(name)}"
    return Problem(origin, message, f"write {short_name(name)!r}" if "." in name else "")
