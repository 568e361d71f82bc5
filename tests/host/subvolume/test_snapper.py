"""A host whose root snapper(8) snapshots, with images in it: nocow alone would be no help."""

import json

import pytest
import yaml

from tests.host import installed
from tests.host.container import Container
from tests.host.installed import ALICES
from tests.host.sandbox import LIBVIRT

IMAGES = "/home/alice/libvirt/images"
IMAGE = f"{IMAGES}/a.raw"
OUTSIDE = "/home/alice/outside/b.raw"
CONFIG = "/home/alice/.config/vmtune/vmtune.yaml"
SNAPPER = ["snapper", "--no-dbus"]  # as without a running dbus
SUGGESTED = {
    "path": "~/libvirt/images",
    "nocow": True,
    "existing": "rewrite",
    "subvolume": True,
}
ALONE = b"version: 1\npaths:\n  - {path: ~/libvirt/images, nocow: true}\n"
MIB, WRITES = 8, 400


@pytest.fixture(scope="module")
def host(make_container, wheelhouse) -> Container:
    """With one snapshot, taken when the image was there; outside, nocow without a subvolume."""
    container = make_container(packages=LIBVIRT)
    installed.for_alice(container, wheelhouse)
    installed.let_alice_sudo(container)
    container.run([*SNAPPER, "create-config", "/"])
    container.run(f"mkdir -p {IMAGES} ~/outside && chattr +C ~/outside", user="alice")
    for image in (IMAGE, OUTSIDE):
        installed.guest(container, image, MIB, WRITES, user="alice")
    container.run([*SNAPPER, "create"])
    return container


def vmtune(host: Container, arguments: str, code: int = 0, sudo: str = "sudo ") -> str:
    """What it says, in one line."""
    done = host.run(f"{sudo}{ALICES} {arguments}", user="alice", check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return " ".join(done.stdout.replace("#", " ").split())


def health(host: Container, code: str) -> dict[str, str]:
    done = host.run(f"sudo {ALICES} doctor --json", user="alice", check=False)
    return next(row for row in json.loads(done.stdout)["rows"] if row["code"] == code)


@pytest.mark.parametrize("sudo", ["", "sudo "])
def test_init_suggests_a_subvolume(host, sudo):
    assert "/" in host.run([*SNAPPER, "--csvout", "list-configs"]).stdout
    text = host.run(f"{sudo}{ALICES} init", user="alice").stdout
    assert SUGGESTED in yaml.safe_load(text)["paths"]
    told = " ".join(text.replace("#", " ").split())
    assert "snapper (/etc/snapper/configs/root) snapshots its subvolume" in told
    assert "snapshots of the subvolume around it do not contain the images" in told
    line = f"{sudo}{ALICES} init | {ALICES} validate /dev/stdin"
    assert "valid; " in host.run(line, user="alice").stdout


@pytest.mark.parametrize("sudo", ["", "sudo "])
def test_plan_refuses_nocow_alone_and_says_what_helps(host, sudo):
    host.write(CONFIG, ALONE, user="alice")
    told = vmtune(host, "plan --detailed-exitcode", code=7, sudo=sudo)
    assert "snapper (/etc/snapper/configs/root) snapshots its subvolume" in told
    assert "write `subvolume: true` to keep the images out of snapshots" in told
    assert "Nothing to change; 1 refused" in told
    assert ("1 snapshot of its subvolume" in told) == bool(sudo)
    before = installed.state(host, "/home/alice")
    assert "V103" in vmtune(host, "apply --yes", code=7)
    assert installed.state(host, "/home/alice") == before


def test_what_init_writes_makes_the_subvolume(host):
    host.run(f"rm {CONFIG} && sudo {ALICES} init -o {CONFIG}", user="alice")
    assert SUGGESTED in yaml.safe_load(host.read(CONFIG))["paths"]
    was = installed.digest(host, IMAGE)
    assert "V604" in vmtune(host, "plan --detailed-exitcode", code=2)
    vmtune(host, "apply --yes")
    assert IMAGES[1:] in host.run(["btrfs", "subvolume", "list", "/"]).stdout
    assert host.run(["stat", "-c", "%i %U", IMAGES]).stdout == "256 alice\n"
    assert installed.is_nocow(host, IMAGES)
    assert installed.is_nocow(host, IMAGE)
    assert installed.digest(host, IMAGE) == was
    assert installed.digest(host, f"/.snapshots/1/snapshot{IMAGE}") == was
    assert installed.fragments(host, IMAGE) == 1
    assert "Nothing to do" in vmtune(host, "plan --detailed-exitcode")


def test_then_snapshots_leave_the_image_in_one_piece(host):
    """The one outside shows what they do to others, nocow or not."""
    host.run([*SNAPPER, "create"])
    assert host.run(["ls", "-A", f"/.snapshots/2/snapshot{IMAGES}"]).stdout == ""
    assert installed.fragments(host, OUTSIDE) < 4
    for image in (IMAGE, OUTSIDE):
        installed.guest(host, image, MIB, WRITES, user="alice")
    assert installed.fragments(host, IMAGE) == 1
    assert installed.fragments(host, OUTSIDE) > 100
    assert "none" in host.run(["compsize", IMAGE]).stdout


@pytest.mark.parametrize("sudo", ["", "sudo "])
def test_status_and_doctor_agree(host, sudo):
    data = json.loads(host.run(f"{sudo}{ALICES} status --json", user="alice").stdout)
    [image] = data["effect"]["paths"][0]["images"]
    assert (image["fragments"], image["nocow"], image["shared"]) == (1, True, 0)
    # The journal keeps images under keys that only root can make.
    assert (image["fragments_before"] or 0) > 100 if sudo else image["fragments_before"] is None
    told = vmtune(host, "status -v", sudo=sudo)
    assert "snapshots of the subvolume around it leave it out" in told
    assert health(host, "V507")["health"] == "ok"
    assert health(host, "V514")["health"] == "ok"


def test_a_snapshot_of_the_images_themselves_is_told(host):
    host.run([*SNAPPER, "-c", "images", "create-config", IMAGES])
    host.run([*SNAPPER, "-c", "images", "create"])
    told = vmtune(host, "status", code=7)
    first = f"{IMAGES.removeprefix('/')}/.snapshots/1/snapshot"
    assert (
        f"1 snapshot of its subvolume (@rootfs/{first}), snapper (/etc/snapper/configs/images)"
        in told
    )
    assert "V103" in told
    row = health(host, "V103")
    assert (row["health"], row["subject"]) == ("fail", "nocow ~/libvirt/images")
    assert "allow: [snapshots]" in row["remedy"]
