"""A kind is one file and one line in the registry; this names what else it must not lack."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest
import yaml

from reconciler.config.hosts import IDENTITY
from reconciler.discovery import facts as discovery
from reconciler.discovery import linux as discovery_linux
from reconciler.engine import place as places
from reconciler.engine import preconditions
from reconciler.engine import subvolume as subvolume_places
from reconciler.facts import host as facts
from reconciler.facts.host_view import Fact
from reconciler.resources import reads
from reconciler.resources.images import places as images_places
from reconciler.resources.reads import READERS
from reconciler.resources.registry import KINDS
from reconciler.resources.writes import LONG_WRITERS, POKES, WRITERS

ROOT = Path(__file__).parents[2]
SCHEMA = json.loads((ROOT / "schemas" / "vmtune.schema.json").read_text())
EXAMPLE = yaml.safe_load((ROOT / "vmtune.yaml.example").read_text())
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


def queries(room):
    return {
        found
        for found in vars(room).values()
        if isinstance(found, type)
        and issubclass(found, Fact)
        and found not in {Fact, places.Place}
        and found.__module__ == room.__name__
    }


def test_every_file_in_resources_is_registered():
    folder = ROOT / "reconciler" / "resources"
    files = {path.stem for path in folder.glob("*.py")} - {"__init__", "registry"}
    assert files == {kind.name for kind in KINDS}


@each_kind
def test_a_kind_explains_itself(kind):
    module = importlib.import_module(f"reconciler.resources.{kind.name}")
    assert module.KIND is kind
    assert len((module.__doc__ or "").split("\n\n")) >= 2, "a sentence, and why"
    assert "``" not in (module.__doc__ or ""), "it is printed as it stands"


@each_kind
def test_a_kind_has_a_section_with_a_schema(kind):
    assert kind.section in SCHEMA["properties"]
    assert kind.section in IDENTITY


@pytest.mark.parametrize("section", sorted({kind.section for kind in KINDS}))
def test_every_key_is_described(section):
    bare = [
        name
        for name, node in leaves(section, SCHEMA["properties"][section])
        if len(node.get("description", "").split()) < 3
    ]
    assert not bare


@each_kind
def test_a_kind_is_in_the_example(kind):
    assert EXAMPLE[kind.section]


@each_kind
def test_a_kind_has_cases(kind):
    cases = list((ROOT / "tests" / "unit" / "plan" / "cases" / kind.name).glob("*.yaml"))
    assert len(cases) >= 10
    said = "".join(path.read_text() for path in cases)
    for symbol in "+~!?=":
        assert f"{symbol} {kind.name} " in said or (symbol, kind.name) in UNHEARD


def test_every_question_is_answered_and_no_other():
    rooms = (discovery, facts, images_places, facts, places, preconditions, subvolume_places)
    asked = set().union(*map(queries, rooms))
    answered = [*READERS, *reads.ANSWERS, *discovery_linux.ANSWERS]
    assert {*answered} == asked
    assert len(answered) == len(asked), "one is answered twice"


def test_every_place_can_be_put_and_nothing_else():
    known = queries(places) | queries(images_places) | queries(subvolume_places)
    assert {*WRITERS, *LONG_WRITERS} == {each for each in known if issubclass(each, places.Place)}
    assert len(POKES) == 1
