"""The validator generated from the schema and jsonschema are of one mind."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from reconciler.config.check import load_schema
from reconciler.config.schema_validator import is_valid

if TYPE_CHECKING:
    from collections.abc import Iterator

WHOLE = load_schema()
HOST_FILE = {**WHOLE["$defs"]["host_file"], "$defs": WHOLE["$defs"]}
SHAPES = {"main": WHOLE, "host_file": HOST_FILE}
each_shape = pytest.mark.parametrize("shape", SHAPES)
UNUSUAL = (
    *(None, 0, 1, -1, 300, 301, 10**20, True, False, "", "no", "zstd:3", "zstd:16", "no\n", "1"),
    *([], ["raid"], ["raid", "raid"], [1, True], [[]], {}, {"remove": True}, {"a": 1}, "report"),
)
unusual = st.sampled_from(UNUSUAL)
unhurried = settings(deadline=None, max_examples=150)


def follow(schema: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        schema = WHOLE["$defs"][schema["$ref"].rpartition("/")[2]]
    return schema


def valid(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values that the schema is meant to take."""
    schema = follow(schema)
    if "const" in schema:
        return st.just(schema["const"])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if schema["type"] == "array":
        return st.lists(valid(schema["items"]), max_size=3, unique_by=repr)
    if schema["type"] == "object":
        return mapping(schema)
    if schema["type"] == "integer":
        return st.integers(schema["minimum"], schema["maximum"])
    if "pattern" in schema:
        return st.from_regex(schema["pattern"], fullmatch=True)
    return st.booleans() if schema["type"] == "boolean" else st.text(max_size=5)


def mapping(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    if isinstance(schema.get("additionalProperties"), dict):
        return st.dictionaries(
            valid(schema["propertyNames"]), valid(schema["additionalProperties"]), max_size=2
        )
    keys = {key: valid(below) for key, below in schema["properties"].items() if key != "remove"}
    required = {key: keys.pop(key) for key in schema.get("required", ())}
    made = st.fixed_dictionaries(required, optional=keys)
    if "remove" in schema["properties"]:
        made |= st.fixed_dictionaries({**required, "remove": st.just(True)})
    return made.filter(lambda value: len(value) >= schema.get("minProperties", 0))


def holders(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every container with each of its keys, outermost first."""
    keys = range(len(value)) if isinstance(value, list) else value
    for key in list(keys) if isinstance(value, list | dict) else ():
        yield value, key
        yield from holders(value[key])


@st.composite
def mutated(draw: st.DrawFn, schema: dict[str, Any]) -> Any:
    """A valid value with a few things in it replaced, removed, or added."""
    top = {"top": copy.deepcopy(draw(valid(schema)))}
    for _ in range(draw(st.integers(1, 3))):
        holder, key = draw(st.sampled_from(list(holders(top))))
        what = draw(st.sampled_from(["replace", "remove", "add"]))
        if what == "remove" and holder is not top:
            del holder[key]
        elif what == "add" and isinstance(holder[key], dict):
            words = ["path", "remove", "nocow", "paths", "ssd", "compress", "Nope", "x"]
            holder[key][draw(st.sampled_from(words))] = copy.deepcopy(draw(unusual))
        else:
            holder[key] = copy.deepcopy(draw(unusual))
        if not any(holders(top)):
            break
    return top.get("top")


anything = st.recursive(
    st.sampled_from([each for each in UNUSUAL if not isinstance(each, list | dict)]) | st.floats(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=10,
)


def oracle(schema: dict[str, Any], value: Any) -> bool:
    return bool(Draft202012Validator(schema).is_valid(value))


@each_shape
@unhurried
@given(data=st.data())
def test_a_valid_document_is_valid(shape: str, data: st.DataObject) -> None:
    document = data.draw(valid(SHAPES[shape]))
    assert oracle(SHAPES[shape], document)
    assert is_valid(shape, document)


@each_shape
@unhurried
@given(data=st.data())
def test_of_mutated_documents_the_two_say_the_same(shape: str, data: st.DataObject) -> None:
    document = data.draw(mutated(SHAPES[shape]))
    assert is_valid(shape, document) == oracle(SHAPES[shape], document)


def everything(schema: dict[str, Any]) -> Any:
    """One valid document with every key that there is, but `remove`, which stands alone."""
    schema = follow(schema)
    if "const" in schema or "enum" in schema:
        return schema.get("const", schema.get("enum", [None])[0])
    if schema["type"] == "array":
        return [everything(schema["items"])]
    if "properties" in schema:
        keys = {key: below for key, below in schema["properties"].items() if key != "remove"}
        return {key: everything(below) for key, below in keys.items()}
    if schema["type"] == "object":
        return {"atlas": everything(schema["additionalProperties"])}
    example = schema.get("examples", ["/x"])[0]
    return {"integer": schema.get("maximum"), "boolean": True, "string": example}[schema["type"]]


CHANGES = [*UNUSUAL, {"path": "/x", "remove": True}, {"path": "/x", "remove": True, "nocow": True}]


@each_shape
def test_whatever_one_thing_is_changed_the_two_say_the_same(shape: str) -> None:
    schema, checked = SHAPES[shape], Draft202012Validator(SHAPES[shape])
    top = {"top": everything(schema)}
    assert is_valid(shape, top["top"])
    for holder, key in list(holders(top)):
        was = holder[key]
        for new in CHANGES:
            holder[key] = new
            verdict = is_valid(shape, top["top"])
            assert verdict == checked.is_valid(top["top"]), (key, new)
        if isinstance(holder, dict) and holder is not top:
            del holder[key]
            assert is_valid(shape, top["top"]) == checked.is_valid(top["top"]), key
        holder[key] = was


@unhurried
@given(st.sampled_from(sorted(SHAPES)), anything)
def test_of_anything_the_two_say_the_same(shape: str, document: Any) -> None:
    assert is_valid(shape, document) == oracle(SHAPES[shape], document)


@pytest.mark.parametrize("version", [1, 1.0, True, False, "1", 2, 0, [1], {}, None])
@each_shape
def test_true_is_not_one(shape: str, version: Any) -> None:
    document = {"version": version}
    assert is_valid(shape, document) == oracle(SHAPES[shape], document)
