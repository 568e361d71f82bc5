"""A kind is a folder and a name in the registry; this names what else it must not lack."""

from __future__ import annotations

import importlib
import inspect
import json
import re
from pathlib import Path

import pytest
import yaml

from reconciler.discovery import linux as discovery
from reconciler.engine.place import Place
from reconciler.facts.host_view import Fact
from reconciler.resources.reads import READS
from reconciler.resources.registry import KINDS, SECTIONS, modules_of_kinds
from reconciler.resources.writes import NOTIFY, writers
from tests import example

ROOT = Path(__file__).parents[2]
SCHEMA = json.loads((ROOT / "schemas" / "vmtune.schema.json").read_text())
EXAMPLE = yaml.safe_load(example.whole(example.ENGLISH.read_text()))
UNHEARD = {("+", "mount"), ("+", "images")}
"""Neither a line of fstab nor an image is ever made."""
each_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)


def follow(node):
    """A schema node, through its reference."""
    while "$ref" in node:
        node = SCHEMA["$defs"][node["$ref"].rpartition("/")[2]]
    return node


def leaves(name, node):
    """Every key that a user can write below a node, with its schema."""
    found = follow(node)
    yield name, {**found, **node}
    if "items" in found:
        for key, below in follow(found["items"]).get("properties", {}).items():
            yield from leaves(f"{name}[].{key}", below)
    for key, below in found.get("properties", {}).items():
        yield from leaves(f"{name}.{key}", below)


def of_kind(base):
    """Every class that stands for a fact or a place, by the name that records have for it."""
    is_one = not inspect.isabstract(base) and not base.__parameters__
    found = {base.__name__: base} if is_one else {}
    for each in base.__subclasses__():
        found |= of_kind(each)
    return {n: c for n, c in found.items() if c.__module__.startswith("reconciler.")}


def test_every_folder_in_resources_is_registered():
    folder = ROOT / "reconciler" / "resources"
    found = {path.parent.name for path in folder.glob("*/kind.py")}
    assert found == {kind.name for kind in KINDS}


LISTED = re.compile(rf"\b(?:{'|'.join(kind.name for kind in KINDS)})\b")


def test_no_other_text_lists_the_kinds():
    """A new kind would make a sentence false that nobody finds."""
    registry = ROOT / "reconciler" / "resources" / "registry.py"
    for folder in ("reconciler", "schemas", "docs", "man", "packaging", "integrations"):
        for path in (ROOT / folder).rglob("*.*"):
            if path.suffix not in {".py", ".json", ".md", ".1", ".5"} or path == registry:
                continue
            text = " ".join(path.read_text().split())
            named = [(found.start(), found[0]) for found in LISTED.finditer(text)]
            for start, _ in named:
                beside = {name for at, name in named if 0 <= at - start < NEAR}
                assert len(beside) < len(KINDS) - 1, f"{path}: {text[start : start + NEAR]}"


NEAR = 90
"""Characters in which all kinds would be named, by way of a list."""


@each_kind
def test_a_kind_explains_itself(kind):
    module = importlib.import_module(f"reconciler.resources.{kind.name}.kind")
    assert module.KIND is kind
    assert len((module.__doc__ or "").split("\n\n")) >= 2, "a sentence, and why"
    assert "``" not in (module.__doc__ or ""), "it is printed as it stands"


@each_kind
def test_a_kind_has_a_section_with_a_schema(kind):
    assert kind.section.name in SCHEMA["properties"]


@pytest.mark.parametrize("section", [each.name for each in SECTIONS])
def test_every_key_is_described(section):
    bare = [
        name
        for name, node in leaves(section, SCHEMA["properties"][section])
        if len(node.get("description", "").split()) < 3
    ]
    assert not bare


@each_kind
def test_a_kind_is_in_the_example(kind):
    assert EXAMPLE[kind.section.name]


@each_kind
def test_a_kind_has_cases(kind):
    cases = list((ROOT / "tests" / "unit" / "plan" / "cases" / kind.name).glob("*.yaml"))
    assert len(cases) >= 10
    said = "".join(path.read_text() for path in cases)
    for symbol in "+~!?=":
        assert f"{symbol} {kind.name} " in said or (symbol, kind.name) in UNHEARD


def test_every_fact_is_answered_and_no_other():
    assert not {*READS} & {*discovery.READS}
    assert {*READS, *discovery.READS} == set(of_kind(Fact).values())


def test_every_place_can_be_put_and_nothing_else():
    assert {*writers()} == set(of_kind(Place).values())
    assert len(NOTIFY) == 1


def test_no_two_kinds_put_one_place():
    put = [place for kind in modules_of_kinds("writes") for place in kind.WRITES]
    assert len(put) == len(set(put))
