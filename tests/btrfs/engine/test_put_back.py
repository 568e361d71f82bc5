"""One option taken out of an entry that stays, and what is in the way of putting things back."""

import os
from pathlib import Path

import pytest

from tests.btrfs.each import records
from tests.btrfs.outside import compression, identity, mountinfo, run
from tests.btrfs.world import FSTAB, Image, World


@pytest.fixture
def image(host: World) -> Image:
    """Mounted as its line says: compressed, with times of access."""
    found = host.image("data", "compress=zstd")
    host.fstab("# by hand\n" + found.line("x-mine,compress=zstd,relatime"))
    return found


def options(host: World) -> str:
    """The fourth field of the last line, read here by hand."""
    del host
    return FSTAB.read_text().splitlines()[-1].split()[3]


def live(image: Image) -> tuple[bool, list[str]]:
    """Whether times of access are off, and the compression."""
    return "noatime" in mountinfo(image.path)[0], compression(image.path)


# --- an option that is no longer declared


def test_it_is_put_back_and_the_others_stay(host: World, image: Image):
    host.mounts(image.path, compress="no", noatime=True)
    host.apply()
    assert options(host) == "x-mine,compress=no,noatime"
    assert live(image) == (True, [])
    host.mounts(image.path, compress="no")
    row = host.plan(expect=2)
    assert "compress=no,noatime" in row.row("/etc/fstab:2"), row
    assert host.vmtune("status").code == 2
    host.apply()
    assert options(host) == "x-mine,compress=no,relatime"
    assert live(image) == (False, [])
    assert host.vmtune("status").code == 0


@pytest.mark.parametrize("declared", [{"lazytime": True}, {"noatime": True}])
def test_the_other_one_alike(host: World, image: Image, declared: dict[str, bool]):
    """Compression was on, in the line and live; and nothing is left to do after it is back."""
    host.mounts(image.path, compress="no", **declared)
    host.apply()
    host.mounts(image.path, **declared)
    host.apply()
    assert "compress=zstd" in options(host).split(",")
    assert live(image) == ("noatime" in declared, ["compress=zstd:3"])
    host.plan()


def test_all_of_them_leave_the_line_as_it_was_to_the_byte(host: World, image: Image):
    """But for one that was there before, all are taken out of the entry."""
    host.fstab(image.line("relatime,x-mine,lazytime,compress=zstd"))
    before = FSTAB.read_bytes()
    host.mounts(image.path, lazytime=True, compress="no", noatime=False, discard="async")
    host.apply()
    assert options(host) == "x-mine,lazytime,compress=no,discard=async"
    host.mounts(image.path, lazytime=True)
    host.apply()
    assert FSTAB.read_bytes() == before
    assert live(image) == (False, ["compress=zstd:3"])
    host.plan()


def test_a_word_that_someone_changed_since_is_theirs(host: World, image: Image):
    host.mounts(image.path, compress="no", noatime=True)
    host.apply()
    text = FSTAB.read_text()
    host.fstab(text.replace("noatime", "strictatime"))
    run("mount", "--options-source=disable", "-o", "remount,bind,strictatime", image.path)
    host.mounts(image.path, compress="no")
    host.plan()
    host.apply()
    assert options(host) == "x-mine,compress=no,strictatime"


def test_what_another_entry_declares_for_the_same_filesystem_stays(host: World, image: Image):
    image.subvolume("sub")
    other = image.mount(image.path.parent / "other", "subvol=sub")
    with FSTAB.open("a") as file:
        file.write(image.line("subvol=sub", other))
    both = {"target": str(image.path), "options": {"compress": "no", "noatime": True}}
    host.declare(mounts=[both])
    host.apply()
    host.declare(
        mounts=[
            {**both, "options": {"noatime": True}},
            {"target": str(other), "options": {"compress": "no"}},
        ]
    )
    host.apply()
    assert live(image) == (True, [])
    lines = [line.split()[3] for line in FSTAB.read_text().splitlines()[1:]]
    assert lines == ["x-mine,compress=zstd,noatime", "subvol=sub,compress=no"]
    host.plan()


def test_it_is_not_put_back_twice(host: World, image: Image):
    """What is set by hand after vmtune put it back is nobody's business."""
    host.mounts(image.path, compress="no", noatime=True)
    host.apply()
    host.mounts(image.path, compress="no")
    host.apply()
    host.fstab(FSTAB.read_text().replace("relatime", "noatime"))
    host.plan()


# --- what is in the way


@pytest.mark.parametrize("how", ["revert", "remove", "drop"])
def test_nothing_is_changed_live_where_the_file_cannot_be(host: World, image: Image, how: str):
    """The next boot would undo it: refused before the first effect, in each of the ways back."""
    host.mounts(image.path, compress="no", noatime=True)
    host.apply()
    host.bind(FSTAB)
    before = identity(FSTAB), sorted(os.listdir("/etc")), mountinfo(image.path), len(records())
    if how == "remove":
        host.config("")
    if how == "drop":
        host.mounts(image.path, compress="no")
    ran = host.vmtune("revert" if how == "revert" else "apply", "--yes")
    assert ran.code == (1 if how == "revert" else 7), ran
    row = ran.row(f"! mount {image.path}")
    assert "V210" in row
    assert "/etc/fstab is a mount point" in row
    now = identity(FSTAB), sorted(os.listdir("/etc")), mountinfo(image.path), len(records())
    assert now == before


# --- a word that the kernel never takes back


@pytest.fixture
def spinning(host: World) -> Image:
    """A disk of which the kernel shows neither ssd nor nossd."""
    image = host.image("data")
    run("umount", image.path)
    file = image.path.parents[1] / "images" / "data0.img"
    device = run("losetup", "--find", "--show", file).strip()
    try:
        Path(f"/sys/block/{Path(device).name}/queue/rotational").write_text("1")
        run("mount", "-t", "btrfs", device, image.path)
    finally:
        run("losetup", "--detach", device)  # once the mount is gone: autoclear
    assert not {"ssd", "nossd"} & set(mountinfo(image.path)[1])
    host.fstab(image.line("x-mine"))
    return image


def test_it_stays_until_mounted_afresh_and_the_rest_is_put_back(host: World, spinning: Image):
    host.mounts(spinning.path, ssd=True, noatime=True)
    host.apply()
    assert "ssd" in mountinfo(spinning.path)[1]
    ran = host.vmtune("revert", "--yes")
    assert ran.code == 0, ran
    assert "ssd stays as it is until the filesystem is mounted again" in ran.out
    assert options(host) == "x-mine"
    assert "noatime" not in mountinfo(spinning.path)[0]
    assert "ssd" in mountinfo(spinning.path)[1]


@pytest.mark.parametrize("left", [None, {"noatime": True}])
def test_so_it_does_where_it_is_no_longer_declared(
    host: World, spinning: Image, left: dict[str, bool] | None
):
    host.mounts(spinning.path, ssd=True, noatime=True)
    host.apply()
    host.config("")
    if left:
        host.mounts(spinning.path, **left)
    ran = host.vmtune("apply", "--yes")
    assert ran.code == 0, ran
    assert "ssd stays as it is until the filesystem is mounted again" in ran.out
    assert options(host) == ("x-mine,noatime" if left else "x-mine")
    assert "ssd" in mountinfo(spinning.path)[1]
    host.plan()
