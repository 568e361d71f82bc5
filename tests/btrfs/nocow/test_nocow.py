"""Directories whose new files are written in place, judged by lsattr."""

import fcntl
import json
import os
import signal
import stat
from pathlib import Path

import pytest

from reconciler.facts.tree import MOST
from tests.btrfs.each import RUNS
from tests.btrfs.outside import attributes, compression, is_nocow, run, sync
from tests.btrfs.world import ALICE, NOBODY, World
from tests.oracles import oracle


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def written(path: Path, size: int = 1 << 20) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(os.urandom(size))
    sync()
    return path


def new_file(folder: Path) -> Path:
    path = folder / "made-later.raw"
    path.write_bytes(b"x" * 8192)
    return path


def test_a_missing_directory_is_made_with_its_parents(host: World):
    images = host.area / "a" / "b" / "images"
    host.nocow(images)
    assert host.plan(expect=2).row(f"+ nocow {images}")
    host.apply()
    assert is_nocow(images)
    assert mode(images) == 0o711
    assert not is_nocow(host.area / "a")
    assert [mode(p) for p in (host.area / "a", host.area / "a" / "b")] == [0o755, 0o755]
    assert {p.stat().st_uid for p in (images, host.area / "a")} == {0}
    assert is_nocow(new_file(images))
    host.plan(expect=0)


@pytest.mark.parametrize(
    ("written_as", "sudo"), [("~alice/libvirt/images", ""), ("~/libvirt/images", "alice")]
)
def test_below_a_home_everything_belongs_to_its_owner(host: World, written_as: str, sudo: str):
    home = host.alice()
    host.nocow(written_as)
    host.apply(**({"SUDO_USER": sudo} if sudo else {}))
    images = home / "libvirt" / "images"
    assert is_nocow(images)
    owners = [(p.stat().st_uid, p.stat().st_gid) for p in (images, images.parent)]
    assert owners == [(ALICE, ALICE)] * 2


def test_an_existing_directory_keeps_its_mode_and_owner(host: World):
    images = host.area / "images"
    images.mkdir()
    images.chmod(0o2770)
    os.chown(images, ALICE, 4)
    images.chmod(0o2770)
    host.nocow(images)
    assert host.plan(expect=2).row(f"~ nocow {images}")
    host.apply()
    assert is_nocow(images)
    assert (mode(images), images.stat().st_uid, images.stat().st_gid) == (0o2770, ALICE, 4)
    assert is_nocow(new_file(images))


def test_files_with_data_are_listed_and_never_claimed(host: World):
    """The kernel takes +C on them without an error, and ignores it."""
    image = written(host.area / "images" / "win11.raw")
    folder = image.parent
    host.nocow(folder)
    assert host.vmtune("plan").code == 0
    plan = host.plan(expect=2)
    assert "1.0 MiB" in plan.row(f"! nocow {image}")
    assert "V101" in plan.row(f"! nocow {image}")
    first = host.apply(expect=7)
    assert "1 of 1 read back" in first.out
    assert is_nocow(folder)
    assert not is_nocow(image)
    assert is_nocow(new_file(folder))
    second = host.apply(expect=7)
    assert "[1/" not in second.out + second.err
    assert f"! nocow {image}" in host.plan(expect=7).out


def test_sparse_files_without_data_blocks_count_as_well(host: World):
    image = host.area / "images" / "hole.raw"
    image.parent.mkdir()
    with image.open("wb") as new:
        new.truncate(1 << 30)
    host.nocow(image.parent)
    host.apply(expect=7)
    assert not is_nocow(image)
    assert f"! nocow {image}" in host.plan(expect=7).out


def test_files_with_data_may_be_kept(host: World):
    image = written(host.area / "images" / "old.raw")
    host.nocow(image.parent, existing="keep")
    host.apply()
    assert (is_nocow(image), is_nocow(image.parent)) == (False, True)
    assert "1 file with data stays copy-on-write" in host.plan(expect=0).out


def test_more_files_than_anyone_reads_are_summed_up(host: World):
    for number in range(60):
        written(host.area / "images" / f"{number:02}.raw", 4096)
    host.nocow(host.area / "images")
    plan = host.plan(expect=2)
    rows = [row for row in plan.rows if row.startswith("! nocow") and "V101" in row]
    assert len(rows) == 11
    assert "50 more files" in rows[-1]


def test_empty_files_and_subdirectories_take_it(host: World):
    images = host.area / "images"
    (images / "sub" / "deeper").mkdir(parents=True)
    (images / "sub" / "empty.raw").touch()
    host.nocow(images)
    host.apply()
    for path in (images, images / "sub", images / "sub" / "deeper", images / "sub" / "empty.raw"):
        assert is_nocow(path), path
    host.plan(expect=0)


def test_a_directory_set_by_hand_before_its_parent_is_completed(host: World):
    """The how-to sets +C on the folder, but images lie one level down."""
    inner = host.area / "libvirt" / "images"
    inner.mkdir(parents=True)
    run("chattr", "+C", inner.parent)
    host.nocow(inner.parent)
    assert "1 copy-on-write (images)" in host.plan(expect=2).out
    host.apply()
    assert is_nocow(inner)


def test_a_nested_subvolume_is_named_and_not_entered(host: World):
    images = host.area / "images"
    images.mkdir()
    run("btrfs", "subvolume", "create", images / "pool")
    inside = written(images / "pool" / "vm.raw")
    host.nocow(images)
    plan = host.plan(expect=2)
    assert "V106" in plan.row("pool is a subvolume of its own")
    assert inside.name not in plan.out
    host.apply()
    assert not is_nocow(images / "pool")
    host.plan(expect=0)


def test_a_snapshots_stub_of_a_nested_subvolume_is_no_obstacle(host: World):
    """It is an empty directory with inode 2 that has no attributes to ask for."""
    run("btrfs", "subvolume", "create", host.area / "one")
    run("btrfs", "subvolume", "create", host.area / "one" / "nested")
    run("btrfs", "subvolume", "snapshot", host.area / "one", host.area / "two")
    assert (host.area / "two" / "nested").stat().st_ino == 2
    host.nocow(host.area / "two")
    host.apply()
    assert is_nocow(host.area / "two")
    host.plan(expect=0)


def test_another_mount_inside_is_named_and_not_entered(host: World):
    image = host.image("data")
    inner = image.path / "images" / "scratch"
    inner.mkdir(parents=True)
    run("mount", "-t", "tmpfs", "scratch", inner)
    (inner / "file").write_text("x")
    host.nocow(inner.parent)
    assert host.plan(expect=2).row("scratch is another mount")
    host.apply()
    host.plan(expect=0)


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        (["btrfs", "property", "set", "{}", "compression", "zstd"], "compression zstd"),
        (["btrfs", "property", "set", "{}", "compression", "none"], "compression none"),
        (["chattr", "+c", "{}"], "compression zlib"),
        (["chattr", "+m", "{}"], "compression m"),
    ],
)
def test_a_compression_setting_in_the_way_is_shown_and_cleared(
    host: World, command: list[str], shown: str
):
    """The kernel refuses it beside nocow, in both directions: EINVAL."""
    images = host.area / "images"
    (images / "sub").mkdir(parents=True)
    for path in (images, images / "sub"):
        run(*(word.format(path) for word in command))
    host.nocow(images)
    assert shown in host.apply().out
    for path in (images, images / "sub"):
        assert attributes(path) == {"C"}, path
        assert not run("btrfs", "property", "get", path, "compression")


def test_an_immutable_directory_takes_it_and_stays_immutable(host: World):
    images = host.area / "images"
    images.mkdir()
    run("chattr", "+i", images)
    try:
        host.nocow(images)
        host.apply()
        assert attributes(images) == {"C", "i"}
    finally:
        run("chattr", "-i", images)


def test_a_read_only_subvolume_is_refused(host: World):
    run("btrfs", "subvolume", "create", host.area / "images")
    run("btrfs", "property", "set", host.area / "images", "ro", "true")
    host.nocow(host.area / "images")
    assert "read-only" in host.plan(expect=7).row(f"! nocow {host.area / 'images'}")
    host.apply(expect=7)
    assert not is_nocow(host.area / "images")


REDUNDANT = {
    "dup": 1, "raid1": 2, "raid1c3": 3, "raid1c4": 4, "raid10": 4, "raid5": 3, "raid6": 4
}  # fmt: skip


@pytest.mark.parametrize(("profile", "devices"), REDUNDANT.items())
def test_a_redundant_data_profile_needs_a_yes_of_its_own(host: World, profile: str, devices: int):
    image = host.image("data", mkfs=["-d", profile], size=devices)
    images = image.path / "images"
    host.nocow(images)
    row = host.apply(expect=7).row(f"! nocow {images}")
    assert f"data is kept as {profile}:" in row
    assert f"Data, {profile.upper()}:" in run("btrfs", "filesystem", "df", image.path)
    assert "V102" in row
    assert not images.exists()
    host.nocow(images, allow=["raid"])
    assert "is not healed" in host.apply().out
    assert is_nocow(images)


@pytest.mark.parametrize(("profile", "devices"), [("single", 2), ("raid0", 2)])
def test_one_copy_of_data_is_no_risk(host: World, profile: str, devices: int):
    image = host.image("data", mkfs=["-d", profile, "-m", "raid1"], size=devices)
    host.nocow(image.path / "images")
    assert "V102" not in host.plan(expect=2).out
    host.apply()
    assert is_nocow(image.path / "images")


def test_a_snapshotted_subvolume_needs_a_yes_of_its_own(host: World):
    images = host.area / "images"
    images.mkdir()
    run("btrfs", "subvolume", "snapshot", "-r", host.area, f"{host.area}-snapshot")
    host.nocow(images)
    row = host.plan(expect=7).row(f"! nocow {images}")
    assert "1 snapshot" in row
    assert "V103" in row
    host.apply(expect=7)
    assert not is_nocow(images)
    host.nocow(images, allow=["snapshots"])
    host.apply()
    assert is_nocow(images)


def test_snapshots_of_other_subvolumes_do_not_matter(host: World):
    run("btrfs", "subvolume", "create", host.area / "images")
    run("btrfs", "subvolume", "snapshot", "-r", host.area, f"{host.area}-snapshot")
    host.nocow(host.area / "images")
    host.apply()
    assert is_nocow(host.area / "images")


def test_snapshots_are_found_among_many_subvolumes(host: World):
    """Their references fill several answers of the kernel's tree search."""
    image = host.image("data")
    create = 'for n in $(seq 120); do btrfs -q subvolume create "$1/$n"; done'
    run("sh", "-euc", create, "sh", image.path)
    run("btrfs", "subvolume", "snapshot", image.path / "1", image.path / "of-1")
    host.nocow(image.path / "2" / "images")
    host.apply()
    host.nocow(image.path / "1" / "images")
    assert "1 snapshot" in host.plan(expect=2).row("! nocow")


def test_a_user_is_told_that_only_root_can_see_snapshots(host: World):
    host.nocow(host.area / "images")
    assert "only root can see whether there are snapshots" in host.plan(expect=2, user=NOBODY).out
    host.apply()
    (host.area / "images").chmod(0o755)
    assert "V103" in host.plan(expect=0, user=NOBODY).out
    assert "V103" not in host.plan(expect=0).out


def test_a_link_is_followed_and_shown(host: World):
    real, link = host.area / "real", host.area / "link"
    real.mkdir()
    link.symlink_to(real)
    host.nocow(link / "images")
    assert f"the path leads to {real / 'images'}" in host.plan(expect=2).out
    host.apply()
    assert is_nocow(real / "images")
    assert link.is_symlink()


def test_a_dangling_link_shows_where_the_directory_will_be(host: World):
    link = host.area / "link"
    link.symlink_to(host.area / "gone")
    host.nocow(link)
    assert f"the path leads to {host.area / 'gone'}" in host.plan(expect=2).out
    host.apply()
    assert is_nocow(host.area / "gone")
    assert link.is_symlink()


def test_a_loop_of_links_is_refused(host: World):
    (host.area / "one").symlink_to(host.area / "two")
    (host.area / "two").symlink_to(host.area / "one")
    host.nocow(host.area / "one")
    assert "symbolic link" in host.plan(expect=6).row("? nocow")
    host.apply(expect=6)


@pytest.mark.parametrize("below", ["", "/images"])
def test_a_file_in_the_way_is_refused(host: World, below: str):
    file = host.area / "file"
    file.touch()
    host.nocow(f"{file}{below}")
    assert "a file" in host.plan(expect=7).row("! nocow")
    host.apply(expect=7)
    assert not is_nocow(file)


@pytest.mark.parametrize(
    "name",
    [
        "my images",
        " ",
        'it\'s "quoted" and \\ more',
        "bücher-映像-🖥",
        "per%cent;semi&amp*?[x]",
        "-C",
        "#comment: yes",
    ],
)
def test_any_name_will_do(host: World, name: str):
    images = host.area / name
    (images / name).mkdir(parents=True)
    image = written(images / f"{name}.raw", 4096)
    host.nocow(images)
    host.apply(expect=7)
    assert is_nocow(images)
    assert is_nocow(images / name)
    assert not is_nocow(image)


@pytest.mark.parametrize("name", ["tab\there", "new\nline"])
def test_control_characters_are_refused_with_their_position(host: World, name: str):
    host.nocow(host.area / name)
    ran = host.apply(expect=1)
    assert f"{host.file}:3:" in ran.err
    assert list(host.area.iterdir()) == []


def test_names_that_are_not_utf8_are_shown_escaped(host: World):
    images = host.area / "images"
    images.mkdir()
    with open(os.fsencode(images) + b"/\xff\x1b[2J.raw", "wb") as file:
        file.write(b"x" * 4096)
    host.nocow(images)
    plan = host.plan(expect=2)
    assert "\x1b" not in plan.out
    assert "V101" in plan.out


@pytest.mark.parametrize("path", ["/srv", "/opt"])
def test_directories_of_the_system_are_refused(host: World, path: str):
    image = host.image("data")
    image.mount(Path(path), "")
    try:
        host.nocow(path)
        assert "V105" in host.plan(expect=7).row(f"! nocow {path}")
        host.apply(expect=7)
        assert not is_nocow(Path(path))
    finally:
        run("umount", path)


def test_a_whole_home_is_refused(host: World):
    home = host.alice()
    host.nocow("~alice")
    assert "V105" in host.plan(expect=7).row("! nocow")
    host.apply(expect=7)
    assert not is_nocow(home)


@pytest.mark.parametrize("kind", ["ext4", "tmpfs"])
def test_other_filesystems_are_no_failure(host: World, kind: str):
    target = host.area.parent.parent / "t" / kind
    target.mkdir()
    if kind == "ext4":
        image = target.with_suffix(".img")
        run("truncate", "-s", "20M", image)
        run("mkfs.ext4", "-q", image)
        run("mount", "-o", "loop", image, target)
    else:
        run("mount", "-t", kind, kind, target)
    host.nocow(target / "images")
    assert kind in host.plan(expect=0).row("not applicable:")
    host.apply()
    assert not (target / "images").exists()


def test_what_may_not_be_read_is_unknown_and_never_in_sync(host: World):
    images = host.area / "images"
    images.mkdir()
    run("chattr", "+C", images)
    images.chmod(0o700)
    host.nocow(images)
    ran = host.plan(expect=6, user=NOBODY)
    assert "not readable as nobody" in ran.row(f"? nocow {images}")
    assert host.vmtune("plan", user=NOBODY).code == 6
    host.plan(expect=0)


def test_below_a_closed_directory_all_is_unknown(host: World):
    (host.area / "closed" / "images").mkdir(parents=True)
    (host.area / "closed").chmod(0o700)
    host.nocow(host.area / "closed" / "images")
    assert host.plan(expect=6, user=NOBODY).row("? nocow")


def test_a_closed_file_or_subdirectory_is_unknown(host: World):
    images = host.area / "images"
    images.mkdir()
    run("chattr", "+C", images)
    (images / "disk.qcow2").write_bytes(b"x" * 4096)
    (images / "disk.qcow2").chmod(0o600)
    (images / "sub").mkdir(mode=0o700)
    host.nocow(images)
    ran = host.plan(expect=6, user=NOBODY)
    assert "V107" in ran.row(f"? nocow {images / 'disk.qcow2'}")
    assert "V107" in ran.row(f"? nocow {images / 'sub'}")
    host.plan(expect=0)


def test_two_names_of_one_directory_cannot_disagree(host: World):
    (host.area / "images").mkdir()
    (host.area / "link").symlink_to(host.area / "images")
    host.declare(
        paths=[
            {"path": str(host.area / "images"), "nocow": True},
            {"path": str(host.area / "link"), "nocow": False},
        ]
    )
    ran = host.plan(expect=1)
    assert f"{host.file}:4:" in ran.err
    assert f"{host.file}:3:" in ran.err


def test_a_directory_inside_may_be_declared_otherwise(host: World):
    inner = host.area / "images" / "checked"
    inner.mkdir(parents=True)
    host.declare(
        paths=[
            {"path": str(inner.parent), "nocow": True},
            {"path": str(inner), "nocow": False},
        ]
    )
    host.apply()
    assert (is_nocow(inner.parent), is_nocow(inner)) == (True, False)
    host.plan(expect=0)


def test_a_declared_directory_on_the_way_to_another_is_made_once(host: World):
    outer = host.area / "new" / "outer"
    host.declare(
        paths=[
            {"path": str(outer), "nocow": True},
            {"path": str(outer / "inner" / "most"), "nocow": True},
        ]
    )
    host.apply()
    assert is_nocow(outer)
    assert is_nocow(outer / "inner" / "most")
    host.plan(expect=0)


@pytest.mark.parametrize("there", [True, False])
def test_directories_made_below_a_nocow_one_are_nocow(host: World, there: bool):
    outer = host.area / "outer"
    if there:
        outer.mkdir()
        run("chattr", "+C", outer)
    host.declare(
        paths=[
            {"path": str(outer), "nocow": True},
            {"path": str(outer / "a" / "b" / "c"), "nocow": True},
        ]
    )
    host.apply()
    for path in (outer, outer / "a", outer / "a" / "b", outer / "a" / "b" / "c"):
        assert is_nocow(path), path
    host.plan(expect=0)


@pytest.mark.parametrize("nocow", [True, False])
def test_directories_made_below_a_compressed_one_inherit_from_it(host: World, nocow: bool):
    run("btrfs", "property", "set", host.area, "compression", "zstd")
    images = host.area / "new" / "images"
    host.declare(paths=[{"path": str(images), "nocow": nocow}])
    host.apply()
    assert is_nocow(images) is nocow
    assert run("btrfs", "property", "get", host.area / "new", "compression").strip()
    host.plan(expect=0)


@oracle("lsattr", "new files will be copy-on-write; old files stay nocow")
def test_false_ends_it_for_new_files_only(host: World):
    images = host.area / "images"
    images.mkdir()
    run("chattr", "+C", images)
    old = new_file(images)
    host.declare(paths=[{"path": str(images), "nocow": False}])
    assert "stay nocow" in host.plan(expect=2).out
    host.apply()
    assert not is_nocow(images)
    assert is_nocow(old)
    (images / "later").write_text("x")
    assert not is_nocow(images / "later")


def test_compression_of_the_mount_is_no_obstacle(host: World):
    image = host.image("data", "compress-force=zstd")
    host.nocow(image.path / "images")
    host.apply()
    assert compression(image.path) == ["compress-force=zstd:3"]
    path = image.path / "images" / "zeros"
    path.write_bytes(b"a" * (1 << 20))
    sync()
    assert "encoded" not in run("filefrag", "-v", path)


def test_a_bind_mount_of_the_same_subvolume_is_named_and_not_entered(host: World):
    """Its device number is that of the subvolume around it."""
    outside = host.area / "plain"
    written(outside / "old.raw")
    (outside / "sub").mkdir()
    inner = host.area / "images" / "bound"
    inner.mkdir(parents=True)
    run("mount", "--bind", outside, inner)
    host.nocow(inner.parent)
    assert host.plan(expect=2).row("bound is another mount")
    host.apply()
    assert not is_nocow(outside / "sub")
    host.plan(expect=0)


def test_a_file_under_a_write_lease_is_unknown(host: World):
    images = host.area / "images"
    images.mkdir()
    image = written(images / "old.raw", 4096)
    run("chattr", "+C", images)
    host.nocow(images, existing="keep")
    with image.open("r+b") as file:
        before = signal.signal(signal.SIGIO, signal.SIG_IGN)  # sent to break the lease
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        try:
            assert "V720" in host.plan(expect=6).row(f"? nocow {image}")
        finally:
            fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)
            signal.signal(signal.SIGIO, before)
    host.plan(expect=0)


def test_below_a_mount_point_of_fstab_without_its_mount_nothing_is_made(host: World):
    image = host.image("data")
    host.fstab(image.line("nofail"))
    images = image.path / "images"
    host.nocow(images)
    assert host.plan(expect=2).row(f"+ nocow {images}")
    run("umount", image.path)
    row = host.apply(expect=7).row(f"! nocow {images}")
    assert f"{image.path} is not mounted (/etc/fstab:1)" in row
    assert "V108" in row
    assert not images.exists()


@pytest.mark.parametrize("there", [True, False])
def test_a_link_of_somebody_who_does_not_own_its_target_is_not_followed(host: World, there: bool):
    private, link = host.area / "private", host.alice() / "images"
    if there:
        private.mkdir(mode=0o700)
    link.symlink_to("../private")
    os.lchown(link, ALICE, ALICE)
    for path in (link, link / "below"):
        host.nocow(path)
        row = host.apply(expect=7).row(f"! nocow {path}")
        assert "V109" in row
        assert f"the link {link}" in row
    assert not (private / "below").exists()
    assert not there or not is_nocow(private)


@pytest.mark.parametrize(("link_owner", "owner"), [(0, 0), (0, ALICE), (ALICE, ALICE)])
def test_links_of_root_and_of_the_owner_are_followed(host: World, link_owner: int, owner: int):
    home = host.alice()
    (home / "real").mkdir()
    os.chown(home / "real", owner, owner)
    (home / "one").symlink_to("./real/../two")
    (home / "two").symlink_to(home / "real")
    for link in (home / "one", home / "two"):
        os.lchown(link, link_owner, link_owner)
    host.nocow(home / "one")
    host.apply()
    assert is_nocow(home / "real")


def test_mixed_block_groups_have_a_profile_too(host: World):
    image = host.image("data", mkfs=["--mixed", "-d", "dup", "-m", "dup"])
    images = image.path / "images"
    host.nocow(images)
    row = host.apply(expect=7).row(f"! nocow {images}")
    assert "dup" in row
    assert "V102" in row
    assert not images.exists()


def test_what_hands_it_on_below_a_directory_switched_off_is_counted(host: World):
    images = host.area / "images"
    (images / "sub" / "deeper").mkdir(parents=True)
    (images / "plain").mkdir()
    for path in (images, images / "sub", images / "sub" / "deeper"):
        run("chattr", "+C", path)
    host.declare(paths=[{"path": str(images), "nocow": False}])
    assert "2 directories below stay nocow" in host.apply().out
    assert "2 directories below stay nocow" in host.plan(expect=0).out
    run("chattr", "-C", images / "sub", images / "sub" / "deeper")
    assert "below stay nocow" not in host.plan(expect=0).out


def test_snapshots_that_came_after_the_attribute_are_refused(host: World):
    """As long as nobody allows them: a green row would say that new writes stay in place."""
    images = host.area / "images"
    host.nocow(images)
    host.apply()
    snapshot = Path(f"{host.area}-snapshot")
    run("btrfs", "subvolume", "snapshot", host.area, snapshot)
    in_the_filesystem = snapshot.name  # the area lies at its top level
    told = f"1 snapshot of its subvolume ({in_the_filesystem})"
    assert "V103" in host.plan(expect=7).row(told)
    run("btrfs", "subvolume", "snapshot", host.area, f"{snapshot}-2")
    told = f"2 snapshots of its subvolume (the newest is {in_the_filesystem}-2)"
    assert "V103" in host.plan(expect=7).row(told)
    run("btrfs", "subvolume", "delete", "-c", f"{snapshot}-2")
    assert host.vmtune("status").code == 7
    host.nocow(images, allow=["snapshots"])
    host.plan(expect=0)
    host.nocow(images)
    (snapshot / "held").write_text("x")
    with (snapshot / "held").open():  # the cleaner cannot have it, so its item stays in the tree
        run("btrfs", "subvolume", "delete", "-c", snapshot)
        assert f"{snapshot.name}\n" not in run("btrfs", "subvolume", "list", host.area)
        host.plan(expect=0)


def test_of_a_great_many_below_the_first_are_named_and_all_are_set(host: World):
    """No list of a million is kept: what can be taken back by name is, the rest is said to stay."""
    images = host.area / "images"
    images.mkdir()
    for number in range(MOST + 1):
        (images / f"{number:04}").touch()
    host.nocow(images)
    planned = host.plan(expect=2)
    assert "1,001 copy-on-write (0000, 0001, 0002, ...)" in planned.out
    assert "revert leaves all of it nocow" in " ".join(planned.out.split())
    host.apply()
    assert nocow_in(images) == MOST + 1
    assert "0999" in record_of(1)
    assert "1000" not in record_of(1)
    assert "1,001 directories and empty files below stay nocow" in host.vmtune("revert").out
    assert host.vmtune("revert", "--yes").code == 0
    assert not is_nocow(images)
    assert nocow_in(images) == MOST + 1
    (images / "1000").unlink()
    run("chattr", "-C", *images.iterdir())
    assert "revert leaves" not in host.apply().out
    assert host.vmtune("revert", "--yes").code == 0
    assert nocow_in(images) == 0


def nocow_in(folder: Path) -> int:
    return sum("C" in line.split()[0] for line in run("lsattr", folder).splitlines())


def record_of(number: int) -> str:
    """What names the files that a run found, for root alone or for all."""
    return "".join(path.read_text() for path in RUNS.glob(f"{number:08}.*"))


def test_of_a_great_many_that_may_not_be_read_ten_are_named(host: World):
    images = host.area / "images"
    images.mkdir()
    run("chattr", "+C", images)
    for number in range(MOST + 1):
        (images / f"{number:04}").touch(mode=0)
    host.nocow(images)
    ran = host.plan(expect=6, user=NOBODY)
    assert "991 more entries not readable" in ran.out
    told = json.loads(host.vmtune("status", "--json", user=NOBODY).out)
    (path,) = told["effect"]["paths"]
    assert (len(path["unseen"]), path["unseen_count"]) == (10, MOST + 1)
