"""The recipes for pyinfra and Salt in docs/fleets.md, run on a booted host over ssh."""

import subprocess
from pathlib import Path

import pytest

from tests.documents import as_typed, recipe
from tests.fleet.nodes import TOOLS, Node, program
from tests.host import installed, sandbox

DECLARED = "version: 1\npaths: [{path: /srv/vms, nocow: true}]\n"


@pytest.fixture(scope="module")
def key(node, tmp_path_factory) -> Path:
    """The file of a key that logs in as alice."""
    at = tmp_path_factory.mktemp("key") / "key"
    sandbox.checked(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-m", "PEM", "-f", str(at)])
    node.trust(at.with_suffix(".pub"))
    return at


@pytest.fixture
def host(node):
    """A host that has vmtune, and nothing declared."""
    yield node
    node.run("rm -rf /etc/vmtune /var/lib/vmtune /srv/vms")


def run(host: Node, argv: list[str], cwd: Path) -> str:
    """Run a program where the host is at 127.0.0.1; pyinfra goes on at Enter."""
    path = f"{TOOLS}/pyinfra/bin:/usr/bin:/bin"
    done = subprocess.run(
        [*host.network, *argv],
        cwd=cwd, env={"HOME": str(cwd), "PATH": path, "LANG": "C.UTF-8"}, input="\n" * 3,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_pyinfra(host, key, tmp_path):
    (tmp_path / "vmtune.yaml").write_text(DECLARED)
    (tmp_path / "deploy.py").write_text(recipe("deploy.py"))
    ssh = f"hosts = [('127.0.0.1', {{'ssh_user': 'alice', 'ssh_key': '{key}'}})]\n"
    (tmp_path / "inventory.py").write_text(ssh)
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "known_hosts").touch()  # some versions of pyinfra only add to it
    program("pyinfra", "pyinfra")
    argv = as_typed("pyinfra inventory.py deploy.py").split()
    run(host, argv, tmp_path)
    assert installed.is_nocow(host, "/srv/vms")
    before = installed.state(host, "/srv", "/etc/vmtune")
    run(host, argv, tmp_path)
    assert installed.state(host, "/srv", "/etc/vmtune") == before
    argv = as_typed("pyinfra inventory.py exec --sudo -- vmtune plan").split()
    assert "in sync" in run(host, argv, tmp_path).lower()


def test_salt(host, key, tmp_path):
    states = tmp_path / "states"
    states.mkdir()
    (states / "vmtune.yaml").write_text(DECLARED)
    (states / "vmtune.sls").write_text(recipe("vmtune.sls"))
    (tmp_path / "master").write_text(
        f"root_dir: {tmp_path}\nfile_roots: {{base: [{states}]}}\nssh_use_home_key: false\n"
    )
    (tmp_path / "roster").write_text(
        f"node: {{host: 127.0.0.1, user: alice, sudo: true, priv: {key}}}\n"
    )
    salt = [program("salt", "salt-ssh"), "-i", f"--config-dir={tmp_path}"]
    salt += [f"--roster-file={tmp_path}/roster", "--no-color", "node", "state.apply", "vmtune"]
    check = run(host, [*salt, "test=True"], tmp_path)
    assert "Failed:    0" in check
    assert host.run("ls /srv/vms", check=False).returncode
    said = run(host, salt, tmp_path)
    assert "Succeeded: 2 (changed=2)" in said, said
    assert installed.is_nocow(host, "/srv/vms")
    again = run(host, salt, tmp_path)
    assert "Succeeded: 2\n" in again, again
