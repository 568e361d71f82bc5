"""Completion in the shells themselves, set up by the lines of the manual as they stand there."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from reconciler.commands.explain import CODES
from tests import documents, tiers
from tests.documents import ROOT, as_typed
from tests.host.typed import Typed
from tests.unit.cli.test_cli import clean_environment

MANUAL = ROOT / "man" / "vmtune.1"
OFFERED = [code for code in CODES if code.startswith("V10")]
BASH = """COMP_WORDS=(vmtune explain V10) COMP_CWORD=2 COMPREPLY=()
_vmtune_completion vmtune; printf '%s\\n' "${COMPREPLY[@]}" """
FISH = 'complete -C "vmtune explain V10"'
ZSHRC = "{line}\nautoload -U compinit && compinit -u -D\nPS1='ready> '\n"


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """The environment of somebody whose home is empty, and who has vmtune."""
    command = tmp_path / "bin" / "vmtune"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m reconciler "$@"\n')
    command.chmod(0o755)
    own = clean_environment()
    return own | {"HOME": str(tmp_path), "PATH": f"{command.parent}:{own['PATH']}"}


def offers(env: dict[str, str], *argv: str) -> list[str]:
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=True)
    return [row.split("\t")[0] for row in done.stdout.splitlines()]


@pytest.mark.parametrize(
    ("shell", "script"),
    [
        ("bash", as_typed('eval "$(vmtune completion bash)"') + "\n" + BASH),
        ("fish", as_typed("vmtune completion fish | source") + "\n" + FISH),
    ],
)
def test_it_is_tried_in_the_running_shell(env: dict[str, str], shell: str, script: str):
    tiers.judge(shell, shell)
    assert offers(env, shell, "-c", script) == OFFERED


def kept(env: dict[str, str], command: str) -> str:
    """What the manual says to keep it for a shell, once it is done."""
    lines = next(x.text for x in documents.blocks(MANUAL) if command in x.text)
    assert as_typed("mkdir -p $d") in lines
    subprocess.run(["sh", "-euc", lines], env=env, check=True)
    return lines


def test_bash_finds_what_is_kept(env: dict[str, str]):
    kept(env, as_typed("vmtune completion bash > $d/vmtune"))
    found = '. "$HOME/.local/share/bash-completion/completions/vmtune"\n'
    assert offers(env, "bash", "-c", found + BASH) == OFFERED


def test_fish_finds_what_is_kept(env: dict[str, str]):
    tiers.judge("fish", "fish")
    kept(env, as_typed("vmtune completion fish > $d/vmtune.fish"))
    assert offers(env, "fish", "-c", FISH) == OFFERED


@pytest.mark.parametrize(
    ("typed", "shown"),
    [("vmtune plan noc", "ow"), ("vmtune expl", "ain"), ("vmtune plan --det", "ailed-exitcode")],
)
def test_zsh_finds_what_is_kept(env: dict[str, str], tmp_path: Path, typed: str, shown: str):
    """On a terminal: TAB ends the word."""
    tiers.judge("zsh", "zsh")
    lines = kept(env, as_typed("vmtune completion zsh > $d/_vmtune"))
    [line] = re.findall(r"before compinit: (.*)", lines)
    (tmp_path / ".zshrc").write_text(ZSHRC.format(line=line))
    argv = ["script", "--quiet", "--command", "zsh -i", "/dev/null"]
    with subprocess.Popen(
        argv, env=env, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as running:
        zsh = Typed(running)
        zsh.until("ready> ")
        zsh.type(typed)
        zsh.until(typed[-1])
        zsh.type("\t\x01echo \n")  # to the beginning of the line: it is printed, not run
        zsh.until(f"\n{typed}{shown}")
        zsh.until("ready> ")
        zsh.type("exit\n")
        assert zsh.end() == 0
