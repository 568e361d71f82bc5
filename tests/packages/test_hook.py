"""The hook for pre-commit, run by pre-commit from a clone of this checkout."""

import os
import subprocess

import pytest

from tests.packages.tools import CHECKOUT, tool

GOOD = "version: 1\npaths: [{path: /srv/vm, nocow: true}]\n"
OVERLAY = "paths: [{path: /srv/more, nocow: true}]\n"


def git(*args, cwd):
    who = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    argv = ["git", *who, *args]
    return subprocess.run(argv, cwd=cwd, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture(scope="module")
def precommit(tmp_path_factory):
    """Calls the hook on what stands in a repository of dotfiles."""
    program = tool("pre-commit")
    clone, dotfiles, cache = (tmp_path_factory.mktemp(x) for x in ("clone", "dotfiles", "cache"))
    subprocess.run(["git", "clone", "--quiet", CHECKOUT, clone], check=True, capture_output=True)
    hooks = (CHECKOUT / ".pre-commit-hooks.yaml").read_text()
    (clone / ".pre-commit-hooks.yaml").write_text(hooks)
    git("add", ".", cwd=clone)
    git("commit", "--allow-empty", "--quiet", "-m", "as it stands", cwd=clone)
    git("init", "--quiet", cwd=dotfiles)
    config = f"repos: [{{repo: {clone}, rev: {git('rev-parse', 'HEAD', cwd=clone)}, "
    (dotfiles / ".pre-commit-config.yaml").write_text(config + "hooks: [{id: vmtune-validate}]}]\n")

    def call(**files):
        for name, text in files.items():
            path = dotfiles / name.replace("__", "/").replace("_yaml", ".yaml")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        git("add", ".", cwd=dotfiles)
        env = {**os.environ, "PRE_COMMIT_HOME": str(cache), "HOME": str(cache)}
        return subprocess.run(
            [program, "run", "--all-files", "--color=never"],
            cwd=dotfiles, env=env, capture_output=True, text=True, check=False,
        )  # fmt: skip

    return call


def test_it_checks_a_file_and_the_overlays_beside_it(precommit):
    done = precommit(btrfs__vmtune_yaml=GOOD, btrfs__hosts__atlas_yaml=OVERLAY)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Passed" in done.stdout


def test_a_mistake_in_an_overlay_is_a_failure(precommit):
    done = precommit(btrfs__hosts__atlas_yaml=OVERLAY.replace("nocow", "nocwo"))
    assert done.returncode == 1
    assert "hosts/atlas.yaml:1" in done.stdout
    assert "nocow" in done.stdout


def test_another_programs_hosts_are_left_alone(precommit):
    done = precommit(btrfs__hosts__atlas_yaml=OVERLAY, ansible__hosts__atlas_yaml="all: {}\n")
    assert done.returncode == 0, done.stdout + done.stderr
