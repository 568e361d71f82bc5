"""What the mounts of one Btrfs make of compression, and who decides beside /etc/fstab."""

import random
from pathlib import Path

import pytest

from reconciler.facts import boot_order
from tests.btrfs import booting
from tests.btrfs.outside import compression, is_nocow, mountinfo, run, sync
from tests.btrfs.sandbox import TOP
from tests.btrfs.world import World
from tests.oracles import oracle

WORDS = [
    "",
    "",
    "compress=no",
    "compress=zstd:1",
    "compress=lzo",
    "compress",
    "compress-force=zstd:5",
    "compress-force=zstd,compress=lzo",
    "nodatacow",
    "nodatacow,datacow",
    "compress=zstd:1,nodatacow",
    "nodatacow,compress=lzo",
    "compress=zstd,nodatasum",
]


@oracle(
    "mountinfo",
    "V207: at boot compression is",
    "V207: {}; {}{}",
    "V510",
    "V526",
    "{}: one compression setting for the whole filesystem",
)
def test_random_mounts_end_in_what_the_kernel_shows(host: World):
    """Of ``superblock``, whose rules are all that the boot verdict rests on; mountinfo judges."""
    image = host.image("data")
    for name in "abc":
        image.subvolume(name)
    targets = {name: TOP / "t" / name for name in "abc"}
    for target in targets.values():
        target.mkdir()
    dice = random.Random(14)  # noqa: S311 - the same sequences each time
    device = run("losetup", "--find", "--show", TOP / "images" / "data0.img").strip()
    run("umount", image.path)
    try:
        for _ in range(15):
            _sequence(dice, device, targets)
    finally:
        run("losetup", "--detach", device)


def _sequence(dice: random.Random, device: str, targets: dict[str, Path]) -> None:
    block, told, mounted = None, [], []
    for name in "abc"[: dice.randint(1, 3)]:
        mode, words = dice.choice(["ro", "rw"]), dice.choice(WORDS)
        run("mount", "-o", f"subvol={name},{mode},{words}".strip(","), device, targets[name])
        mounted.append(targets[name])
        told.append(f"mount {mode},{words}")
        is_read_only = mode == "ro"
        if block is None:
            block = boot_order.first(words, is_read_only=is_read_only)
        else:
            block = boot_order.later(block, words, is_read_only=is_read_only)
        if dice.random() < 0.4:
            mode, words = dice.choice(["ro", "rw"]), dice.choice(WORDS)
            run("mount", "-o", f"remount,{mode},{words}".strip(","), device, dice.choice(mounted))
            told.append(f"remount {mode},{words}")
            block = boot_order.remounted(block, words, is_read_only=mode == "ro")
        _, shown = mountinfo(mounted[0])
        found = [word for word in shown if word.startswith("compress")]
        assert found == [block.shown] * bool(block.shown), told
        assert (shown[0] == "ro") == block.is_read_only, told
        assert ("nodatacow" in shown) == block.mode.nodatacow, told
        assert bool({"nodatacow", "nodatasum"} & set(shown)) == block.mode.nodatasum, told
    for target in mounted:
        run("umount", target)


def _read_only_first(host: World, second: str) -> tuple[Path, str]:
    """A filesystem that is mounted read-only with compression, then writable."""
    image = host.image("data")
    for name in ("root", "var"):
        image.subvolume(name)
    device = run("losetup", "--find", "--show", TOP / "images" / "data0.img").strip()
    run("umount", image.path)
    places = [TOP / "t" / name for name in ("root", "var")]
    for place in places:
        place.mkdir()
    run("mount", "-o", "ro,subvol=root,compress=zstd:1", device, places[0])
    run("mount", "-o", f"subvol=var{second}", device, places[1])
    run("losetup", "--detach", device)  # for as long as it is mounted
    return places[1], image.uuid


@pytest.mark.parametrize(
    ("second", "shown", "now"), [("", "compress=", "off"), (",compress=lzo", "compress=lzo", "lzo")]
)
@oracle("filefrag", "V526", "status: compression")
def test_a_live_compress_without_a_word_is_off(host: World, second: str, shown: str, now: str):
    """What filefrag counts as compressed, and status says the same."""
    place, uuid = _read_only_first(host, second)
    assert compression(place) == [shown]
    (place / "file").write_bytes(b"abcdefgh" * (1 << 17))
    sync()
    assert ("encoded" in run("filefrag", "-v", place / "file")) == (now != "off")
    host.fstab(f"UUID={uuid} {place} btrfs subvol=var,compress=no 0 0\n")
    host.mounts(place, compress="no")
    assert booting.told(host.vmtune("status").out) == (now, "off")
    assert (host.vmtune("plan", "--detailed-exitcode").code == 0) == (now == "off")
    host.apply()
    host.plan(expect=0)
    assert compression(place) in ([], ["compress="])


# --- the plan says where an option is written instead


def test_a_directory_is_led_to_the_mount_that_it_is_on(host: World):
    image = host.image("data")
    folder = image.path / "vm"
    folder.mkdir()
    host.fstab(image.line("defaults"))
    host.mounts(folder, compress="no")
    plan, doctor = host.plan(expect=7), host.vmtune("doctor")
    for ran in (plan, doctor):
        assert f"it is on {image.path} (/etc/fstab:1)" in ran.row("   V201")
        assert f"declare `target: {image.path}`" in ran.out


def test_another_name_of_a_mount_point_is_led_to_its_line(host: World):
    """Both ways: the line names the link, or what it leads to."""
    image = host.image("data")
    link = TOP / "t" / "home"
    link.symlink_to(image.path)
    host.fstab(image.line("defaults", link))
    host.mounts(image.path, noatime=True)
    assert f"line 1, {link}, leads there" in host.plan(expect=7).row("   V201")
    assert f"declare `target: {link}`" in host.vmtune("doctor").out
    host.fstab(image.line("defaults"))
    host.mounts(link, noatime=True)
    assert "V201" not in host.plan(expect=2).out


def test_what_a_program_mounts_gets_a_line_to_write(host: World):
    image = host.image("data")
    image.subvolume("pool")
    pool = image.mount(TOP / "t" / "pool", "subvol=pool")
    host.mounts(pool, compress="no")
    expected = f"`UUID={image.uuid} {pool} btrfs subvol=/pool,compress=no 0 0`"
    assert expected in host.plan(expect=7).out
    host.fstab(image.line("defaults"))
    ran = host.plan(expect=7)
    assert f"{image.path} (/etc/fstab:1) is of the same filesystem" in ran.row("   V201")


def test_a_mount_unit_without_a_line_is_named(host: World):
    """In /etc and below /usr; with a line only the former counts (systemd.mount(5))."""
    image = host.image("data")
    unit = Path("/etc/systemd/system/media-t-data.mount")
    unit.write_text(f"[Mount]\nWhat=UUID={image.uuid}\nWhere={image.path}\nType=btrfs\n")
    host.mounts(image.path, compress="no")
    for ran in (host.plan(expect=7), host.vmtune("doctor")):
        row = ran.row("   V204")
        assert f"{unit} mounts {image.path}, and /etc/fstab has no line for it" in row
    assert "hides the line" not in host.plan(expect=7).out


def test_a_mount_unit_of_the_same_filesystem_may_be_first(host: World):
    image = host.image("data", "compress=lzo")
    image.subvolume("other")
    other = image.mount(TOP / "t" / "other", "subvol=other")
    host.fstab(image.line("compress=lzo"))
    unit = Path("/etc/systemd/system/media-t-other.mount")
    unit.write_text(f"[Mount]\nWhat=UUID={image.uuid}\nWhere={other}\nOptions=subvol=other\n")
    host.mounts(image.path, compress="lzo")
    assert "V207" not in host.plan(expect=0).out, "nothing pulls it in at boot"
    wants = unit.parent / "local-fs.target.wants"
    wants.mkdir(exist_ok=True)
    (wants / unit.name).symlink_to(unit)
    try:
        ran = host.plan(expect=0)
        assert f"decided by whichever of /etc/fstab:1 and {unit} is mounted first" in ran.out
    finally:
        (wants / unit.name).unlink()


def test_a_directory_of_the_subvolume_is_no_mismatch(host: World):
    """X-mount.subdir= of mount(8), made by hand: util-linux before 2.39 does not know it."""
    image = host.image("data")
    inner = image.subvolume("root") / "deploy"
    inner.mkdir()
    place = TOP / "t" / "shown"
    place.mkdir()
    run("mount", "--bind", inner, place)
    aside = image.mount(TOP / "t" / "aside", "subvol=root")
    run("mount", "--bind", aside / "deploy", place)
    host.fstab(image.line("subvol=root,X-mount.subdir=deploy", place))
    host.mounts(place, noatime=True)
    assert "V208" not in host.plan(expect=2).out + host.vmtune("doctor").out


def test_a_snapshot_in_place_of_the_subvolume_is_told_as_one(host: World):
    image = host.image("data")
    image.subvolume("home")
    run("btrfs", "subvolume", "snapshot", "-r", image.path / "home", image.path / "before")
    place = image.mount(TOP / "t" / "home", "subvol=before")
    host.fstab(image.line("subvol=home", place))
    host.mounts(place, noatime=True)
    for ran in (host.plan(expect=7), host.vmtune("doctor")):
        assert f"{place} shows a snapshot (/before), but /etc/fstab:1 says subvol=/home" in ran.out


@oracle("lsattr", "on an overlay whose upper layer, {}{}")
def test_an_overlay_names_its_upper_layer_on_btrfs(host: World):
    """By lsattr, what was set through the overlay is set on the upper layer."""
    layers = {name: host.area / name for name in ("lower", "upper", "work", "merged")}
    for folder in layers.values():
        folder.mkdir()
    options = ",".join(f"{name}dir={layers[name]}" for name in ("lower", "upper", "work"))
    run("mount", "-t", "overlay", "-o", options, "overlay", layers["merged"])
    try:
        path = layers["merged"] / "vm"
        host.nocow(path)
        expected = f"on an overlay whose upper layer, {layers['upper']}, is on Btrfs"
        assert expected in host.plan(expect=0).row("not applicable:")
        path.mkdir()
        run("chattr", "+C", path)
        assert is_nocow(layers["upper"] / "vm"), "chattr +C passes through"
        layers["upper"].rename(host.area / "aside")  # as in a container: the name is the host's
        expected = f"whose upper layer, {layers['upper']}, cannot be seen from here and may be on"
        assert expected in host.plan(expect=0).row("not applicable:")
        (path / "new").write_bytes(b"x")
        assert is_nocow(host.area / "aside" / "vm" / "new"), "it passes through all the same"
    finally:
        run("umount", layers["merged"])


def test_a_drop_in_decides_in_place_of_the_options_of_the_line(host: World):
    image = host.image("data", "compress=lzo")
    host.fstab(image.line("compress=lzo"))
    host.mounts(image.path, compress="lzo")
    assert booting.told(host.vmtune("status").out) == ("lzo", "lzo")
    folder = Path("/etc/systemd/system/media-t-data.mount.d")
    folder.mkdir()
    (folder / "own.conf").write_text("[Mount]\nOptions=compress=zstd:1\n")
    status = host.vmtune("status").out
    assert booting.told(status) == ("lzo", "zstd:1")
    assert f"decided by {folder}/own.conf" in status
