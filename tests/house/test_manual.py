"""The manual says all of help texts, schema and codes, and roff is right."""

from __future__ import annotations

import json
import shutil
import subprocess
import tomllib
from pathlib import Path

import click
import pytest

from reconciler.cli import cli
from reconciler.commands.explain import CODES
from tests import tiers

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "man" / "vmtune.1"
FILE = ROOT / "man" / "vmtune.yaml.5"
SCHEMA = json.loads((ROOT / "schemas" / "vmtune.schema.json").read_text())
both = pytest.mark.parametrize("page", [PAGE, FILE], ids=lambda page: page.name)


def test_it_has_every_command_option_and_code():
    text = PAGE.read_text().replace("\\-", "-")
    options = {
        option
        for command in cli.commands.values()
        for parameter in command.params
        if isinstance(parameter, click.Option) and not parameter.hidden
        for option in parameter.opts
    }
    words = [*(f"vmtune {name}" for name in cli.commands), *options, *CODES]
    assert not [word for word in words if word not in text]


@pytest.mark.parametrize(
    "where", ["", "options", *(name for name in SCHEMA["$defs"] if name.endswith("_entry"))]
)
def test_the_page_of_the_file_has_every_key_and_what_it_means(where):
    text = FILE.read_text().replace("\\-", "-").replace("\\e", "\\").replace(".IP", ".PP")
    for name, key in (SCHEMA["$defs"].get(where) or SCHEMA)["properties"].items():
        found = SCHEMA["$defs"].get(key.get("$ref", "").rpartition("/")[2], key)
        assert f"\\fB{name}{':' * bool(where)}\\fR" in text
        assert found["description"].replace("\n\n", "\n.PP\n") in text


def test_the_wheel_ships_it():
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    shared = build["targets"]["wheel"]["shared-data"]
    assert shared == {
        "man/vmtune.1": "share/man/man1/vmtune.1",
        "man/vmtune.yaml.5": "share/man/man5/vmtune.yaml.5",
    }


@both
def test_roff_has_no_complaint(page):
    groff = shutil.which("groff")
    tiers.judge("groff", "groff-base")
    assert groff
    done = subprocess.run(
        [groff, "-man", "-ww", "-z", "-Tascii", str(page)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
