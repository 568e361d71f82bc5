"""``--config - --as PATH``: a draft from standard input, taken as if it stood at PATH."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from reconciler.cli import cli
from tests.unit.cli.inside import vmtune

ROOT = Path(__file__).parents[3]
READING = ("plan", "validate")
NOT_BTRFS = "version: 1\npaths: [{path: /proc/vm, nocow: true}]\n"


@pytest.mark.parametrize("command", READING)
@pytest.mark.parametrize("name", ["-", "/dev/stdin"])
def test_problems_name_the_place(command, name, tmp_path):
    done = vmtune(command, "--config", name, "--as", tmp_path / "no/v.yaml", text="version: 2\n")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"{tmp_path}/no/v.yaml:1:10: version: ")
    bare = vmtune(command, "--config", name, text="version: 2\n")
    assert bare.stderr.startswith(f"{name}:1:10: version: ")


def test_the_options_stand_on_either_side(tmp_path):
    path = tmp_path / "vmtune.yaml"
    before = vmtune("--config", "-", "--as", path, "plan", text=NOT_BTRFS)
    assert (before.returncode, before.stderr) == (0, "")
    assert f"config {path} (draft)" in before.stdout
    assert before.stdout == vmtune("plan", "--as", path, "--config", "-", text=NOT_BTRFS).stdout
    assert not path.exists()


def test_a_relative_place_is_seen_from_where_one_stands(tmp_path):
    done = vmtune("plan", "--config", "-", "--as", "v.yaml", text=NOT_BTRFS, cwd=tmp_path)
    assert f"config {tmp_path}/v.yaml (draft)" in done.stdout


def test_json_names_the_place(tmp_path):
    path = tmp_path / "vmtune.yaml"
    done = vmtune("plan", "--config", "-", "--as", path, "--json", text=NOT_BTRFS)
    assert json.loads(done.stdout)["config"]["path"] == str(path)


def test_overlays_beside_the_place_are_read(tmp_path):
    overlay = tmp_path / "hosts" / "atlas.yaml"
    overlay.parent.mkdir()
    overlay.write_text("paths: [{path: /proc/vm, remove: true}, {path: /proc/a, nocow: true}]\n")
    overlay.chmod(0o644)
    words = ["--config", "-", "--as", tmp_path / "vmtune.yaml", "--host", "atlas"]
    assert "/proc/a" in vmtune("plan", *words, text=NOT_BTRFS).stdout
    assert "1 entry for atlas" in vmtune("validate", *words, text=NOT_BTRFS).stdout
    every = vmtune("validate", "--all-hosts", *words[:4], text=NOT_BTRFS)
    assert "valid for atlas, and any other host" in every.stdout
    problem = vmtune("plan", *words)
    assert problem.returncode == 1
    assert problem.stderr.startswith(f"{overlay}:1:9: `remove: true`, but nothing is inherited")


def test_a_draft_that_stands_nowhere_has_no_overlays(tmp_path):
    (tmp_path / "hosts").mkdir()
    (tmp_path / "hosts" / "atlas.yaml").write_text("paths: [{path: /proc/a, nocow: true}]\n")
    words = ["--config", "-", "--host", "atlas"]
    assert "0 entries for atlas" in vmtune("validate", *words, cwd=tmp_path).stdout
    file = tmp_path / "vmtune.yaml"
    file.write_text("version: 1\n")
    redirected = f"exec {sys.executable} -m reconciler validate - --host atlas < vmtune.yaml"
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    argv = ["sh", "-c", redirected]
    done = subprocess.run(argv, cwd=tmp_path, env=env, capture_output=True, text=True, check=True)
    assert "0 entries for atlas" in done.stdout


def test_validate_takes_it_as_a_file_as_well(tmp_path):
    path = tmp_path / "vmtune.yaml"
    for words in (["-"], ["/dev/stdin"], ["--config", "-"]):
        done = vmtune("validate", *words, "--as", path)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith(f"{path} (draft): valid; ")


NEEDED = {"show": ["x"], "explain": ["x"], "defrag": ["x"], "measure": ["x"]}


@pytest.mark.parametrize("command", sorted(set(cli.commands) - set(READING)))
def test_others_read_no_draft(command):
    needed = NEEDED.get(command, ["bash"] if command == "completion" else [])
    for words in (["--config", "-"], ["--config=/dev/stdin"], ["--as", "x"]):
        with pytest.raises(click.UsageError, match="reads no draft from standard input: plan and"):
            cli.main([command, *words, *needed], standalone_mode=False)


USAGE = [
    (["plan", "--config", "-", "-o", "x.json"], "-o saves no plan of a draft"),
    (["apply", "--config", "-"], "apply reads no draft from standard input"),
    (["plan", "--as", "x"], "--as PATH says where a draft stands"),
    (["validate", "--as", "x"], "--as PATH says where a draft stands"),
    (["validate", "other.yaml", "--as", "x"], "--as PATH says where a draft stands"),
    (["plan", "--config", "x.yaml", "--as", "y"], "--as PATH says where a draft stands"),
]


@pytest.mark.parametrize(("words", "says"), USAGE)
def test_wrong_usage_is_64(words, says, tmp_path):
    done = vmtune(*words, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (64, "")
    assert says in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_place_where_no_configuration_can_be(tmp_path):
    done = vmtune("plan", "--config", "-", "--as", tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"vmtune: --as {tmp_path}: it is not a file\n")
    empty = vmtune("plan", "--config", "-", "--as", "")
    assert (empty.returncode, empty.stdout) == (1, "")
    assert empty.stderr.startswith("vmtune: --as names no file\n")


@pytest.mark.parametrize("name", ["vmtune.yaml", "folder/vmtune.yaml"])
def test_what_stands_there_is_not_read(name, tmp_path):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("no: [configuration\n")
    assert vmtune("plan", "--config", "-", "--as", path, text=NOT_BTRFS).returncode == 0
