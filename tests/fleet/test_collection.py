"""The collection, judged by the tools of its ecosystem, and held to vmtune's schema; no host."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from reconciler import __version__
from reconciler.config import parse
from tests.declared import COLLECTION, declared
from tests.fleet.nodes import CHECKOUT, TOOLS, program


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """The collection where Ansible's tools want it: below ansible_collections."""
    at = tmp_path_factory.mktemp("collections") / "ansible_collections" / "vmtune" / "vmtune"
    shutil.copytree(COLLECTION, at)
    return at


@pytest.fixture(scope="module")
def env(tmp_path_factory) -> dict[str, str]:
    """An environment with Ansible's programs, and a home of its own."""
    home = tmp_path_factory.mktemp("home")
    cache = home / ".ansible" / "test" / "cache"
    cache.mkdir(parents=True)
    # A script that ansible-test would download: what brings pip into an empty environment.
    (cache / "get_pip_24_2.py").write_text("import ensurepip\n\nensurepip.bootstrap()\n")
    path = f"{TOOLS}/ansible/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    own = {"PATH": path, "HOME": str(home), "ANSIBLE_HOME": str(home), "LC_ALL": "C.UTF-8"}
    return {**os.environ, **own}


def run(argv, cwd, env) -> str:
    done = subprocess.run(argv, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said[-6000:]
    return said


def test_it_is_of_this_version_and_license():
    galaxy = yaml.safe_load((COLLECTION / "galaxy.yml").read_text())
    assert galaxy["version"] == __version__
    assert (COLLECTION / "LICENSE").read_bytes() == (CHECKOUT / "LICENSE").read_bytes()


def test_ansible_test_finds_it_sane(installed, env):
    """All tests, on the Python that is here: they name those that they do not find."""
    argv = [program("ansible", "ansible-test"), "sanity", "--local", "--requirements"]
    said = run([*argv, "--color", "no"], installed, env)
    for name in ("ansible-doc", "import", "pylint", "validate-modules", "yamllint"):
        assert f'Running sanity test "{name}"' in said


def test_ansible_lint_finds_nothing(installed, env):
    argv = [program("ansible", "ansible-lint"), "--offline", "--strict", "--profile", "production"]
    run(argv, installed, {**env, "ANSIBLE_COLLECTIONS_PATH": str(installed.parents[2])})


AWKWARD = {
    "version": 1,
    "paths": [
        {"path": "/srv/a: b # c", "nocow": "True", "allow": ["raid", "snapshots"]},
        {"path": "~alice/Ünïcödé 虚拟机 😀", "nocow": True, "existing": "keep"},
        {"path": "/srv/'q' \"d\" \\ 100%", "compression": "none"},
        {"path": "- [", "subvolume": False},
        {"path": "true", "allow": []},
    ],
    "mounts": [{"target": "/", "options": {"compress": False, "discard": False, "commit": "30"}}],
    "defrag": [{"path": "/srv", "schedule": "0 12 * * *"}, {"path": "/a", "schedule": "@daily"}],
    "hosts": {"no": {"paths": [{"path": "/srv", "remove": "yes"}]}, "atlas": {}},
}


def test_what_it_writes_is_read_as_it_was_meant():
    """By vmtune's reader, and by a lenient one: a person may look at the file with either."""
    data, text = declared().as_declared(AWKWARD), declared().as_text(AWKWARD)
    node, problems = parse.read(text.encode(), "t")
    assert problems == ()
    assert node.plain() == data
    assert yaml.safe_load(text) == data
    assert data["mounts"][0]["options"] == {"compress": "no", "discard": "no", "commit": 30}
    assert data["paths"][0]["nocow"] is True
    assert data["hosts"]["no"]["paths"][0]["remove"] is True
