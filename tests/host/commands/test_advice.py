"""init and doctor on hosts without libvirt: the how-to's, and one with nothing but ext4."""

import json

import pytest
import yaml

from tests.host import installed
from tests.host.container import EXT4_FSTAB, HOW_TO_FSTAB, Container
from tests.host.installed import ALICES


def new_host(make_container, wheelhouse, fstab: str) -> Container:
    container = make_container(fstab=fstab)
    installed.for_alice(container, wheelhouse)
    installed.let_alice_sudo(container)
    container.run("mkdir -p ~/libvirt/images; echo data >~/libvirt/images/a.qcow2", user="alice")
    return container


@pytest.fixture(scope="module")
def how_to(make_container, wheelhouse) -> Container:
    return new_host(make_container, wheelhouse, HOW_TO_FSTAB)


@pytest.fixture(scope="module")
def ext4(make_container, wheelhouse) -> Container:
    return new_host(make_container, wheelhouse, EXT4_FSTAB)


@pytest.mark.parametrize("name", ["how_to", "ext4"])
@pytest.mark.parametrize("sudo", ["", "sudo "])
def test_what_init_prints_is_valid_everywhere_and_changes_nothing(request, name, sudo):
    host = request.getfixturevalue(name)
    before = installed.state(host, "/etc", "/home/alice")
    done = host.run(f"{sudo}{ALICES} init | {ALICES} validate /dev/stdin", user="alice")
    entries = "1 entry" if name == "how_to" else "0 entries"
    assert f"valid; {entries} for vmtune-test" in done.stdout
    done = host.run(f"{sudo}{ALICES} doctor", user="alice", check=False)
    assert done.returncode == (6 if "not seen" in done.stdout else 0)
    assert not (sudo and done.returncode)
    assert installed.state(host, "/etc", "/home/alice") == before


def test_ext4_needs_nothing(ext4):
    text = ext4.run(f"{ALICES} init", user="alice").stdout
    assert yaml.safe_load(text) == {"version": 1}
    assert "on ext4, which does not copy on write by itself: nothing to do" in " ".join(
        text.replace("#", " ").split()
    )


def test_the_how_to_from_nothing_to_in_sync(how_to):
    """Written by init and applied as it stands: also the image that has data is nocow then."""
    told = how_to.run(f"sudo {ALICES} init -o ~/.config/vmtune/vmtune.yaml", user="alice").stdout
    assert "1 entry declared" in told
    text = how_to.read("/home/alice/.config/vmtune/vmtune.yaml").decode()
    assert yaml.safe_load(text)["paths"] == [
        {"path": "~/libvirt/images", "nocow": True, "existing": "rewrite"}
    ]
    assert "compress: no" not in yaml.dump(yaml.safe_load(text))
    again = how_to.run(f"{ALICES} init -o ~/.config/vmtune/vmtune.yaml", user="alice", check=False)
    assert again.returncode == 1
    assert "is there already" in again.stderr
    applied = how_to.run(f"{ALICES} apply --yes", user="alice", check=False)
    assert applied.returncode == 0, applied.stdout + applied.stderr
    image = "/home/alice/libvirt/images/a.qcow2"
    assert "C" in how_to.run(["lsattr", image]).stdout.split()[0]
    how_to.run("rm ~/libvirt/images/a.qcow2; touch ~/libvirt/images/b.raw", user="alice")
    how_to.run("echo data >~/libvirt/images/b.raw", user="alice")
    assert "C" in how_to.run(["lsattr", "/home/alice/libvirt/images/b.raw"]).stdout.split()[0]
    assert "All is right already" in how_to.run(f"sudo {ALICES} init", user="alice").stdout
    done = how_to.run(f"sudo {ALICES} doctor --json", user="alice")
    assert {row["health"] for row in json.loads(done.stdout)["rows"]} == {"ok"}
