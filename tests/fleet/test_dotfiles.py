"""Keepers of dotfiles, used as docs/dotfiles.md says: what moves, and what vmtune makes of it."""

import pytest

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
def host(node):
    """Alice's home with an applied configuration, and no keeper of it yet."""
    node.write(CONFIG, DECLARED.encode(), user="alice")
    node.run(["git", "config", "--global", "user.email", "alice@example.org"], user="alice")
    node.run(["git", "config", "--global", "user.name", "alice"], user="alice")
    done = vmtune(node, "apply", "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    yield node
    node.run("rm -rf /home/alice/.config/vmtune /home/alice/dotfiles /home/alice/.local/share/yadm")
    node.run("rm -rf /home/alice/.config/yadm /home/alice/vms /var/lib/vmtune /home/alice/other")


def needs(host, program: str) -> None:
    if host.run(["sh", "-c", f"command -v {program}"], check=False).returncode:
        pytest.skip(f"NOT CHECKED: {program} cannot be had for this release")


ADOPT = """
set -eu
cd
mkdir -p dotfiles/vmtune/.config/vmtune
stow --dir=dotfiles --adopt vmtune
mv .config/vmtune/vmtune.yaml dotfiles/vmtune/.config/vmtune/
stow --dir=dotfiles vmtune
"""


def test_stow_links_a_file_that_was_applied(host):
    needs(host, "stow")
    host.run(["sh", "-c", ADOPT], user="alice")
    found = host.run(["find", "/home/alice/.config/vmtune", "-type", "l"]).stdout
    assert found.strip() == CONFIG
    assert as_declared(host)


def test_a_file_that_is_unlinked_takes_nothing_back(host):
    """It still lies in the repository: what it set stays until a person decides."""
    needs(host, "stow")
    host.run(["sh", "-c", ADOPT], user="alice")
    assert as_declared(host)
    host.run(["stow", "--dir=dotfiles", "-D", "vmtune"], user="alice")
    done = vmtune(host, "plan")
    assert done.returncode == 1
    assert "no vmtune.yaml" in done.stderr
    assert installed.is_nocow(host, VMS)
    host.run(["stow", "--dir=dotfiles", "vmtune"], user="alice")
    assert as_declared(host)


def test_an_entry_taken_out_in_the_repository_is_taken_back(host):
    needs(host, "stow")
    host.run(["sh", "-c", ADOPT], user="alice")
    assert as_declared(host)
    host.write(
        "/home/alice/dotfiles/vmtune/.config/vmtune/vmtune.yaml", b"version: 1\n", user="alice"
    )
    done = vmtune(host, "apply", "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    assert host.run(["ls", VMS], check=False).returncode or not installed.is_nocow(host, VMS)


def test_yadm_keeps_the_file_where_it_is(host):
    needs(host, "yadm")
    host.run(
        "yadm init && yadm add ~/.config/vmtune/vmtune.yaml && yadm commit -m vmtune", user="alice"
    )
    assert as_declared(host)


def test_yadm_alternates_are_other_files(host):
    """Each is a configuration of its own: vmtune's own `hosts:` is for what differs by host."""
    needs(host, "yadm")
    mine = f"{CONFIG}##hostname.{host.run('hostname -s').stdout.strip()}"
    host.run(f"yadm init && mv {CONFIG} '{mine}' && yadm add '{mine}'", user="alice")
    host.run("yadm alt", user="alice")
    assert host.run(["readlink", "-f", CONFIG]).stdout.strip() == mine
    assert as_declared(host)


CHEZMOI = f"""
set -eu
chezmoi init
chezmoi add {CONFIG}
chezmoi apply
"""


def test_chezmoi_writes_a_file_of_the_same_name(host):
    needs(host, "chezmoi")
    host.run(["sh", "-c", CHEZMOI], user="alice")
    assert as_declared(host)


GENERATION = """
set -eu
mkdir -p /nix/store/$1-home/.config/vmtune
chmod 1775 /nix/store
cp $2 /nix/store/$1-home/.config/vmtune/vmtune.yaml
chmod 444 /nix/store/$1-home/.config/vmtune/vmtune.yaml
ln -sfn /nix/store/$1-home/.config/vmtune/vmtune.yaml $2.new
mv $2.new $2
"""


def test_each_generation_of_a_store_is_another_file(host):
    """As home-manager links them: the first one goes on declaring until it is collected."""
    host.run(["sh", "-c", GENERATION, "sh", "aaa", CONFIG])
    assert as_declared(host)
    host.run(["sh", "-c", GENERATION, "sh", "bbb", CONFIG])
    assert as_declared(host)
