"""Mount options, in /etc/fstab byte by byte and live as the kernel shows them."""

import json
import os
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest

from tests import patience
from tests.btrfs.outside import compression, identity, mountinfo, run, sync
from tests.btrfs.sandbox import TOP
from tests.btrfs.world import FSTAB, Image, World, until
from tests.oracles import oracle

SCHEMA = Path(__file__).parents[3] / "schemas/vmtune.schema.json"
PLAN_SCHEMA = json.loads(SCHEMA.with_name("plan.schema.json").read_text())
OPTIONS = json.loads(SCHEMA.read_text())["$defs"]["options"]["properties"]

HOW_TO = """\
# /etc/fstab: static file system information.
#
# Use 'blkid' to print the universally unique identifier for a device.
#
# <file system> <mount point>   <type>  <options>       <dump>  <pass>
# / was on /dev/vda2 during installation
UUID={uuid} {target}               btrfs   {options} 0       0
# /boot/efi was on /dev/vda1 during installation
UUID=ABCD-1234  /boot/efi       vfat    umask=0077      0       1
/dev/sr0        /media/cdrom0   udf,iso9660 user,noauto     0       0
"""


def test_the_line_of_the_how_to(host: World):
    image = host.image("data")
    image.subvolume("@rootfs")
    root = image.mount(Path("/media/t/root"), "subvol=@rootfs")
    text = HOW_TO.format(uuid=image.uuid, target=root, options="{}")
    host.fstab(text.format("defaults,subvol=@rootfs"))
    host.mounts(root, compress="no")
    plan = host.plan(expect=2)
    assert "/etc/fstab:7" in plan.out
    assert "defaults,subvol=@rootfs,compress=no" in plan.out
    assert "remount" not in plan.out
    host.apply()
    assert FSTAB.read_text() == text.format("defaults,subvol=@rootfs,compress=no")
    assert compression(root) == []
    assert run("findmnt", "--fstab", "-no", "OPTIONS", root).strip().endswith("compress=no")
    host.plan(expect=0)


def test_compression_ends_in_fstab_and_live(host: World):
    image = host.image("data", "compress=zstd")
    host.fstab(image.line("defaults,compress=zstd"))
    host.mounts(image.path, compress="no")
    assert "compress=zstd:3" in host.plan(expect=2).out
    host.apply()
    assert compression(image.path) == []
    assert FSTAB.read_text() == image.line("defaults,compress=no")
    path = image.path / "zeros"
    path.write_bytes(b"a" * (1 << 20))
    sync()
    assert "encoded" not in run("filefrag", "-v", path)
    host.plan(expect=0)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("defaults", "defaults,compress=no"),
        ("compress=zstd", "compress=no"),
        ("compress", "compress=no"),
        ("compress=no", "compress=no"),
        ("compress=none,noatime", "compress=no,noatime"),
        ("compress-force=zstd:5,noatime,compress=lzo,nofail", "noatime,compress=no,nofail"),
        ("compress=no,compress-force=zstd", "compress=no"),
        (
            "rw,x-systemd.device-timeout=5,compress=zstd:1,commit=30",
            "rw,x-systemd.device-timeout=5,compress=no,commit=30",
        ),
    ],
)
def test_every_compression_option_is_replaced_by_one(host: World, before: str, after: str):
    """The last one counts, and "no" beside a force is on."""
    image = host.image("data", "compress-force=lzo")
    host.fstab(image.line(before))
    host.mounts(image.path, compress="no")
    host.apply()
    assert FSTAB.read_text() == image.line(after)
    assert compression(image.path) == []


def test_live_flags_that_fstab_does_not_have_stay(host: World):
    image = host.image("data", "nosuid,nodev,noexec,noatime,commit=77,compress=zstd")
    host.fstab(image.line("defaults,compress=zstd"))
    host.mounts(image.path, compress="no")
    flags, options = mountinfo(image.path)
    host.apply()
    wanted = [word for word in options if not word.startswith("compress")]
    assert mountinfo(image.path) == (flags, wanted)


def test_a_live_force_ends_too(host: World):
    image = host.image("data", "compress-force=zstd:7")
    host.fstab(image.line("defaults"))
    host.mounts(image.path, compress="no")
    host.apply()
    assert compression(image.path) == []


@pytest.mark.parametrize(
    ("live", "declared", "token", "shown"),
    [
        ("", {"compress": "zstd"}, "compress=zstd", "compress=zstd:3"),
        ("", {"compress": "zstd:15"}, "compress=zstd:15", "compress=zstd:15"),
        ("compress=zstd", {"compress": "lzo"}, "compress=lzo", "compress=lzo"),
        ("", {"compress-force": "zstd:1"}, "compress-force=zstd:1", "compress-force=zstd:1"),
        ("compress-force=lzo", {"compress": "zstd:3"}, "compress=zstd:3", "compress=zstd:3"),
        ("nodiscard", {"discard": "async"}, "discard=async", "discard=async"),
        ("nodiscard", {"discard": "sync"}, "discard=sync", "discard"),
        (
            "",
            {"autodefrag": True, "commit": 60, "flushoncommit": True},
            "autodefrag,commit=60,flushoncommit",
            "flushoncommit,autodefrag,commit=60",
        ),
        ("", {"user_subvol_rm_allowed": True}, "user_subvol_rm_allowed", "user_subvol_rm_allowed"),
    ],
)
def test_options_of_the_filesystem(
    host: World, live: str, declared: dict[str, object], token: str, shown: str
):
    image = host.image("data", live)
    host.fstab(image.line("defaults"))
    host.mounts(image.path, **declared)
    host.apply()
    assert FSTAB.read_text() == image.line(f"defaults,{token}")
    assert set(shown.split(",")) <= set(mountinfo(image.path)[1])
    host.plan(expect=0)


@pytest.mark.parametrize(
    ("live", "declared", "gone"),
    [
        (
            "autodefrag,flushoncommit",
            {"autodefrag": False, "flushoncommit": False},
            ["autodefrag", "flushoncommit"],
        ),
        (
            "discard=async,commit=60",
            {"discard": "no", "commit": 30},
            ["discard=async", "commit=60"],
        ),
    ],
)
def test_options_that_end(host: World, live: str, declared: dict[str, object], gone: list[str]):
    image = host.image("data", live)
    before = ",".join(mountinfo(image.path)[1])
    assert all(word in before for word in gone)
    host.fstab(image.line(f"nofail,{live}"))
    host.mounts(image.path, **declared)
    host.apply()
    left = set(mountinfo(image.path)[1]) | set(FSTAB.read_text().split()[3].split(","))
    assert not left & set(gone)
    host.plan(expect=0)


@pytest.mark.parametrize("declared", [{"user_subvol_rm_allowed": False}, {"autodefrag": False}])
@oracle("mountinfo", "V211")
def test_what_waits_for_a_reboot_does_not_count_as_in_sync(host: World, declared: dict[str, bool]):
    """Nothing switches user_subvol_rm_allowed off: done, and not in effect (R)."""
    live = "user_subvol_rm_allowed,autodefrag"
    image = host.image("data", live)
    host.fstab(image.line(live))
    host.mounts(image.path, **declared)
    waits = "user_subvol_rm_allowed" in declared
    assert ("One option waits for a reboot." in host.plan(expect=2).out) == waits
    host.apply()
    plan, status = host.plan(expect=0), host.vmtune("status")
    assert status.code == host.apply().code == 0
    (name,) = declared
    assert (name in mountinfo(image.path)[1]) == waits
    documents = [json.loads(host.vmtune(name, "--json").out) for name in ("plan", "status")]
    for document in documents:
        assert [row["op"] for row in document["changes"]] == ["R" if waits else "="]
    jsonschema.validate(documents[0], PLAN_SCHEMA)
    if waits:
        for ran in (plan, status):
            assert ran.row(f"R mount {image.path}")
            assert ran.row(
                "user_subvol_rm_allowed stays as it is until the filesystem is mounted again"
            )
            assert "1 waiting for a reboot" in ran.out
        assert "As declared:" not in status.out
        run("umount", image.path)
        run("mount", "-t", "btrfs", "-o", "loop,autodefrag", TOP / "images/data0.img", image.path)
        assert name not in mountinfo(image.path)[1]
    assert "Nothing to do: 1 in sync." in host.plan(expect=0).out
    assert "As declared: 1 in sync." in host.vmtune("status").out


@pytest.mark.parametrize("flags", [("noatime",), ("nodiratime", "nodev", "nosuid", "noexec")])
def test_flags_belong_to_one_mount(host: World, flags: tuple[str, ...]):
    image = host.image("data")
    image.subvolume("other")
    other = image.mount(Path("/media/t/other"), "subvol=other")
    before = mountinfo(other)
    host.fstab(image.line("defaults"))
    host.mounts(image.path, **dict.fromkeys(flags, True))
    host.apply()
    assert set(flags) <= set(mountinfo(image.path)[0])
    assert mountinfo(other) == before
    host.plan(expect=0)
    host.mounts(image.path, **dict.fromkeys(flags, False))
    host.apply()
    assert not set(flags) & set(mountinfo(image.path)[0])
    assert FSTAB.read_text() == image.line("defaults")
    host.plan(expect=0)


def test_noatime_leaves_the_other_flags(host: World):
    image = host.image("data", "nosuid,nodev,nodiratime")
    host.fstab(image.line("nosuid,nodev"))
    host.mounts(image.path, noatime=True)
    host.apply()
    assert {"nosuid", "nodev", "noatime", "nodiratime"} <= set(mountinfo(image.path)[0])


@pytest.mark.parametrize(
    ("images", "existing", "is_said"),
    [
        (0, "keep", True),
        (1, "keep", False),
        (1, "report", False),
        (1, "rewrite", True),
    ],
)
def test_that_nocow_paths_lose_nothing_is_said_only_where_it_is_so(
    host: World, images: int, existing: str, is_said: bool
):
    """V213: compression reaches a copy-on-write file, whatever its directory hands on."""
    image = host.image("data", "compress=zstd")
    host.fstab(image.line("compress=zstd"))
    folder = image.path / "images"
    folder.mkdir()
    for number in range(images):
        (folder / f"{number}.raw").write_bytes(b"text" * 100_000)
    sync()
    run("chattr", "+C", folder)
    host.declare(
        paths=[{"path": str(folder), "nocow": True, "existing": existing}],
        mounts=[{"target": str(image.path), "options": {"compress": "no"}}],
    )
    assert ("V213" in host.plan(expect=2).out) == is_said


def test_other_mounts_and_lines_of_the_filesystem_are_named(host: World):
    image = host.image("data", "compress=zstd")
    image.subvolume("home")
    home = image.mount(Path("/media/t/home"), "subvol=home")
    lines = [
        image.line("defaults,compress=zstd", Path("/")),
        image.line("defaults"),
        image.line("subvol=home,compress=lzo", home),
    ]
    host.fstab("".join(lines))
    host.mounts(image.path, compress="no")
    plan = host.plan(expect=2)
    assert f"{home}: one compression setting for the whole filesystem" in plan.out
    assert "/ (line 1): compress=zstd" in plan.out
    assert f"{home} (line 3): compress=lzo" in plan.out
    assert "zstd:3, decided by /etc/fstab:1, the line of /, not by this line" in plan.out
    assert "V207" in plan.out
    host.apply()
    assert compression(image.path) == compression(home) == []
    assert FSTAB.read_text() == lines[0] + image.line("defaults,compress=no") + lines[2]


def test_a_line_by_device_is_known_to_be_of_the_same_filesystem(host: World):
    image = host.image("data", mkfs=["-L", "vm data"])
    by_label = "LABEL=vm\\040data /elsewhere btrfs compress=zlib 0 0\n"
    by_device = f"{image.device} /further btrfs compress=lzo 0 0\n"
    host.fstab(image.line("defaults") + by_label + by_device)
    host.mounts(image.path, compress="no")
    plan = host.plan(expect=2)
    assert "/elsewhere (line 2): compress=zlib" in plan.out
    assert "/further (line 3): compress=lzo" in plan.out


@oracle("mountinfo", "not mounted; takes effect at the next mount")
def test_a_line_that_is_not_mounted(host: World):
    image = host.image("data")
    run("umount", image.path)
    host.fstab(image.line("noauto,compress=zstd"))
    host.mounts(image.path, compress="no")
    assert "not mounted" in host.plan(expect=2).out
    host.apply()
    assert FSTAB.read_text() == image.line("noauto,compress=no")
    host.plan(expect=0)
    assert not image.path.is_mount()
    options = FSTAB.read_text().split()[3]
    run("mount", "-t", "btrfs", "-o", f"loop,{options}", TOP / "images/data0.img", image.path)
    assert not [word for word in mountinfo(image.path)[1] if word.startswith("compress=zstd")]


@pytest.mark.parametrize("target", ["/", "/media"])
def test_a_line_for_what_is_not_mounted_there_is_not_written(host: World, target: str):
    """Another Btrfs, or none, is at the mount point: nothing may break the boot of this host."""
    image = host.image("data")
    host.fstab(image.line("defaults", Path(target)))
    host.mounts(target, compress="no")
    before = identity(FSTAB)
    if run("stat", "-f", "-c", "%T", target).strip() == "btrfs":
        assert "V208" in host.plan(expect=7).row("mount /")
        host.apply(expect=7)
    else:
        assert "not applicable" in host.plan(expect=0).out
        host.apply()
    assert identity(FSTAB) == before


@pytest.mark.parametrize("case", ["twice", "none", "commented", "unit", "drop-in"])
def test_lines_that_cannot_be_edited_are_refused(host: World, case: str):
    image = host.image("data")
    line = image.line("defaults")
    host.fstab({"twice": line * 2, "none": "", "commented": f"#{line}"}.get(case, line))
    code = {"twice": "V202", "none": "V201", "commented": "V201"}.get(case, "V204")
    if case == "unit":
        Path("/etc/systemd/system/media-t-data.mount").write_text("[Mount]\n")
    if case == "drop-in":
        drop_in = Path("/etc/systemd/system/media-t-data.mount.d/mine.conf")
        drop_in.parent.mkdir()
        drop_in.write_text("[Mount]\nOptions=noatime\n")
    before = identity(FSTAB)
    host.mounts(image.path, compress="no", autodefrag=True)
    assert code in host.apply(expect=7).row(f"! mount {image.path}")
    assert identity(FSTAB) == before
    assert "autodefrag" not in mountinfo(image.path)[1]


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir], ids=["fifo", "directory"])
def test_an_fstab_that_is_no_file_keeps_nobody_waiting(host: World, make: Callable[[Path], None]):
    """A FIFO is opened without waiting for its writer, by every command that asks."""
    image = host.image("data")
    FSTAB.unlink()
    make(FSTAB)
    try:
        host.mounts(image.path, compress="no")
        assert "/etc/fstab: not a regular file" in host.plan(expect=6).row(f"? mount {image.path}")
        host.apply(expect=6)
        assert "/etc/fstab: not a regular file" in host.vmtune("doctor").row("V509")
        assert host.vmtune("init").code == 0
        assert host.vmtune("status").code == 6
    finally:
        FSTAB.rmdir() if FSTAB.is_dir() else FSTAB.unlink()


def test_what_the_kernel_shows_in_other_words_is_no_difference(host: World):
    image = host.image("data", "compress=zstd")
    host.fstab(image.line("defaults,compress=zstd"))
    host.mounts(image.path, compress="zstd")
    host.plan(expect=0)
    host.mounts(image.path, compress="zstd:3")
    host.plan(expect=2)  # fstab's word is another one, the kernel's the same


def test_off_is_shown_as_nothing_and_is_no_difference(host: World):
    image = host.image("data")
    host.fstab(image.line("defaults,compress=no"))
    host.mounts(image.path, compress="no")
    host.plan(expect=0)


def test_live_drift_alone_is_put_right(host: World):
    image = host.image("data", "compress=lzo")
    host.fstab(image.line("defaults,compress=no"))
    before = identity(FSTAB)
    host.mounts(image.path, compress="no")
    host.plan(expect=2)
    host.apply()
    assert compression(image.path) == []
    assert identity(FSTAB) == before


def test_a_second_apply_touches_nothing(host: World):
    image = host.image("data", "compress=zstd")
    host.fstab(image.line("defaults,compress=zstd"))
    host.mounts(image.path, compress="no", noatime=True)
    host.apply()
    before = identity(FSTAB), mountinfo(image.path)
    host.apply()
    assert (identity(FSTAB), mountinfo(image.path)) == before


def test_two_values_for_one_filesystem_are_an_error_that_names_both(host: World):
    image = host.image("data", "compress=zstd")
    image.subvolume("other")
    other = image.mount(Path("/media/t/other"), "subvol=other")
    host.fstab(image.line("defaults") + image.line("subvol=other", other))
    host.declare(
        mounts=[
            {"target": str(image.path), "options": {"compress": "no"}},
            {"target": str(other), "options": {"compress": "lzo"}},
        ]
    )
    before = identity(FSTAB)
    for ran in (host.plan(expect=1), host.apply(expect=1)):
        assert f"{host.file}:3:" in ran.err
        assert f"{host.file}:4:" in ran.err
    assert identity(FSTAB) == before
    assert compression(other) == ["compress=zstd:3"]


_PLAIN = "UUID={uuid} {target} btrfs {options} 0 0\n"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (b"# caf\xe9 \xff of bytes\n\n%s\n\t# end\n", _PLAIN),
        (b"\tproc\t/proc\tproc\tdefaults\t0\t0\t\n%s", _PLAIN.replace(" ", "\t")),
        (b"# no final newline\n%s proc /proc proc", _PLAIN),
        (b"# windows\r\n%s# more\r\n", _PLAIN.replace("\n", "\r\n")),
        (b"%s", 'UUID="{uuid}"   {target}  btrfs    {options}   0  0   # data\n'),
        (b"# four fields\r\n%s", "UUID={uuid} {target} btrfs {options}\r\n"),
        (b"# long\n" + b"#\n" * 5000 + b"%s", "  " + _PLAIN),
        (
            b"share /mnt/host virtiofs nofail 0 0\nC:\\134Users /mnt/c drvfs uid=1000 0 0\r\n%s",
            _PLAIN,
        ),
        (b"10.0.0.5,10.0.0.6:/ /mnt/ceph ceph noauto,name=vm\n\n\x0c\n%s<<<<<<< HEAD\n", _PLAIN),
        (b"UUID=\"a-b\" /with\\040blank ext4 ro,user='x' 0 2 # comment\n%s", _PLAIN),
    ],
)
def test_every_other_byte_stays(host: World, text: bytes, line: str):
    """Line ends, tabs, encodings and a missing last newline are nobody's business."""
    image = host.image("data")

    def filled(options: str) -> bytes:
        whole = line.format(uuid=image.uuid, target=image.path, options=options)
        return text.replace(b"%s", whole.encode())

    host.fstab(filled("defaults,compress=zstd,nofail"))
    host.mounts(image.path, compress="no")
    # Debian 13's own findmnt dies of one of these texts: then nothing is called verified.
    dies = subprocess.run(["findmnt", "--verify"], check=False, capture_output=True).returncode < 0
    host.apply(expect=6 if dies else 0)
    assert FSTAB.read_bytes() == filled("defaults,compress=no,nofail")


def test_without_a_final_newline(host: World):
    image = host.image("data")
    host.fstab(image.line("compress=zstd").rstrip("\n"))
    host.mounts(image.path, compress="no")
    host.apply()
    assert FSTAB.read_text() == image.line("compress=no").rstrip("\n")


def test_a_line_without_options_gets_a_field(host: World):
    image = host.image("data")
    host.fstab(f"UUID={image.uuid} {image.path} btrfs\n")
    host.mounts(image.path, compress="no")
    host.apply()
    shown = run("findmnt", "--fstab", "-no", "OPTIONS", image.path).strip().split(",")
    assert "compress=no" in shown
    host.plan(expect=0)


def test_owner_mode_attributes_and_acl_of_fstab_stay(host: World):
    image = host.image("data")
    host.fstab(image.line("compress=zstd"))
    os.chown(FSTAB, 0, 4)
    FSTAB.chmod(0o640)
    os.setxattr(FSTAB, "trusted.note", b"kept")
    run("setfacl", "-m", "u:61000:r", FSTAB)
    acl = run("getfacl", "-n", FSTAB)
    host.mounts(image.path, compress="no")
    host.apply()
    status = FSTAB.stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (0, 4, 0o640)
    assert run("getfattr", "--only-values", "-n", "trusted.note", FSTAB).endswith("kept")
    assert run("getfacl", "-n", FSTAB) == acl
    assert "user:61000:r--" in acl
    assert b"compress=no" in FSTAB.read_bytes()


def test_a_link_to_the_real_file_stays_a_link(host: World):
    image = host.image("data")
    real = host.area / "fstab"
    real.write_text(image.line("compress=zstd"))
    FSTAB.unlink()
    FSTAB.symlink_to(real)
    host.mounts(image.path, compress="no")
    host.apply()
    assert FSTAB.is_symlink()
    assert real.read_text() == image.line("compress=no")


@pytest.mark.parametrize(
    ("path", "read_only", "said"),
    [(FSTAB, False, "is a mount point"), (Path("/etc"), True, "read-only filesystem")],
)
def test_a_target_that_cannot_be_replaced(host: World, path: Path, read_only: bool, said: str):
    """As in containers: fstab bound from outside (EBUSY), or all of /etc read-only (EROFS)."""
    image = host.image("data", "compress=zstd")
    host.fstab(image.line("compress=zstd"))
    host.bind(path, read_only=read_only)
    host.mounts(image.path, compress="no")
    assert_untouched(host, image, said)


@pytest.mark.parametrize(
    ("flag", "name", "said"),
    [
        ("i", "fstab", "immutable"),
        ("a", "fstab", "append-only"),
        ("i", ".", "immutable"),
        ("", "fstab", "a hard link"),
    ],
)
def test_a_link_to_what_cannot_be_replaced(host: World, flag: str, name: str, said: str):
    """What chattr(1) fixed (EPERM), and what would be split from its other name."""
    image = host.image("data", "compress=zstd")
    real = host.area / "fstab"
    real.write_text(image.line("compress=zstd"))
    FSTAB.unlink()
    FSTAB.symlink_to(real)
    host.mounts(image.path, compress="no")
    if not flag:
        (host.area / "other").hardlink_to(real)
        assert_untouched(host, image, said)
        return
    run("chattr", f"+{flag}", host.area / name)
    try:
        assert_untouched(host, image, said)
    finally:
        run("chattr", f"-{flag}", host.area / name)


def assert_untouched(host: World, image: Image, said: str) -> None:
    """The next boot would undo what was changed live only."""
    before = identity(FSTAB), sorted(os.listdir("/etc")), mountinfo(image.path)
    for ran in (host.plan(expect=7), host.apply(expect=7)):
        row = ran.row(f"! mount {image.path}")
        assert "V210" in row
        assert said in row
    assert (identity(FSTAB), sorted(os.listdir("/etc")), mountinfo(image.path)) == before


def test_a_line_that_is_added_meanwhile_is_not_lost(host: World):
    """Somebody saves in an editor while vmtune is at it."""
    image = host.image("data")
    host.fstab(image.line("compress=zstd"))
    host.mounts(image.path, compress="no")
    slowly = ("strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync")
    slowly = (*slowly, "-e", "inject=fsync:delay_enter=500000")
    with host.start("apply", "--yes", under=slowly) as process:
        until("its temporary file", lambda: [*FSTAB.parent.glob(".fstab.*.vmtune")])
        with FSTAB.open("a") as file:
            file.write("# mine\n")
        _, err = process.communicate(timeout=patience.SECONDS)
    assert process.returncode == 3, err
    assert "nothing was written" in err
    assert FSTAB.read_text() == image.line("compress=zstd") + "# mine\n"
    assert [*FSTAB.parent.glob(".fstab.*.vmtune")] == []
    host.apply()
    assert FSTAB.read_text() == image.line("compress=no") + "# mine\n"


_SWITCHES = [name for name in OPTIONS if OPTIONS[name].get("type") == "boolean"]


@pytest.mark.parametrize("name", _SWITCHES)
def test_every_switch_converges_live_and_when_mounted_afresh(host: World, name: str):
    image = host.image("data")
    host.fstab(image.line("defaults"))
    for value in (True, False, True):
        host.mounts(image.path, **{name: value})
        host.apply()
        host.plan(expect=0)
        run("umount", image.path)
        options = FSTAB.read_text().split()[3]
        disk = TOP / "images" / "data0.img"
        run("mount", "-t", "btrfs", "-o", f"loop,{options}", disk, image.path)
        host.plan(expect=0)


@pytest.mark.parametrize("before", ["strictatime", "noatime", "relatime"])
def test_the_access_times_of_before_come_back(host: World, before: str):
    """Of the three, strictatime is shown as nothing."""
    image = host.image("data", before)
    shown = mountinfo(image.path)
    host.fstab(image.line(before))
    other = "noatime" if before != "noatime" else "relatime"
    host.mounts(image.path, **{other: True})
    host.apply()
    assert other in mountinfo(image.path)[0]
    ran = host.vmtune("revert", "--yes")
    assert ran.code == 0, ran
    assert mountinfo(image.path) == shown
    assert FSTAB.read_text() == image.line(before)


def test_the_file_before_is_kept(host: World):
    image = host.image("data")
    host.fstab(image.line("compress=zstd"))
    host.mounts(image.path, compress="no")
    host.apply()
    copies = [p for p in Path("/var/lib/vmtune").rglob("*") if p.is_file()]
    kept = [p for p in copies if p.read_bytes() == image.line("compress=zstd").encode()]
    assert [stat.S_IMODE(p.stat().st_mode) for p in kept] == [0o600]


def test_other_filesystems_are_no_failure(host: World):
    target = Path("/media/t/tmpfs")
    target.mkdir()
    run("mount", "-t", "tmpfs", "tmpfs", target)
    host.fstab(f"tmpfs {target} tmpfs size=1M 0 0\n")
    before = identity(FSTAB)
    host.mounts(target, compress="no")
    assert "tmpfs" in host.plan(expect=0).row("not applicable:")
    host.apply()
    assert identity(FSTAB) == before


def test_a_mount_point_with_a_blank(host: World):
    image = host.image("data", "compress=zstd")
    image.subvolume("other")
    other = image.mount(Path("/media/t/my data"), "subvol=other")
    line = image.line("{}").replace(str(image.path), "/media/t/my\\040data")
    host.fstab(line.format("subvol=other,compress=zstd"))
    host.mounts(other, compress="no")
    host.apply()
    assert FSTAB.read_text() == line.format("subvol=other,compress=no")
    assert compression(image.path) == []
    host.plan(expect=0)


def test_drop_ins_that_set_no_options_are_in_nobodys_way(host: World):
    """Nor is one that another of its name hides (systemd.unit(5))."""
    image = host.image("data", "compress=zstd")
    host.fstab(image.line("defaults"))
    # An empty /run/systemd/system would say that systemd is running.
    run_ = Path("/run/systemd/system.control/media-t-.mount.d")
    etc = Path("/etc/systemd/system/media-t-data.mount.d")
    for folder in (etc, run_):
        folder.mkdir(parents=True)
    (etc / "a.conf").write_text("[Mount]\n#Options=noatime\nTimeoutSec=9\n")
    (etc / "b.conf").symlink_to("/dev/null")
    (run_ / "b.conf").write_text("[Mount]\nOptions=noatime\n")
    host.mounts(image.path, compress="no")
    assert "V204" not in host.plan(expect=2).out
    (run_ / "c.conf").write_text("[Mount]\n Options = noatime\n")
    assert f"{run_}/c.conf" in host.plan(expect=7).row(f"! mount {image.path}")


def test_a_mount_point_that_is_a_link(host: World):
    image = host.image("data", "compress=zstd")
    link = image.path.parent / "link"
    link.symlink_to(image.path)
    host.fstab(image.line("defaults", link))
    host.mounts(link, compress="no")
    host.apply()
    assert FSTAB.read_text() == image.line("defaults,compress=no", link)
    assert compression(image.path) == []
    host.plan(expect=0)


def test_names_of_subvolumes_are_no_options(host: World):
    """The kernel shows the name of today, with a comma escaped and a quote as it is."""
    image = host.image("data", "compress=zstd")
    image.subvolume("plain")
    place = image.mount(Path("/media/t/named"), "subvol=plain")
    number = run("btrfs", "inspect-internal", "rootid", place).strip()
    (image.path / "plain").rename(image.path / 'c",compress=lzo')
    host.fstab(image.line(f"subvolid={number}", place))
    host.mounts(place, compress="zstd:3")
    host.apply()
    host.plan(expect=0)
    host.mounts(place, compress="no")
    host.apply()
    assert compression(image.path) == []


def test_a_line_of_another_filesystem_than_the_mounted_one(host: World):
    image, other = host.image("data"), host.image("other")
    host.fstab(other.line("defaults", image.path))
    before = identity(FSTAB)
    host.mounts(image.path, compress="zstd")
    assert "V208" in host.apply(expect=7).row(f"! mount {image.path}")
    assert identity(FSTAB) == before
    assert compression(image.path) == []
