"""Who imports whom: the contracts in pyproject.toml, and what each command loads."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from importlib import import_module
from inspect import signature
from pathlib import Path

import pytest

from reconciler.cli import SHARED, cli

ROOT = Path(__file__).parents[2]

# Prints the modules that a run of vmtune has loaded, on standard error.
LOADED = """
import sys
from reconciler.cli import run
code = run(sys.argv[1:])
print(code, *sys.modules, file=sys.stderr)
"""
EMPTY = "version: 1\n"
NOT_BTRFS = """\
version: 1
paths: [{path: /proc/vm, nocow: true}]
defrag: [{path: /proc/vm, schedule: "0 12 * * *"}]
mounts: [{target: /proc, options: {noatime: true}}]
"""
LINTER = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
WRITERS = next(
    tuple(contract["protected_modules"])
    for contract in LINTER["contracts"]
    if contract["name"] == "planning cannot write"
)
LIBRARIES = ("cronsim", "deepdiff", "jsonschema", "yaml")
# A tenth of a second of CPU time, together: a run that finds all well has no use for them.
HEAVY = ("cronsim", "deepdiff", "jsonschema", "referencing", "attr", "rpds", "subprocess")
LOOKING = ("reconciler.discovery.facts", "reconciler.discovery.linux")
LOADS = [
    (["--help"], EMPTY, (*LIBRARIES, *WRITERS, "reconciler.linux", "reconciler.config")),
    (["--version"], EMPTY, (*LIBRARIES, *WRITERS, "reconciler.linux", "reconciler.config")),
    (["plan", "--help"], EMPTY, (*LIBRARIES, *WRITERS, "reconciler.linux", "reconciler.config")),
    (
        ["completion", "bash"],
        EMPTY,
        (*LIBRARIES, *WRITERS, "reconciler.linux", "reconciler.config"),
    ),
    (["validate", "FILE"], EMPTY, (*HEAVY[:6], *WRITERS)),
    (["validate", "FILE"], NOT_BTRFS, (*HEAVY[:6], *WRITERS)),
    (["--config", "FILE", "plan"], EMPTY, (*HEAVY, *WRITERS, *LOOKING)),
    (["--config", "FILE", "plan"], NOT_BTRFS, (*HEAVY, *WRITERS, *LOOKING)),
    (["--config", "FILE", "plan", "--json"], NOT_BTRFS, (*HEAVY, *WRITERS, *LOOKING)),
    (["--config", "FILE", "status"], NOT_BTRFS, (*HEAVY, *WRITERS, *LOOKING)),
    (["--config", "FILE", "apply", "--yes"], EMPTY, (*HEAVY, *LOOKING)),
    (["init"], EMPTY, ("deepdiff", *WRITERS, "reconciler.config")),
    (["doctor"], EMPTY, ("cronsim", "deepdiff", *WRITERS)),
    (["--config", "FILE", "doctor"], EMPTY, ("cronsim", "deepdiff", *WRITERS)),
    (["history"], EMPTY, (*LIBRARIES, *WRITERS, "reconciler.config")),
]


@pytest.mark.parametrize("name", sorted({*cli.commands} - {"completion", "help", "version"}))
def test_a_command_takes_its_options(name):
    """cli.py declares them, and calls ``run`` of the command's module by their names."""
    shared = {option.name for option in SHARED}
    own = {each.name for each in cli.commands[name].params} - shared - {"as_json"}
    run = import_module(f"reconciler.commands.{name}").run
    assert {*signature(run).parameters} == {"chosen", *own}


def test_contracts_hold():
    lint = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [lint, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_contracts_cover_every_room():
    """The doors are closed for whole rooms: a new room is put into the layers, or this fails."""
    layers = next(c for c in LINTER["contracts"] if c["type"] == "layers")
    assert layers["exhaustive"]
    named = {name for layer in layers["layers"] for name in layer.split(" | ")}
    rooms = {entry.stem for entry in (ROOT / "reconciler").iterdir() if _is_code(entry)}
    assert named == rooms


# What has doors: everything else is in the contract of its folder.
DOORS = {"discovery": {"linux"}}


def test_contracts_cover_every_module():
    """A new module is under the contract of its folder, or is named here as one that is not."""
    sources = {
        contract["name"]: set(contract.get("source_modules", contract.get("modules", ())))
        for contract in LINTER["contracts"]
    }
    pure = {f"reconciler.discovery.{name}" for name in _modules("discovery") - DOORS["discovery"]}
    assert pure == {m for m in sources["pure modules have no doors"] if ".discovery" in m}


def test_who_may_write_is_protected():
    """Whoever is between a command that looks and what writes would open a way."""
    contract = next(c for c in LINTER["contracts"] if c["name"] == "planning cannot write")
    assert {*contract["allowed_importers"]} == {*WRITERS}


def _modules(folder: str) -> set[str]:
    return {path.stem for path in (ROOT / "reconciler" / folder).glob("[!_]*.py")}


def _is_code(entry: Path) -> bool:
    if entry.is_dir():
        return (entry / "__init__.py").exists()
    return entry.suffix == ".py" and entry.stem != "__init__"


@pytest.mark.parametrize(
    ("arguments", "text", "never"), LOADS, ids=[" ".join(row[0]) for row in LOADS]
)
def test_what_a_command_loads(tmp_path, arguments, text, never):
    file = tmp_path / "vmtune.yaml"
    file.write_text(text)
    file.chmod(0o600)
    given = [str(file) if word == "FILE" else word for word in arguments]
    done = subprocess.run(
        [sys.executable, "-c", LOADED, *given],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    code, *loaded = done.stderr.splitlines()[-1].split()
    assert code == "0", done.stderr
    unwanted = {n for n in loaded for room in never if fnmatch(f"{n}.", f"{room}.*")}
    assert not unwanted
