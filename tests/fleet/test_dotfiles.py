"""Keepers of dotfiles, used as docs/dotfiles.md says: what moves, and what vmtune makes of it."""

import pytest

from tests import documents, tiers
from tests.documents import as_typed
from tests.host import installed

CONFIG = "/home/alice/.config/vmtune/vmtune.yaml"
VMS = "/home/alice/vms"
DECLARED = "version: 1\npaths:\n  - path: ~/vms\n    nocow: true\n"


def vmtune(host, *words):
    return host.run(["vmtune", *words], user="alice", check=False)


def as_declared(host) -> bool:
    """Nothing differs, nothing is refused, and an apply would do nothing."""
    before = installed.state(host, VMS)
    done = vmtune(host, "apply", "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    status = vmtune(host, "status")
    assert status.returncode == 0, status.stdout + status.stderr
    return installed.state(host, VMS) == before and installed.is_nocow(host, VMS)


@pytest.fixture
def home(node):
    """Alice's home with a configuration that was never applied, and no keeper of it yet."""
    node.write(CONFIG, DECLARED.encode(), user="alice")
    node.run(["git", "config", "--global", "user.email", "alice@example.org"], user="alice")
    node.run(["git", "config", "--global", "user.name", "alice"], user="alice")
    yield node
    node.run("cd /home/alice; rm -rf .config .local/share/yadm dotfiles vms /var/lib/vmtune /nix")


@pytest.fixture
def host(home):
    """The same, applied."""
    done = vmtune(home, "apply", "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    return home


def needs(host, program: str) -> None:
    if host.run(["sh", "-c", f"command -v {program}"], check=False).returncode:
        tiers.absent("fleet", program, host.suite)


def recipe(host, name: str) -> str:
    """Run a recipe of the page as alice, once its program is there; return what it prints."""
    needs(host, name.partition(".")[0])
    return host.run(["sh", "-c", documents.recipe(name)], user="alice").stdout


def test_stow_links_a_file_that_was_applied(host):
    said = recipe(host, "stow.sh")
    assert "in sync" in said
    found = host.run(["find", "/home/alice/.config/vmtune", "-type", "l"]).stdout
    assert found.strip() == CONFIG
    assert as_declared(host)


def test_a_file_that_is_unlinked_takes_nothing_back(host):
    """It still lies in the repository: what it set stays until a person decides."""
    recipe(host, "stow.sh")
    assert as_declared(host)
    host.run(as_typed("stow -D", "stow --dir=dotfiles -D vmtune"), user="alice")
    done = vmtune(host, "plan")
    assert done.returncode == 1
    assert "no vmtune.yaml" in done.stderr
    assert installed.is_nocow(host, VMS)
    host.run(["stow", "--dir=dotfiles", "--no-folding", "vmtune"], user="alice")
    assert as_declared(host)


def test_a_hook_of_git_checks_the_file_before_a_commit(host):
    recipe(host, "stow.sh")
    hook = "/home/alice/dotfiles/.git/hooks/pre-commit"
    file = "/home/alice/dotfiles/vmtune/.config/vmtune/vmtune.yaml"
    host.run("git init dotfiles", user="alice")
    text = documents.recipe(".git/hooks/pre-commit")
    host.write(hook, text.encode(), user="alice")
    host.run(as_typed("chmod +x", f"chmod +x {hook}"), user="alice")
    commit = "cd dotfiles && git add . && git commit -m vmtune"
    assert host.run(commit, user="alice", check=False).returncode == 0
    host.write(file, DECLARED.replace("nocow", "nocov").encode(), user="alice")
    done = host.run(commit, user="alice", check=False)
    assert done.returncode == 1
    assert "nocow" in done.stderr, done.stderr


def test_an_entry_taken_out_in_the_repository_is_taken_back(host):
    recipe(host, "stow.sh")
    assert as_declared(host)
    at = "/home/alice/dotfiles/vmtune/.config/vmtune/vmtune.yaml"
    host.write(at, b"version: 1\n", user="alice")
    done = vmtune(host, "apply", "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    assert host.run(["ls", VMS], check=False).returncode


def test_yadm_keeps_the_file_where_it_is(host):
    said = recipe(host, "yadm.sh")
    assert "in sync" in said
    assert as_declared(host)


def alternates(host) -> tuple[str, str]:
    """Two alternates, of which the first is this host's and declares; their paths."""
    recipe(host, "yadm.sh")
    here = host.run("hostname -s").stdout.strip()
    mine, other = f"{CONFIG}##hostname.{here}", f"{CONFIG}##default"
    host.write(other, b"version: 1\n", user="alice")
    host.run(f"yadm mv {CONFIG} '{mine}' && yadm add '{other}' && yadm alt", user="alice")
    assert host.run(["readlink", "-f", CONFIG]).stdout.strip() == mine
    return mine, other


def test_what_an_alternate_of_yadm_declares_outlives_the_link(home):
    """Each alternate is a file of its own: the first one is there still, and declares."""
    _, other = alternates(home)
    assert vmtune(home, "apply", "--yes").returncode == 0
    assert as_declared(home)
    home.run(["ln", "-sf", other, CONFIG], user="alice")
    assert vmtune(home, "apply", "--yes").returncode == 0
    assert installed.is_nocow(home, VMS)


def test_what_was_applied_as_a_plain_file_goes_with_its_name(host):
    _, other = alternates(host)
    assert as_declared(host)
    host.run(["ln", "-sf", other, CONFIG], user="alice")
    assert vmtune(host, "apply", "--yes").returncode == 0
    assert host.run(["ls", VMS], check=False).returncode


CHEZMOI = f"""
set -eu
chezmoi init
chezmoi add {CONFIG}
chezmoi apply
"""


def test_what_chezmoi_runs_after_a_change(host):
    """Its template stands in a comment, so the script is one of sh(1) as it is."""
    script = documents.recipe("run_onchange_after_vmtune.sh.tmpl")
    assert "in sync" in host.run(script, user="alice").stdout


def test_chezmoi_writes_a_file_of_the_same_name(host):
    needs(host, "chezmoi")
    host.run(["sh", "-c", CHEZMOI], user="alice")
    assert as_declared(host)


GENERATION = """
set -eu
at=/nix/store/$1-home/.config/vmtune/vmtune.yaml
mkdir -p "${at%/*}"
chmod 1775 /nix/store
cat >"$at"
chmod 444 "$at"
ln -sfn "$at" "$2"
"""


def generation(host, name: str, text: str) -> None:
    """Link a text as home-manager does at each change."""
    host.run(["sh", "-c", GENERATION, "sh", name, CONFIG], input=text)


def test_what_a_generation_of_a_store_declares_outlives_it(home):
    generation(home, "aaa", DECLARED)
    assert vmtune(home, "apply", "--yes").returncode == 0
    generation(home, "bbb", "version: 1\n")
    assert vmtune(home, "apply", "--yes").returncode == 0
    assert installed.is_nocow(home, VMS)
    home.run("rm -r /nix/store/aaa-home")
    done = vmtune(home, "status")
    assert done.returncode == 7, done.stdout + done.stderr
    assert "V405" in done.stdout
    assert vmtune(home, "apply", "--yes", VMS).returncode == 0
    assert home.run(["ls", VMS], check=False).returncode
