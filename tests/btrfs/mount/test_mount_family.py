"""compress, nodatacow and nodatasum switch each other off: what is said and done about it.

The oracle is the running kernel: real mounts, read in its mountinfo, and filefrag(8).
"""

import json
from pathlib import Path

import pytest

from reconciler.formats import datamode
from tests.btrfs.outside import identity, is_nocow, mountinfo, run, sync
from tests.btrfs.sandbox import TOP
from tests.btrfs.world import FSTAB, Image, World
from tests.oracles import oracle

FAMILY = [
    "compress=zstd:1",
    "compress=no",
    "nodatacow",
    "datacow",
    "nodatasum",
    "datasum",
]
PLAIN = ("nodatacow", "nodatasum")
BLIND = """
from reconciler.resources.mount import writes as mount_writes
mount_writes._spares_the_data_mode = lambda *_: None
"""
UNPLANNED = """
from reconciler.resources.mount import kind as mount_kind
mount_kind._data_mode = lambda *_: None
"""
AS_BEFORE = f"""{UNPLANNED}{BLIND}
mount_writes._hold_the_others = lambda *_: None
"""
"""A run as older versions did it: nothing of the family was looked at."""


@pytest.fixture
def image(host: World) -> Image:
    return host.image("data")


def mount(image: Image, options: str) -> None:
    """Mount the disk afresh."""
    if image.path.is_mount():
        run("umount", image.path)
    disk = TOP / "images" / f"{image.path.name}0.img"
    run("mount", "-t", "btrfs", "-o", f"loop,{options}".strip(","), disk, image.path)


def remount(image: Image, options: str) -> None:
    """Give it options as at boot: those of fstab alone, with none of the live ones before them."""
    device = run("findmnt", "-no", "SOURCE", image.path).strip().partition("[")[0]
    run("mount", "-o", f"remount,{options}", device, image.path)


def live(image: Image) -> datamode.DataMode:
    return datamode.of_live(",".join(mountinfo(image.path)[1]))


def plain(mode: datamode.DataMode) -> tuple[bool, bool, bool]:
    return (mode.nodatacow, mode.nodatasum, bool(mode.compress))


def is_compressed(folder: Path) -> bool:
    path = folder / "probe"
    path.write_bytes(b"a" * (1 << 20))
    sync()
    found = "encoded" in run("filefrag", "-v", path)
    path.unlink()
    return found


@oracle("mountinfo", "V220", "V221", "V524")
def test_the_later_option_of_the_family_holds(image: Image):
    """On one line, and where the line is applied to what rootflags= mounted."""
    for first in FAMILY:
        for second in FAMILY:
            both = datamode.of_line(f"{first},{second}")
            for steps in ((f"{first},{second}",), (first, second)):
                remount(image, "compress=no,datasum")
                assert live(image) == datamode.DEFAULT
                for options in steps:
                    remount(image, options)
                assert plain(both) == plain(live(image)), steps
            assert datamode.of_line(second, datamode.of_line(first)) == both


@pytest.mark.parametrize(
    "words",
    [
        "compress=zstd:1",
        "compress=zstd:1,nodatasum",
        "nodatasum,compress=zstd:1",
        "nodatacow,compress",
        "compress-force=zstd,nodatacow",
        "compress=zstd,nodatacow,datacow",
    ],
)
@oracle("filefrag", "V220", "V524")
def test_what_the_family_compresses(image: Image, words: str):
    mount(image, words)
    assert plain(datamode.of_line(words)) == plain(live(image))
    assert is_compressed(image.path) == bool(datamode.of_line(words).compressing)
    assert is_compressed(image.path) == bool(live(image).compressing)


@pytest.mark.parametrize("option", PLAIN)
def test_compression_at_the_price_of_the_other_is_refused(host: World, image: Image, option: str):
    cases = ((option, option), ("noatime", option), (option, ""), (f"compress=zstd:1,{option}", ""))
    for line, options in cases:
        mount(image, options)
        host.fstab(image.line(line))
        host.mounts(image.path, compress="zstd:1")
        before = identity(FSTAB), mountinfo(image.path)
        row = host.plan(expect=7).row(f"! mount {image.path}")
        assert "V220" in row
        assert option in row
        host.apply(expect=7)
        assert (identity(FSTAB), mountinfo(image.path)) == before
        assert "compress=zstd:1, now and at boot" not in host.vmtune("status").out


@oracle("filefrag", "V212")
def test_a_compress_option_without_effect_ends_nothing(host: World, image: Image):
    """`compress: no` changes nothing there, by filefrag before and after."""
    mount(image, words := "compress=zstd:1,nodatacow")
    assert not is_compressed(image.path)
    host.fstab(image.line(words))
    folder = image.path / "images"
    folder.mkdir()
    run("chattr", "+C", folder)
    host.declare(
        paths=[{"path": str(folder), "nocow": True}],
        mounts=[{"target": str(image.path), "options": {"compress": "no"}}],
    )
    row = host.plan(expect=2).row(f"~ mount {image.path}")
    assert "compression is off already; this entry only writes that down (V212)" in row
    assert "V213" not in row
    host.apply()
    mount(image, FSTAB.read_text().split()[3])
    assert not is_compressed(image.path)


def test_the_remedy_works(host: World, image: Image):
    mount(image, "nodatacow")
    host.fstab(image.line("nodatacow,noatime"))
    host.mounts(image.path, compress="zstd:1")
    ran = host.plan(expect=7)
    command = f"mount -o remount,datasum {image.path}"
    assert f"take nodatacow out of /etc/fstab:1, run `{command}`, and apply again" in ran.out
    host.fstab(image.line("noatime"))
    run("sh", "-c", command)
    host.apply()
    host.plan(expect=0)
    assert is_compressed(image.path)


def test_no_compression_is_no_reason_to_lose_anything(host: World, image: Image):
    mount(image, "nodatacow")
    host.fstab(image.line("nodatacow"))
    host.mounts(image.path, compress="no")
    before = mountinfo(image.path)
    host.apply()
    assert mountinfo(image.path) == before
    assert FSTAB.read_text() == image.line("nodatacow,compress=no")
    mount(image, "nodatacow,compress=no")
    assert mountinfo(image.path) == before


def test_an_option_that_compression_holds_down_is_not_let_loose(host: World, image: Image):
    """With compression gone the nodatacow before it would hold: V221."""
    mount(image, "nodatacow,compress=zstd:1")
    host.fstab(image.line("nodatacow,compress=zstd:1"))
    host.mounts(image.path, compress="no")
    before = identity(FSTAB), mountinfo(image.path)
    assert "V221" in host.plan(expect=7).row(f"! mount {image.path}")
    host.apply(expect=7)
    assert (identity(FSTAB), mountinfo(image.path)) == before
    host.mounts(image.path, compress="lzo")
    host.apply()
    assert FSTAB.read_text() == image.line("nodatacow,compress=lzo")
    assert live(image) == datamode.DataMode("compress=lzo")


@pytest.mark.parametrize("is_seen_before", [True, False])
def test_what_a_remount_takes_along_is_put_back(host: World, image: Image, *, is_seen_before: bool):
    """The plan did not foresee it. It is seen before the remount, or else after it."""
    mount(image, "nodatacow,autodefrag,commit=77,nosuid")
    host.fstab(image.line("noatime"))
    host.mounts(image.path, compress="zstd:1")
    before = identity(FSTAB), mountinfo(image.path)
    ran = host.prepared(UNPLANNED if is_seen_before else f"{UNPLANNED}{BLIND}", "apply", "--yes")
    assert ran.code == 3, ran
    assert "nodatacow" in ran.err
    assert ("was put back" in ran.err) is not is_seen_before, ran
    assert (identity(FSTAB), mountinfo(image.path)) == before
    (image.path / "new").write_bytes(b"x")
    assert is_nocow(image.path / "new")


def test_a_saved_plan_is_stale_where_it_was_mounted_nodatacow_since(host: World, image: Image):
    host.fstab(image.line("noatime"))
    host.mounts(image.path, compress="zstd:1")
    file = TOP / "t" / "plan.json"
    assert host.vmtune("plan", "-o", str(file)).code == 0
    mount(image, "nodatacow")
    before = identity(FSTAB), mountinfo(image.path)
    ran = host.vmtune("apply", str(file))
    assert ran.code == 5, ran
    assert "mounted nodatacow" in ran.err
    assert (identity(FSTAB), mountinfo(image.path)) == before


@pytest.mark.parametrize(
    "also", ["flushoncommit", "noautodefrag", "commit=99", "nodatacow", "discard=sync", "nossd"]
)
def test_whatever_changes_beside_an_option_is_put_back(host: World, image: Image, also: str):
    """A kernel that does more than it was asked for, as nobody foresaw."""
    mount(image, "autodefrag,commit=77,discard=async,nodev,ssd")
    host.fstab(image.line("defaults"))
    host.mounts(image.path, user_subvol_rm_allowed=True, compress="zstd:1")
    before = mountinfo(image.path)
    ran = host.prepared(
        f"""
from reconciler.linux import syscalls
honest = syscalls.reconfigure
def more(target, *tokens):
    honest(target, *tokens)
    if tokens == ("compress=zstd:1",):
        honest(target, "{also}")
syscalls.reconfigure = more
""",
        "apply",
        "--yes",
    )
    assert ran.code == 3, ran
    assert also.partition("=")[0].removeprefix("no")[:4] in ran.err
    assert "was put back" in ran.err
    left = [word for word in mountinfo(image.path)[1] if word != "user_subvol_rm_allowed"]
    assert (mountinfo(image.path)[0], left) == before
    assert FSTAB.read_text() == image.line("defaults")


def test_a_filesystem_mounted_read_only_stays_so(host: World, image: Image):
    """Btrfs takes a remount without "ro" for one that may write."""
    mount(image, "ro")
    host.fstab(image.line("ro"))
    host.mounts(image.path, compress="zstd:1", commit=60)
    before = mountinfo(image.path)
    assert (before[0][0], before[1][0]) == ("ro", "ro")
    host.apply()
    flags, words = mountinfo(image.path)
    assert flags == before[0]
    assert [word for word in words if word not in {"compress=zstd:1", "commit=60"}] == before[1]
    assert len(words) == len(before[1]) + 2
    assert host.vmtune("revert", "--yes").code == 0
    assert mountinfo(image.path) == before


def lost(host: World, image: Image, options: str) -> str:
    """Have compression end an option live, as an older vmtune did; return how it was before."""
    mount(image, options)
    host.fstab(image.line(options))
    host.mounts(image.path, compress="zstd:1")
    before = repr((mountinfo(image.path), FSTAB.read_bytes()))
    ran = host.prepared(AS_BEFORE, "apply", "--yes")
    assert ran.code == 0, ran
    assert live(image) == datamode.DataMode("compress=zstd:1")
    return before


def state(image: Image) -> str:
    return repr((mountinfo(image.path), FSTAB.read_bytes()))


@pytest.mark.parametrize("option", PLAIN)
def test_revert_brings_back_what_compression_had_ended(host: World, image: Image, option: str):
    before = lost(host, image, f"noatime,{option}")
    after = state(image)
    ran = host.vmtune("revert", "--yes")
    assert ran.code == 0, ran
    assert state(image) == before
    ran = host.vmtune("revert", "2", "--yes")  # and the revert taken back
    assert ran.code == 0, ran
    assert state(image) == after


@pytest.mark.parametrize("declared", ["nothing", "another option"])
def test_what_is_no_longer_declared_brings_it_back_too(host: World, image: Image, declared: str):
    before = lost(host, image, "noatime,nodatacow")
    host.config("")
    if declared != "nothing":
        host.mounts(image.path, noatime=True)
    assert "nodatacow" in host.plan(expect=2).out
    host.apply()
    assert state(image) == before
    host.plan(expect=0)
    host.config("")
    host.plan(expect=0)


@pytest.mark.parametrize("declared", ["nothing", "another option"])
@oracle("mountinfo", "{} is not put back live: {} is mounted {}, which it would end")
def test_compression_is_not_put_back_at_the_price_of_nodatacow(
    host: World, image: Image, declared: str
):
    mount(image, "compress=zstd:1")
    host.fstab(image.line("compress=zstd:1"))
    host.mounts(image.path, compress="no")
    host.apply()
    remount(image, "nodatacow")
    before = mountinfo(image.path)
    host.config("")
    if declared != "nothing":
        host.mounts(image.path, autodefrag=False)
    assert f"{image.path} is mounted nodatacow, which it would end" in host.plan(expect=2).out
    host.apply()
    assert mountinfo(image.path) == before
    assert "compress=zstd:1" in FSTAB.read_text()


@pytest.mark.parametrize("option", PLAIN)
@oracle("filefrag", "no new data is compressed: the filesystem is mounted {}")
def test_no_property_compresses_on_a_filesystem_mounted_so(host: World, image: Image, option: str):
    mount(image, option)
    folder = image.path / "folder"
    host.declare(paths=[{"path": str(folder), "compression": "zstd"}])
    host.apply()
    row = host.plan(expect=0).row(f"= compression {folder}")
    assert f"no new data is compressed: the filesystem is mounted {option}" in row
    assert not is_compressed(folder)
    mount(image, "defaults")
    assert is_compressed(folder)
    assert "compressed with zstd" in host.plan(expect=0).row(f"= compression {folder}")


@oracle("lsattr", "V520")
def test_doctor_and_status_of_a_filesystem_mounted_so(host: World):
    """RAID1 with nodatacow: what is on it has no checksum, and doctor says so."""
    image = host.image("data", "nodatacow", mkfs=["-d", "raid1", "-m", "raid1"], size=2)
    folder = image.path / "vm"
    folder.mkdir()
    (folder / "a.raw").write_bytes(b"x" * 4096)
    assert is_nocow(folder / "a.raw")
    host.fstab(image.line("compress=zstd:1,nodatacow"))
    host.declare(paths=[{"path": str(folder), "compression": "none"}])
    ran = host.vmtune("doctor")
    assert "no nocow directory where data is kept twice" not in ran.out
    row = ran.row("mounted nodatacow")
    assert "raid1" in row
    assert "V520" in row
    assert "compress=zstd:1 has no effect: nodatacow behind it ends it" in ran.row("V524")
    assert "off, now and at boot" in host.vmtune("status").out.replace("compression ", "")


def test_plan_and_doctor_say_alike_what_options_cost(host: World, image: Image):
    folder = image.path / "vm"
    folder.mkdir()
    run("chattr", "+C", folder)
    host.fstab(image.line("defaults"))
    declared = {"autodefrag": True, "discard": "sync", "flushoncommit": True, "commit": 300}
    host.declare(
        paths=[{"path": str(folder), "nocow": True}],
        mounts=[{"target": str(image.path), "options": declared}],
    )
    before = host.plan(expect=2).out
    host.apply()
    ran = host.vmtune("doctor", "--json")
    told = [row for row in json.loads(ran.out)["rows"] if row["code"] in {"V513", "V522", "V523"}]
    assert len(told) == len(declared)
    after = host.plan(expect=0).out
    for row in told:
        assert row["health"] == "warn"
        assert row["text"] in before
        assert row["text"] in after
