"""``vmtune schema``: what it prints is what ships, and judges what it is for."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from reconciler.cli import SCHEMAS

ROOT = Path(__file__).parents[3]


def printed(*arguments: str, expect: int = 0) -> str:
    argv = [sys.executable, "-m", "reconciler", "schema", *arguments]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == expect, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", [name for name in SCHEMAS if name != "host"])
def test_it_prints_what_ships(name):
    assert printed(name) == (ROOT / "schemas" / f"{name}.schema.json").read_text()


def test_every_schema_that_ships_has_a_name():
    ships = {path.name.partition(".")[0] for path in (ROOT / "schemas").glob("*.schema.json")}
    assert ships == set(SCHEMAS) - {"host"}


def test_without_a_name_it_is_that_of_the_configuration():
    assert printed() == printed("vmtune")


@pytest.mark.parametrize(
    ("document", "is_valid"),
    [
        ({"version": 1, "paths": [{"path": "/srv/vm", "remove": True}]}, True),
        ({"version": 1, "paths": [{"path": "/srv/vm", "nocow": "maybe"}]}, False),
        ({"version": 1, "hosts": {}}, False),
    ],
)
def test_the_schema_of_a_host_judges_its_file(document, is_valid):
    judge = jsonschema.Draft202012Validator(json.loads(printed("host")))
    assert judge.is_valid(document) is is_valid


def test_it_is_written_to_a_file_that_is_not_there(tmp_path):
    file = tmp_path / "vmtune.schema.json"
    assert str(file) in printed("-o", str(file))
    assert file.read_text() == printed()
    printed("-o", str(file), expect=1)
