"""A host whose root keeps all data on two disks: nocow gives up what the second one is for."""

import json

import pytest
import yaml

from tests.documents import as_typed
from tests.host import installed
from tests.host.container import Container
from tests.host.installed import ALICES

IMAGES = "/home/alice/libvirt/images"
IMAGE = f"{IMAGES}/a.raw"
CONFIG = "/home/alice/.config/vmtune/vmtune.yaml"
NOCOW = "version: 1\npaths:\n  - {path: ~/libvirt/images, nocow: true}\n"


@pytest.fixture(scope="module")
def host(make_container, wheelhouse) -> Container:
    container = make_container(disks=2, size="2G")
    installed.for_alice(container, wheelhouse)
    installed.let_alice_sudo(container)
    container.run(["mkdir", "-p", IMAGES], user="alice")
    installed.guest(container, IMAGE, 8, 400, user="alice")
    return container


def vmtune(host: Container, arguments: str, code: int = 0, sudo: str = "sudo ") -> str:
    """What it says, in one line."""
    done = host.run(f"{sudo}{ALICES} {arguments}", user="alice", check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return " ".join(done.stdout.replace("#", " ").split())


def test_btrfs_progs_say_raid1(host):
    told = host.run(["btrfs", "filesystem", "df", "/"]).stdout
    assert [row.split(":")[0] for row in told.splitlines() if row.startswith("Data")] == [
        "Data, RAID1"
    ]
    assert "Total devices 2" in host.run(["btrfs", "filesystem", "show", "/"]).stdout
    again = as_typed("btrfs balance start -dconvert=raid1,soft")
    assert "had to relocate 0" in host.run(f"{again} /").stdout


@pytest.mark.parametrize("sudo", ["", "sudo "])
def test_init_offers_nocow_as_a_comment_with_its_price(host, sudo):
    before = installed.state(host, "/etc", "/home/alice")
    told = vmtune(host, "init", sudo=sudo)
    assert "- path: ~/libvirt/images nocow: true allow: [raid]" in told
    assert "data is kept as raid1: without checksums a bad copy is read as often as" in told
    assert "data raid1" in told.partition("mounts:")[2]
    text = host.run(f"{sudo}{ALICES} init", user="alice").stdout
    assert yaml.safe_load(text) == {"version": 1}
    line = f"{sudo}{ALICES} init | {ALICES} validate /dev/stdin"
    assert "valid; 0 entries" in host.run(line, user="alice").stdout
    assert installed.state(host, "/etc", "/home/alice") == before


@pytest.mark.parametrize("sudo", ["", "sudo "])
def test_plan_refuses_and_names_the_risk(host, sudo):
    host.write(CONFIG, NOCOW.encode(), user="alice")
    told = vmtune(host, "plan --detailed-exitcode", code=7, sudo=sudo)
    assert "! nocow ~/libvirt/images V102 why data is kept as raid1" in told
    assert "do to accept that, write `allow: [raid]`" in told
    assert "Nothing to change; 1 refused" in told


def test_apply_refuses_too_and_touches_nothing(host):
    before = installed.state(host, "/home/alice")
    assert "V102" in vmtune(host, "apply --yes", code=7)
    assert "V102" in vmtune(host, "apply --yes --allow rewrite-images", code=7)
    assert installed.state(host, "/home/alice") == before
    assert not installed.is_nocow(host, IMAGES)
    assert health(host)["health"] == "fail"


def test_allowed_once_it_is_done_and_never_forgotten(host):
    was = installed.digest(host, IMAGE)
    assert installed.fragments(host, IMAGE) > 100
    told = vmtune(host, "apply --yes --allow raid --allow rewrite-images")
    assert (
        "as `allow: [raid]` accepts, an error on one copy is not healed from another copy (V102)"
        in told
    )
    assert "verified: 2 of 2" in told
    for path in (IMAGES, IMAGE):
        assert installed.is_nocow(host, path)
    assert installed.digest(host, IMAGE) == was
    installed.guest(host, IMAGE, 8, 400, user="alice")
    pieces = installed.fragments(host, IMAGE)
    assert pieces < 4
    told = json.loads(host.run(f"sudo {ALICES} status --json", user="alice", check=False).stdout)
    [image] = told["effect"]["paths"][0]["images"]
    assert (image["fragments"], image["nocow"]) == (pieces, True)
    for command in ("status", "plan --detailed-exitcode"):
        assert "V102" in vmtune(host, command, code=7)  # it was allowed for one run only
    row = health(host)
    assert (row["health"], row["subject"]) == ("fail", "nocow ~/libvirt/images")
    assert "raid1" in row["text"]


def test_allowed_for_good_it_is_quiet(host):
    host.write(CONFIG, NOCOW.replace("true}", "true, allow: [raid]}").encode(), user="alice")
    for command in ("status", "plan --detailed-exitcode"):
        assert "V102" not in vmtune(host, command)
    row = health(host)
    assert row["health"] == "ok"
    assert "raid1 under nocow, as accepted" in row["text"]


def health(host: Container) -> dict[str, str]:
    done = host.run(f"sudo {ALICES} doctor --json", user="alice", check=False)
    return next(row for row in json.loads(done.stdout)["rows"] if row["code"] in {"V102", "V506"})
