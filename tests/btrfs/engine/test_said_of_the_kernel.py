"""What plan, status and doctor say of the kernel, done by the kernel, without vmtune.

Each test names the sentences that it holds and who judges (``tests/oracles.py``).
"""

import ctypes
import errno
import itertools
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.btrfs.outside import attributes, fragments, is_nocow, mountinfo, run, sync
from tests.btrfs.sandbox import TOP
from tests.btrfs.world import Image, World, until
from tests.oracles import oracle

_libc = ctypes.CDLL(None, use_errno=True)
_EXCHANGE = 2


@pytest.fixture
def image(host: World) -> Image:
    return host.image("data")


def exchange(one: Path, other: Path) -> None:
    """renameat2(2), RENAME_EXCHANGE: how a rewritten image takes its place."""
    here = -100
    assert not _libc.renameat2(here, bytes(one), here, bytes(other), _EXCHANGE), ctypes.get_errno()


def mount(image: Image, options: str) -> None:
    """Mount the disk afresh."""
    if image.path.is_mount():
        run("umount", image.path)
    disk = TOP / "images" / "data0.img"
    run("mount", "-t", "btrfs", "-o", f"loop,{options}".strip(","), disk, image.path)


def refused(what: Callable[[], object]) -> str:
    """The name of the error with which the kernel refuses something; "" where it does not."""
    try:
        what()
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return ""


# --- what goes by the inode, and not by the name


@oracle(
    "stat",
    "V607",
    "V613",
    "V615",
    "V702: in use by",
    "V703",
    "V713",
    "no data is copied; no program may use the files meanwhile",
)
def test_who_has_the_inode_goes_on_with_the_old_one(host: World):
    """An open file, a second name, a working directory, a bind mount of the file and around it."""
    old, new, elsewhere = (host.area / name for name in ("old", "new", "elsewhere"))
    for folder, content in ((old, b"old"), (new, b"new"), (elsewhere, b"")):
        folder.mkdir()
        (folder / "vm.raw").write_bytes(content)
    link, view = host.area / "link.raw", host.area / "view"
    os.link(old / "vm.raw", link)
    view.mkdir()
    run("mount", "--bind", old / "vm.raw", elsewhere / "vm.raw")
    run("mount", "--bind", old, view)
    inside = subprocess.Popen(["sh", "-c", "read _; cat vm.raw"], cwd=old, stdin=-1, stdout=-1)
    with open(old / "vm.raw", "rb+") as held:
        exchange(old / "vm.raw", new / "vm.raw")
        assert (old / "vm.raw").read_bytes() == b"new"
        held.write(b"OLD")
    assert link.read_bytes() == (elsewhere / "vm.raw").read_bytes() == b"OLD"
    assert (view / "vm.raw").read_bytes() == b"new", "a mount of the directory shows the new file"
    exchange(old, new)
    assert (view / "vm.raw").read_bytes() == b"new"
    assert (old / "vm.raw").read_bytes() == b"OLD"
    assert inside.communicate(b"\n")[0] == b"new", "its directory has another name by now"
    for mounted in (view, elsewhere / "vm.raw"):
        run("umount", mounted)


@oracle(
    "errno",
    "V411: is on a read-only mount or subvolume",
    "V411: {} {}",
    "V606",
    "V609",
    "V618",
    "V619",
    "V704: it is {}",
)
def test_what_cannot_be_moved_linked_or_shared(host: World, image: Image):
    """EXDEV into another subvolume, EPERM with i or a, EROFS where it is read-only."""
    run("btrfs", "subvolume", "create", sub := host.area / "sub")
    file = host.area / "vm.raw"
    file.write_bytes(b"x" * 9000)
    assert refused(lambda: os.link(file, sub / "vm.raw")) == "EXDEV"
    for letter in "ia":
        run("chattr", f"+{letter}", file)
        assert refused(lambda: file.rename(host.area / "other.raw")) == "EPERM"
        assert refused(lambda: file.write_bytes(b"")) == "EPERM"
        run("chattr", f"-{letter}", file)
    run("btrfs", "property", "set", sub, "ro", "true")
    assert refused((sub / "made").mkdir) == "EROFS"
    with pytest.raises(AssertionError, match="Read-only file system"):
        run("chattr", "+C", sub)
    run("btrfs", "property", "set", sub, "ro", "false")
    mount(image, "nodatasum")
    (image.path / "plain.raw").write_bytes(os.urandom(9000))
    mount(image, "")
    assert not attributes(image.path / "plain.raw"), "no attribute shows it"
    with pytest.raises(AssertionError, match="Invalid argument"):
        run("cp", "--reflink=always", image.path / "plain.raw", image.path / "copy.raw")


# --- what snapshots hold, and what is inherited


@oracle(
    "stat",
    "V114: a snapshot or a rollback left it where a subvolume was",
    "V519",
    "V535",
    "V604",
    "V605",
    "V621",
    "snapshots of the subvolume around it will leave it out",
    "snapshots of the subvolume around it leave it out",
)
def test_a_rollback_leaves_a_subvolume_behind(image: Image):
    """An empty stub is in its place, in which nothing can be made; at the top level it stays."""
    root = image.subvolume("@")
    for name in ("@/vm", "@vms"):
        (image.subvolume(name) / "a.raw").write_bytes(b"image")
    (root / "plain").mkdir()
    (root / "plain" / "a.raw").write_bytes(b"image")
    run("btrfs", "subvolume", "snapshot", root, image.path / "before")
    root.rename(image.path / "@_bad")
    (image.path / "before").rename(root)
    assert list((root / "vm").iterdir()) == []
    assert refused((root / "vm" / "new").mkdir) in {"EPERM", "EACCES"}
    assert (root / "plain" / "a.raw").read_bytes() == b"image"
    assert (image.path / "@_bad" / "vm" / "a.raw").read_bytes() == b"image"
    assert (image.path / "@vms" / "a.raw").read_bytes() == b"image"


@oracle(
    "lsattr",
    "V106",
    "V514: copy-on-write in a nocow directory: older than it, or restored",
    "V803",
    "V624: a directory made here would inherit",
    "V808",
)
def test_what_hands_its_attributes_on(image: Image):
    """To a file and a directory; to a subvolume only the property of the subvolume around it."""
    top = image.subvolume("top")
    run("btrfs", "property", "set", top, "compression", "zstd")
    (top / "lzo").mkdir()
    run("btrfs", "property", "set", top / "lzo", "compression", "lzo")
    (image.path / "plain").mkdir()
    run("btrfs", "property", "set", image.path / "plain", "compression", "lzo")
    for name in ("top/lzo/in", "plain/in"):
        image.subvolume(name)
    shown = {name: _property(image.path / name) for name in ("top/lzo/in", "plain/in", "top/lzo")}
    assert shown == {"top/lzo/in": "zstd", "plain/in": "", "top/lzo": "lzo"}
    nocow = image.subvolume("nocow")
    run("chattr", "+C", nocow)
    image.subvolume("nocow/in")
    (nocow / "made").write_bytes(b"x" * 9000)
    assert is_nocow(nocow / "made")
    assert not is_nocow(nocow / "in")
    run("btrfs", "property", "set", "-ts", nocow, "ro", "true")
    stream, there = image.path / "stream", image.path / "there"
    run("btrfs", "send", "-q", "-f", stream, nocow)
    there.mkdir()
    run("chattr", "+C", there)
    run("btrfs", "receive", "-q", "-f", stream, there)
    assert (there / "nocow" / "made").read_bytes() == b"x" * 9000
    assert not is_nocow(there / "nocow" / "made"), "receive brings it copy-on-write"


def _property(path: Path) -> str:
    """The compression property that btrfs(8) shows."""
    shown = run("btrfs", "property", "get", path).splitlines()
    return next((line.partition("=")[2] for line in shown if line.startswith("compression=")), "")


# --- what is written in place


IN_PLACE = "nocow only as long as the filesystem is mounted nodatacow"


@oracle(
    "lsattr",
    "copy-on-write",
    "new files are nocow all the same: the filesystem is mounted nodatacow",
    "V106",
    "V624: a directory made here would inherit",
)
def test_where_the_mount_decides_that_files_are_nocow(host: World):
    """Also in a directory that is not nocow, and so hands nothing on."""
    image = host.image("data", "nodatacow")
    plain, nocow = image.path / "plain", image.path / "nocow"
    for folder in (plain, nocow, nocow / "deep"):
        folder.mkdir()
    run("chattr", "+C", nocow / "deep")
    image.subvolume("nocow/deep/in")
    host.declare(
        paths=[
            {"path": str(plain), "nocow": False},
            {"path": str(nocow / "deep"), "nocow": True},
            {"path": str(nocow / "deep" / "made"), "subvolume": True},
        ]
    )
    told = {"in": f"new files in it are {IN_PLACE}", "made": f"its files will be {IN_PLACE}"}
    told["plain"] = "new files are nocow all the same: the filesystem is mounted nodatacow"
    for options, words in {
        "nodatacow": told,
        "datacow": {
            "plain": f"= nocow {plain} copy-on-write",
            "in": "new files in it are copy-on-write",
            "made": "its files will be copy-on-write",
        },
    }.items():
        run("mount", "-o", f"remount,{options}", image.path)
        shown = " ".join(host.plan(expect=2).out.split())
        assert [word for word in words.values() if word not in shown] == []
        image.subvolume("nocow/deep/made")
        for folder in (plain, nocow / "deep" / "in", nocow / "deep" / "made"):
            (folder / options).write_bytes(b"x")
            assert is_nocow(folder / options) == (options == "nodatacow")
        run("btrfs", "subvolume", "delete", nocow / "deep" / "made")


@oracle(
    "filefrag",
    "V103: After a snapshot the first write to a block copies it",
    "V507",
    "V309",
    "new files are written in place",
)
def test_a_snapshot_has_nocow_blocks_copied_once(host: World):
    """And without one they stay where they are, whatever is written or defragmented."""
    run("chattr", "+C", host.area)
    file = host.area / "vm.raw"
    file.write_bytes(os.urandom(4 << 20))
    sync()
    before = _blocks(file)
    _scatter(file)
    run("btrfs", "filesystem", "defragment", "-f", file)
    assert _blocks(file) == before
    run("btrfs", "subvolume", "snapshot", host.area, host.area / "snapshot")
    _scatter(file)
    scattered = _blocks(file)
    assert fragments(file) > 50
    _scatter(file)
    assert _blocks(file) == scattered, "each block is copied at its first write"


def _blocks(file: Path) -> list[str]:
    """Where filefrag says that it lies."""
    rows = run("filefrag", "-v", file).splitlines()
    return [row.split(":")[2].strip() for row in rows if row.strip()[:1].isdigit()]


def _scatter(file: Path) -> None:
    """Write 64 blocks that are no neighbours, each on disk before the next."""
    with open(file, "rb+", buffering=0) as disk:
        for block in range(0, 1024, 16):
            os.pwrite(disk.fileno(), os.urandom(4096), block * 4096)
            os.fdatasync(disk.fileno())


@oracle("errno", "V508: {} of {} free")
def test_on_a_full_disk_only_what_is_in_place_can_be_written(host: World):
    image = host.image("data")
    for name in ("cow", "nocow"):
        (image.path / name).mkdir()
    run("chattr", "+C", image.path / "nocow")
    files = {name: image.path / name / "vm.raw" for name in ("cow", "nocow")}
    for file in files.values():
        file.write_bytes(os.urandom(4 << 20))
    sync()
    with open(image.path / "filler", "wb", buffering=0) as filler:
        for size in (1 << 20, 4096):
            assert refused(lambda: _without_end(filler.fileno(), bytes(size))) == "ENOSPC"  # noqa: B023
    assert refused(lambda: _scatter(files["cow"])) == "ENOSPC"
    assert refused(lambda: _scatter(files["nocow"])) == ""


def _without_end(descriptor: int, block: bytes) -> None:
    while True:
        os.write(descriptor, block)


@oracle("filefrag", "V308")
def test_defragment_r_enters_no_subvolume(image: Image):
    for name in ("vm", "vm/in"):
        file = image.subvolume(name) / "vm.raw"
        for block in range(0, 64, 2):
            with open(file, "rb+" if block else "wb", buffering=0) as disk:
                disk.seek(block * 4096)
                disk.write(os.urandom(4096))
                os.fdatasync(disk.fileno())
        _fill(file)
    outer, inner = (image.path / name / "vm.raw" for name in ("vm", "vm/in"))
    before = fragments(outer), fragments(inner)
    run("btrfs", "filesystem", "defragment", "-r", "-f", image.path / "vm")
    sync()
    assert fragments(outer) < before[0]
    assert fragments(inner) == before[1]


def _fill(file: Path) -> None:
    """Write what is between the blocks that are there."""
    with open(file, "rb+", buffering=0) as disk:
        for block in range(1, 64, 2):
            os.pwrite(disk.fileno(), os.urandom(4096), block * 4096)
            os.fdatasync(disk.fileno())


# --- mount options


@oracle("mountinfo", "V108", "V209", "V211", "V205", "V206", "V515")
def test_what_a_remount_and_a_bind_mount_do(image: Image):
    """No word ends user_subvol_rm_allowed, nor brings back what neither ssd nor nossd is."""
    device = image.device

    def remounted(options: str) -> bool:
        argv = ["mount", "-o", f"remount,{options}", device, image.path]
        return not subprocess.run(argv, check=False, stderr=subprocess.DEVNULL).returncode

    assert remounted("user_subvol_rm_allowed,ssd")
    assert not remounted("nouser_subvol_rm_allowed")
    assert remounted("nossd")
    assert {"user_subvol_rm_allowed", "nossd"} <= set(mountinfo(image.path)[1])
    bound = TOP / "t" / "bound"
    bound.mkdir()
    (bound / "made before").touch()
    run("mount", "--bind", "-o", "compress=zstd", image.path, bound)
    assert not (bound / "made before").exists(), "it is hidden under the mount"
    assert not any(word.startswith("compress") for word in mountinfo(bound)[1])
    run("umount", bound)
    assert remounted("ro")
    assert not remounted("rw,compress=wrong"), "as systemd-remount-fs(8) does with the line of /"
    assert mountinfo(image.path)[0][0] == "ro"
    assert remounted("rw,compress=zstd")
    assert mountinfo(image.path)[0][0] == "rw"


@oracle("filefrag", "V223", "V513")
def test_autodefrag_writes_small_writes_anew(image: Image):
    """In the background, after each commit: there are fewer fragments than were written."""
    file, numbers = image.path / "vm.raw", itertools.count()
    mount(image, "commit=1")
    file.write_bytes(os.urandom(2 << 20))

    def left() -> int:
        """Fragments after small writes and two commits."""
        with open(file, "rb+", buffering=0) as disk:
            for block in range(next(numbers) % 8, 512, 8):
                os.pwrite(disk.fileno(), os.urandom(4096), block * 4096)
                os.fsync(disk.fileno())
        for _ in range(2):
            run("btrfs", "filesystem", "sync", image.path)
        return fragments(file)

    once, twice = left(), left()
    assert 100 < once < twice
    mount(image, "autodefrag,commit=1")
    until("autodefrag has been at it", lambda: left() < once)


@oracle("backing file", "V224", "V522")
def test_sync_discard_discards_within_the_commit(image: Image):
    """What is freed is gone from the disk once the commit is over, and not before it."""
    disk = TOP / "images" / "data0.img"
    gone = {}
    for how in ("sync", "async"):
        mount(image, f"discard={how}")
        (image.path / "data").write_bytes(os.urandom(40 << 20))
        run("sync", "-f", image.path)
        before = disk.stat().st_blocks
        (image.path / "data").unlink()
        assert disk.stat().st_blocks >= before
        run("sync", "-f", image.path)
        gone[how] = (before - disk.stat().st_blocks) * 512
    assert gone["sync"] > 30 << 20 > gone["async"]


@oracle("filefrag", "V225", "V523")
def test_flushoncommit_and_the_time_between_commits(image: Image):
    """A commit leaves what nobody synced in memory (delalloc), but for flushoncommit."""
    image.subvolume("s")
    for option in ("noflushoncommit", "flushoncommit"):
        mount(image, f"commit=300,{option}")
        # Whoever calls sync(2) on this machine writes it as well.
        found = any(_is_left(image, f"{option}-{number}") for number in range(5))
        assert found == (option == "noflushoncommit")
    mount(image, "commit=1")
    before = _generation(image)
    (image.path / "new").mkdir()
    until("a commit by itself", lambda: _generation(image) > before)


def _is_left(image: Image, name: str) -> bool:
    """Whether data that nobody synced is in memory alone after a commit."""
    new, before = image.path / f"{name}.raw", _generation(image)
    new.write_bytes(os.urandom(1 << 20))
    run("btrfs", "subvolume", "snapshot", image.path / "s", image.path / name)
    assert _generation(image) > before, "a snapshot is a commit"
    return "delalloc" in run("filefrag", "-v", new)


def _generation(image: Image) -> int:
    """The last commit that is on the disk."""
    device = run("findmnt", "-no", "SOURCE", image.path).strip()
    shown = run("btrfs", "inspect-internal", "dump-super", device).splitlines()
    return next(int(line.split()[1]) for line in shown if line.startswith("generation"))


# --- who reads /etc/fstab


@oracle("mount(8)", "V202", "V203")
def test_two_lines_for_one_mount_point(host: World, image: Image):
    """To systemd and ``mount TARGET`` the first counts; ``mount -a`` tries each."""
    for name in ("one", "two"):
        image.subvolume(name)
    target, other, table = TOP / "t" / "twice", host.image("other"), host.area / "fstab"
    target.mkdir()
    first = f"{image.device} {target} btrfs subvol=one 0 0\n"
    table.write_text(first + f"{image.device} {target} btrfs subvol=two 0 0\n")
    assert _mounted("mount", "--fstab", table, target) == ["/one"]
    version = re.findall(r"\d+", run("mount", "--version"))
    is_over = [*map(int, version[:2])] >= [2, 39]  # by move_mount(2), which refuses less
    both = ["/one", "/two"] if is_over else ["/one"]
    assert _mounted("mount", "--all", "--fstab", table) == both
    table.write_text(first + f"{other.device} {target} btrfs defaults 0 0\n")
    assert _mounted("mount", "--fstab", table, target) == ["/one"]
    assert _mounted("mount", "--all", "--fstab", table) == ["/one", "/"], "one over the other"
    assert _generated(table, target, host.area / "units") == "subvol=one"
    table.write_text(f"{image.device} {target} btrfs subvol=one, noatime 0 0\n")
    with pytest.raises(AssertionError, match="parse error"):
        run("findmnt", "--verify", "--tab-file", table)


def _mounted(*argv: str | Path) -> list[str]:
    """What of its filesystems a command mounted at a mount point that nothing was at."""
    target = str(TOP / "t" / "twice")
    subprocess.run(argv, check=False, stderr=subprocess.DEVNULL)
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        rows = [row.split()[3] for row in file if row.split()[4] == target]
    for _ in rows:
        run("umount", target)
    return rows


def _generated(table: Path, target: Path, units: Path) -> str:
    """The options of the mount unit that systemd makes of a table."""
    generator = "/usr/lib/systemd/system-generators/systemd-fstab-generator"
    for name in ("n", "e", "l"):
        (units / name).mkdir(parents=True)
    env = {**os.environ, "SYSTEMD_FSTAB": str(table), "SYSTEMD_IN_INITRD": "0"}
    # It names the second line as a mistake, and goes on.
    subprocess.run([generator, *(units / name for name in "nel")], env=env, check=False, stderr=-3)
    name = run("systemd-escape", "--path", "--suffix=mount", target).strip()
    text = (units / "n" / name).read_text()
    return next(line[8:] for line in text.splitlines() if line.startswith("Options="))


# --- quotas


@oracle("errno", "V518", "V717")
def test_a_limit_of_a_qgroup_ends_a_write(image: Image):
    sub = image.subvolume("s")
    run("btrfs", "quota", "enable", image.path)
    run("btrfs", "quota", "rescan", "-w", image.path)
    run("btrfs", "qgroup", "limit", "4M", sub)
    with open(sub / "vm.raw", "wb", buffering=0) as disk:
        said = refused(lambda: _without_end(disk.fileno(), os.urandom(1 << 20)))
    assert said == "EDQUOT"
    assert os.statvfs(sub).f_bavail * 4096 > 100 << 20
