"""``vmtune init`` looks where programs keep their images, and says where it looked."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.btrfs.commands.test_init import clean, init, paths, plain, said_of, validate
from tests.btrfs.outside import run
from tests.btrfs.world import ALICE, World

assert clean, "the fixture of the tests of init: no libvirt of the machine that runs them"

IN_HOME = {
    ".local/share/winpodx/storage/data.img": "~/.local/share/winpodx/storage",
    ".lima/default/diffdisk": "~/.lima",
    ".local/share/containers/podman/machine/qemu/fedora.qcow2": (
        "~/.local/share/containers/podman/machine"
    ),
    ".vagrant.d/boxes/debian/1.0/amd64/libvirt/box.img": "~/.vagrant.d/boxes",
    ".minikube/machines/minikube/minikube.rawdisk": "~/.minikube/machines",
    ".android/avd/Pixel.avd/userdata-qemu.img": "~/.android/avd",
    "Virtual Machines/w11/w11.vmdk": "~/Virtual Machines",
    "Máquinas virtuais/w11/w11.vmdk": "~/Máquinas virtuais",
    ".local/share/containers/storage/volumes/win/_data/data.img": (
        "~/.local/share/containers/storage/volumes/win/_data"
    ),
}


def image(path: Path, owner: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(os.urandom(3 << 20))
    for each in (path, *path.parents):
        if "alice" not in each.parts:
            break
        os.chown(each, owner, owner)


@pytest.mark.parametrize("user", [0, ALICE])
def test_the_places_of_programs_in_a_home(clean: World, user: int):
    home = clean.alice()
    for name in IN_HOME:
        image(home / name, ALICE)
    ran = init(clean, user=user)
    assert set(paths(ran)) == set(IN_HOME.values())
    assert validate(ran.out).returncode == 0
    assert "Lima; 1 image file, 3.0 MiB" in said_of(ran, "~/.lima")
    assert "a volume of podman" in said_of(ran, IN_HOME[list(IN_HOME)[-1]])


def test_other_files_of_such_a_program_are_left_alone(clean: World):
    """What lies beside the machines of Vagrant is no image, and is declared by nobody."""
    home = clean.alice()
    (home / ".minikube/cache").mkdir(parents=True)
    image(home / ".lima/default/serial.log")
    image(home / "disk")
    assert paths(init(clean)) == []
    image(home / ".minikube/cache/kicbase.img")
    assert paths(init(clean)) == ["~/.minikube"], "an image beside its machines"


SYSTEM = {
    "/var/lib/vz/images": "100/vm-100-disk-0.qcow2",
    "/var/lib/nova/instances": "5f0c/disk",
    "/var/lib/machines": "debian.raw",
    "/var/snap/multipass/common/data/multipassd/vault/instances": "a/ubuntu.img",
}


@pytest.fixture
def system(clean: World):
    """Directories of the machine, each of them on the Btrfs of the test."""
    made = []
    for number, place in enumerate((*SYSTEM, "/var/lib/incus/storage-pools")):
        folder = clean.area / str(number)
        folder.mkdir()
        Path(place).mkdir(parents=True, exist_ok=True)
        run("mount", "--bind", folder, place)
        made.append(place)
    yield clean
    for place in reversed(made):
        run("umount", place)


def test_the_places_of_the_system(system: World):
    system.alice()
    for place, name in SYSTEM.items():
        image(Path(place, name))
    pool = Path("/var/lib/incus/storage-pools/default/virtual-machines")
    pool.mkdir(parents=True)
    for name in ("one", "two"):
        run("btrfs", "subvolume", "create", pool / name)
        image(pool / name / "root.img")
    ran = init(system)
    assert set(paths(ran)) == set(SYSTEM)
    text = " ".join(ran.out.replace("\n#", " ").split())
    assert "storage-pools (Incus): 2 image files, in subvolumes that Incus makes" in text
    assert "inherits no nocow" in text
    run("chattr", "+C", pool)
    run("btrfs", "subvolume", "create", pool / "three")
    assert "C" not in run("lsattr", "-d", pool / "three").split()[0], "the oracle: lsattr"


def test_it_says_where_it_looked(clean: World):
    clean.alice()
    for user in (0, ALICE):
        ran = init(clean, user=user)
        assert "paths" not in plain(ran)
        said = ran.out.partition("Looked in")[2]
        for place in ("~/.lima", "~/.vagrant.d", "/var/lib/incus/storage-pools", "libvirt"):
            assert place in said
        assert f"~ is {clean.area / 'alice'}" in " ".join(said.replace("#", "").split())
