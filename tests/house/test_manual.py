"""The manual page is made from the help texts, says all of them, and is understood by man."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import click

from reconciler.cli import cli
from reconciler.report.codes import CODES
from tests import tiers

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "man" / "vmtune.1"


def test_it_is_fresh():
    made = subprocess.run(
        [sys.executable, str(ROOT / ".ci" / "man")], capture_output=True, text=True, check=True
    )
    assert made.stdout == PAGE.read_text(), "run `make man`"


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


def test_the_wheel_ships_it():
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    shared = build["targets"]["wheel"]["shared-data"]
    assert shared == {str(PAGE.relative_to(ROOT)): "share/man/man1/vmtune.1"}


def test_roff_has_no_complaint():
    groff = shutil.which("groff")
    tiers.judge("groff", "groff-base")
    assert groff
    done = subprocess.run(
        [groff, "-man", "-ww", "-z", "-Tascii", str(PAGE)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
