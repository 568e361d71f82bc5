"""Paths that are subvolumes of their own, judged by btrfs-progs."""

import os
import stat
from pathlib import Path

import pytest

from tests.btrfs.outside import fragments, is_nocow, run, sync
from tests.btrfs.trees import is_subvolume, planted, rewrite_at_random, shown, strays
from tests.btrfs.world import ALICE, World
from tests.oracles import oracle


def declare(host: World, path: Path | str, **more: object) -> None:
    host.declare(paths=[{"path": str(path), "subvolume": True, **more}])


def test_a_missing_path_is_made(host: World):
    images = host.area / "a" / "b" / "images"
    declare(host, images, nocow=True)
    plan = host.plan(expect=2)
    assert plan.row(f"+ subvolume {images}")
    assert plan.row(f"+ nocow {images}")
    host.apply()
    assert is_subvolume(images)
    assert is_nocow(images)
    assert not is_subvolume(images.parent)
    status = images.stat()
    assert (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) == (0o711, 0, 0)
    assert stat.S_IMODE(images.parent.stat().st_mode) == 0o755
    assert strays(images.parent) == []
    host.plan(expect=0)


def test_a_directory_becomes_one_with_all_that_is_in_it(host: World):
    images = planted(host.area / "images")
    before, old = shown(images), os.stat(images / "nocow.raw")
    declare(host, images)
    assert host.plan(expect=2).row(f"~ subvolume {images}")
    host.apply()
    assert is_subvolume(images)
    after = shown(images)
    for said, text in before.items():
        assert after[said] == text, said
    assert not os.path.samestat(os.stat(images / "nocow.raw"), old), "the same file"
    assert strays(host.area) == []
    assert "vmtune" not in run("getfattr", "-d", "-m", "-", images)
    host.plan(expect=0)
    assert "[1/" not in host.apply().out, "a second run has nothing to do"


@oracle("statvfs", "no data is copied; no program may use the files meanwhile")
def test_nothing_is_copied(host: World):
    """80 MiB on a filesystem that has less than that left."""
    image = host.image("small", mkfs=["--mixed"])
    images = image.path / "images"
    images.mkdir()
    run("chattr", "+C", images)
    (images / "vm.raw").write_bytes(os.urandom(80 << 20))
    sync()
    left = lambda: os.statvfs(image.path).f_bavail * 4096  # noqa: E731
    while left() > 60 << 20:
        run("fallocate", "-l", "8M", image.path / f"filler{left()}")
        sync()
    declare(host, images)
    host.apply()
    assert is_subvolume(images)


@pytest.mark.parametrize("snapshotted", [False, True], ids=["never", "before"])
@oracle(
    "filefrag",
    "V103: After a snapshot the first write to a block copies it",
    "V507",
    "V604",
    "V621",
)
def test_images_stay_in_one_piece_while_the_parent_is_snapshotted(host: World, snapshotted: bool):
    """The point of it all; filefrag counts, after writing as a guest does."""
    folders = [host.area / name for name in ("in", "out")]
    for folder in folders:
        folder.mkdir()
        run("chattr", "+C", folder)
        run("fallocate", "-l", "32M", folder / "vm.raw")
        (folder / "vm.raw").write_bytes(os.urandom(32 << 20))
    sync()
    if snapshotted:
        run("btrfs", "subvolume", "snapshot", host.area, host.area / "earlier")
    own, other = (folder / "vm.raw" for folder in folders)
    pieces = fragments(own)
    declare(host, own.parent, nocow=True)
    host.apply()
    if snapshotted:
        run("btrfs", "subvolume", "delete", "--commit-after", host.area / "earlier")
        run("btrfs", "subvolume", "sync", host.area)
    run("btrfs", "subvolume", "snapshot", host.area, host.area / "snapshot")
    for path in (own, other):
        rewrite_at_random(path, 1000)
    assert list((host.area / "snapshot" / "in").iterdir()) == []
    assert fragments(own) == pieces
    assert fragments(other) > 300


def test_the_snapshots_that_are_there_are_told(host: World):
    images = planted(host.area / "images")
    run("btrfs", "subvolume", "snapshot", "-r", host.area, host.area / "snapshot")
    declare(host, images)
    assert "V604" in host.plan(expect=2).row("1 snapshot of its subvolume")
    before = shown(images)
    host.apply()
    assert shown(images) == before
    assert (host.area / "snapshot" / "images" / "nocow.raw").exists()


def test_with_it_the_snapshots_of_the_parent_are_no_risk(host: World):
    """V103 is about the subvolume that images are in: their own, from now on."""
    images = host.area / "images"
    images.mkdir()
    run("btrfs", "subvolume", "snapshot", "-r", host.area, host.area / "snapshot")
    host.nocow(images)
    assert "V103" in host.plan(expect=7).out
    declare(host, images, nocow=True)
    assert "V103" not in host.plan(expect=2).out
    host.apply()
    assert is_nocow(images)
    host.plan(expect=0)
    run("btrfs", "subvolume", "snapshot", "-r", images, host.area / "own-snapshot")
    assert "V103" in host.plan(expect=7).out  # that began later, and nobody allowed it


def test_below_a_home_it_belongs_to_its_owner(host: World):
    home = host.alice()
    declare(host, "~alice/images", nocow=True)
    host.apply()
    assert is_subvolume(home / "images")
    assert is_nocow(home / "images")
    assert (home / "images").stat().st_uid == ALICE


def test_what_is_inherited_from_the_subvolume_around_it_goes(host: World):
    """A new subvolume inherits the compression property of the root that it is in."""
    run("btrfs", "property", "set", host.area, "compression", "zstd")
    declare(host, host.area / "images", nocow=True)
    host.apply()
    assert is_nocow(host.area / "images")
    assert not run("btrfs", "property", "get", host.area / "images", "compression")


def test_a_group_is_handed_on(host: World):
    parent = host.area / "parent"
    parent.mkdir()
    os.chown(parent, 0, 4)
    parent.chmod(0o2755)
    declare(host, parent / "images")
    host.apply()
    status = (parent / "images").stat()
    assert (status.st_gid, stat.S_IMODE(status.st_mode)) == (4, 0o2711)


def test_one_that_is_there_stays_and_false_says_so(host: World):
    run("btrfs", "subvolume", "create", host.area / "images")
    declare(host, host.area / "images")
    assert host.plan(expect=0).row("= subvolume")
    host.declare(paths=[{"path": str(host.area / "images"), "subvolume": False}])
    assert "V603" in host.plan(expect=0).out


def test_not_on_btrfs(host: World):
    declare(host, "/run/images")
    assert "not applicable" in host.plan(expect=0).row("subvolume /run/images")


def test_a_saved_plan_and_history(host: World):
    images = planted(host.area / "images")
    declare(host, images)
    saved = "/media/t/saved"
    assert host.vmtune("plan", "-o", saved).code == 0
    assert host.vmtune("apply", "--yes", saved).code == 0
    assert is_subvolume(images)
    assert host.vmtune("apply", saved).code == 0, "all is done: nothing to be asked about"
    assert "1 of 1" in host.vmtune("history").out


def test_what_cannot_be_taken_back_is_said(host: World):
    images = planted(host.area / "images")
    declare(host, images)
    host.apply()
    before = shown(images)
    ran = host.vmtune("revert", "--yes")
    assert "stays a subvolume" in ran.out, ran
    assert ran.code == 0, ran
    assert is_subvolume(images)
    assert shown(images) == before


def test_an_empty_one_that_was_made_is_removed(host: World):
    images = host.area / "made" / "images"
    declare(host, images, nocow=True)
    host.apply()
    ran = host.vmtune("revert", "--yes")
    assert ran.code == 0, ran
    assert not images.parent.exists()
    host.apply()
    (images / "vm.raw").write_bytes(b"data")
    ran = host.vmtune("revert", "--yes")
    assert "not empty" in ran.out, ran
    assert (images / "vm.raw").read_bytes() == b"data"


def test_together_with_all_that_an_entry_can_ask(host: World):
    """Turned, set nocow, its images rewritten, and a schedule for it: in one run, in that order."""
    images = host.area / "images"
    images.mkdir()
    (images / "vm.raw").write_bytes(os.urandom(1 << 20))
    sync()
    before = (images / "vm.raw").read_bytes()
    host.declare(
        paths=[{"path": str(images), "subvolume": True, "nocow": True, "existing": "rewrite"}],
        defrag=[{"path": str(images), "schedule": "@weekly", "scheduler": "cron"}],
    )
    host.apply()
    assert is_subvolume(images)
    assert is_nocow(images)
    assert is_nocow(images / "vm.raw")
    assert (images / "vm.raw").read_bytes() == before
    host.plan(expect=0)
