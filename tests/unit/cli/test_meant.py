"""What is meant by a word that vmtune does not know; help and version; what a shell is offered."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from reconciler.arguments import NO_OPTIONS, OTHER_COMMANDS, OTHER_OPTIONS
from reconciler.cli import cli
from tests.unit.cli.inside import vmtune

ROOT = Path(__file__).parents[3]

MEANT = [
    (["apply", "--auto-approve"], "there is no option --auto-approve\n    did you mean --yes?"),
    (["apply", "--assume-yes"], "did you mean --yes?"),
    (["plan", "--out", "x"], "did you mean --output?"),
    (["plan", "-out=x"], "there is no option -out\n    did you mean --output?"),
    (["apply", "-auto-approve"], "there is no option -auto-approve\n    did you mean --yes?"),
    (["plan", "-json"], "there is no option -json\n    did you mean --json?"),
    (["-no-color", "plan"], "there is no option -no-color\n    did you mean --color?"),
    (
        ["apply", "-target=nocow"],
        "there is no option -target\n    name the entries themselves: `vmtune plan ENTRY`",
    ),
    (["plan", "--detailed"], "did you mean --detailed-exitcode?"),
    (["plan", "--hots", "x"], "did you mean --host?"),
    (["--hots", "x", "plan"], "did you mean --host?"),
    (
        ["apply", "--force"],
        "there is no option --force\n    `--allow RISK` takes one risk, by its name",
    ),
    (["apply", "--dry-run"], "`vmtune plan` shows what would change"),
    (["aply"], "there is no command aply\n    did you mean apply?"),
    (["diff"], "there is no command diff\n    did you mean plan?"),
    (["help", "rollback"], "there is no command rollback\n    did you mean revert?"),
]


@pytest.mark.parametrize(("words", "says"), MEANT, ids=lambda value: " ".join(value)[:30])
def test_what_is_meant_is_said(words, says):
    done = vmtune(*words)
    assert (done.returncode, done.stdout) == (64, "")
    assert done.stderr.endswith(f"{says}\n")
    assert done.stderr.startswith("vmtune: "), "the style of all other errors"
    assert "Usage:" not in done.stderr


def test_what_is_far_from_everything_is_not_guessed():
    for words, hint in (
        (("plan", "--xyzzy"), "`vmtune help plan` says what it takes"),
        (("plan", "--auto-approve"), "`vmtune help plan` says what it takes"),
        (("xyzzy",), "`vmtune help` lists commands and options"),
    ):
        kind = "option" if words[1:] else "command"
        told = f"vmtune: there is no {kind} {words[-1]}\n    {hint}\n"
        assert vmtune(*words).stderr == told


def test_the_help_of_the_command_is_named_where_an_option_has_no_value():
    told = (
        "vmtune: option '--allow' requires an argument\n    `vmtune help plan` says what it takes\n"
    )
    assert vmtune("plan", "--allow").stderr == told


HIDDEN = [
    (name, option)
    for name, command in cli.commands.items()
    for each in command.params
    if isinstance(each, click.Option) and each.hidden
    for option in each.opts
]


@pytest.mark.parametrize(("name", "option"), HIDDEN)
def test_no_hidden_option_is_ever_suggested(name, option):
    for near in (option[:-1], option[:-2], f"{option}x", option.replace("p", "", 1)):
        assert option not in vmtune(name, near).stderr.replace(f"no option {near}\n", "")


def test_second_names_lead_to_what_is_there():
    names = {o for command in cli.commands.values() for each in command.params for o in each.opts}
    assert set(OTHER_OPTIONS.values()) <= names
    assert set(OTHER_COMMANDS.values()) <= set(cli.commands)
    assert not set(OTHER_COMMANDS) & set(cli.commands)
    assert not (set(OTHER_OPTIONS) | set(NO_OPTIONS)) & (names - {"-n", "-t", "-c", "-f"})


# --- help, version


@pytest.mark.parametrize("name", sorted(cli.commands))
def test_help_of_a_command(name):
    done = vmtune("help", name)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == vmtune(name, "--help").stdout


def test_help_alone_and_nothing_at_all():
    assert vmtune("help").stdout == vmtune("--help").stdout == vmtune().stdout
    assert "vmtune init -o ~/.config/vmtune/vmtune.yaml\n" in vmtune().stdout


def test_version():
    assert vmtune("version").stdout == vmtune("--version").stdout
    assert vmtune("version").returncode == 0


# --- what a shell offers


def offered(typed: str, cwd: Path) -> list[str]:
    words = {"COMP_WORDS": typed, "COMP_CWORD": str(typed.count(" "))}
    env = {**os.environ, "PYTHONPATH": str(ROOT), **words, "_VMTUNE_COMPLETE": "bash_complete"}
    argv = [sys.executable, "-m", "reconciler"]
    done = subprocess.run(argv, env=env, cwd=cwd, capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_hosts_are_offered(tmp_path):
    file = tmp_path / "vmtune.yaml"
    file.write_text("version: 1\nhosts: {atlas: {paths: []}, titan: {paths: []}}\n")
    file.chmod(0o644)
    (tmp_path / "hosts").mkdir()
    (tmp_path / "hosts" / "ananke.yaml").write_text("paths: []\n")
    for typed in (f"vmtune --config {file} --host ", f"vmtune plan --config {file} --host "):
        assert offered(typed, tmp_path) == ["plain,ananke", "plain,atlas", "plain,titan"]
    assert offered(f"vmtune --config {file} plan --host at", tmp_path) == ["plain,atlas"]
    assert offered(f"vmtune --config {tmp_path}/none --host ", tmp_path) == []
    assert offered("vmtune help hi", tmp_path) == ["plain,history"]
    assert offered("vmtune plan --a", tmp_path) == ["plain,--allow", "plain,--as"]


KEPT = {
    "bash": "d=~/.local/share/bash-completion/completions",
    "zsh": "d=~/.local/share/zsh/site-functions",
    "fish": "d=~/.config/fish/completions",
}


@pytest.mark.parametrize("shell", KEPT)
def test_completion_is_kept_as_its_help_says(shell, tmp_path):
    """The two lines of the help, typed: the file is there, and is code for that shell."""
    command = tmp_path / "bin" / "vmtune"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m reconciler "$@"\n')
    command.chmod(0o755)
    lines = [line.strip() for line in vmtune("completion", "--help").stdout.splitlines()]
    first = lines.index(KEPT[shell])
    path = f"{command.parent}:{os.environ['PATH']}"
    env = {**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(tmp_path), "PATH": path}
    subprocess.run(["sh", "-euc", "\n".join(lines[first : first + 2])], env=env, check=True)
    (script,) = [p for p in tmp_path.rglob("*vmtune*") if p.is_file() and p != command]
    if program := shutil.which(shell):
        subprocess.run([program, "-n", script], check=True)
