"""Filesystems that are not whole: nothing is made nocow there, and no image is moved."""

import contextlib
import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.btrfs.outside import is_nocow, mountinfo, run
from tests.btrfs.sandbox import TOP
from tests.btrfs.world import NOBODY, World, until
from tests.oracles import oracle

SIZE = 300 << 20

# Exit codes where all rows that are left are refused: of a plan, and of an apply.
REFUSED, LEFT = 7, 7


@dataclass
class Disks:
    """A Btrfs of several disks at ``path``: ``devices`` by their ids, from 1."""

    path: Path
    files: list[Path]
    devices: list[str]

    @property
    def images(self) -> Path:
        return self.path / "vm"

    @property
    def sysfs(self) -> Path:
        uuid = run("findmnt", "-no", "UUID", self.path).strip()
        return Path("/sys/fs/btrfs") / uuid

    def mount(self, options: str = "") -> None:
        there = [f"device={device}" for device in self.devices if device]
        first = next(device for device in self.devices if device)
        run(
            "mount",
            "-t",
            "btrfs",
            "-o",
            ",".join([*there, *[options] * bool(options)]),
            first,
            self.path,
        )

    def unmount(self) -> None:
        run("umount", self.path)

    def lose(self, number: int) -> None:
        """Take one away; nobody remembers it then."""
        device, self.devices[number - 1] = self.devices[number - 1], ""
        run("btrfs", "device", "scan", "--forget", device)
        run("losetup", "--detach", device)

    def bring_back(self, number: int) -> None:
        self.devices[number - 1] = attached(self.files[number - 1])


def attached(file: Path) -> str:
    return run("losetup", "--find", "--show", file).strip()


@contextlib.contextmanager
def disks(count: int, *mkfs: str) -> Iterator[Disks]:
    files = [TOP / "images" / f"disk{number}.img" for number in range(1, count + 1)]
    for file in files:
        with open(file, "wb") as new:
            new.truncate(SIZE)
    found = Disks(TOP / "t" / "raid", files, [attached(file) for file in files])
    found.path.mkdir()
    try:
        run("mkfs.btrfs", "-q", "-f", *mkfs, *found.devices)
        found.mount()
        found.images.mkdir()
        for name in ("a.raw", "b.raw"):
            (found.images / name).write_bytes(os.urandom(1 << 20))
        run("sync", "-f", found.path)
        yield found
    finally:
        subprocess.run(["umount", found.path], check=False, stderr=subprocess.DEVNULL)
        for device in filter(None, found.devices):
            run("losetup", "--detach", device)
        for file in files:
            file.unlink()


@pytest.fixture
def raid1(host: World) -> Iterator[Disks]:
    del host
    with disks(2, "-d", "raid1", "-m", "raid1") as found:
        yield found


def content(images: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in images.iterdir()}


def refused(host: World, of: Disks, code: str, **entry: object) -> str:
    """By the plan and by apply, whatever is allowed; nothing is changed. Returns the plan's row."""
    before = content(of.images)
    risks = {"allow": ["raid", "snapshots", "rewrite-images"], **entry}
    host.declare(paths=[{"path": str(of.images), **risks}])
    kind = "compression" if "compression" in entry else "nocow"
    row = host.plan(expect=REFUSED).row(f"! {kind} ")
    assert code in row
    host.apply(expect=LEFT)
    inodes = {of.images, *of.images.iterdir()}
    assert not any(map(is_nocow, inodes))
    assert content(of.images) == before
    return row


def health(host: World, code: str, *, expect: int) -> list[str]:
    ran = host.vmtune("doctor", "--json")
    assert ran.code == expect, ran
    return [row["health"] for row in json.loads(ran.out)["rows"] if row["code"] == code]


@pytest.mark.parametrize("mkfs", [(2, "raid1"), (3, "raid1c3"), (2, "single")], ids=str)
def test_a_device_is_missing(host: World, mkfs: tuple[int, str]):
    count, profile = mkfs
    with disks(count, "-d", profile, "-m", "raid1c3" if count == 3 else "raid1") as of:
        away = _not_needed(of) if profile == "single" else 2
        of.unmount()
        of.lose(away)
        of.mount("degraded")
        row = refused(host, of, "V111", nocow=True, existing="rewrite", subvolume=True)
        assert f"1 of the {count} devices" in row
        assert ("old copy" in row) == (profile != "single")
        assert host.plan(expect=REFUSED, user=NOBODY).row("! nocow ") == row, "seen by all"
        assert health(host, "V516", expect=1) == ["fail"]


def _not_needed(of: Disks) -> int:
    """A disk without data that is kept once: without the other one nothing can be mounted rw."""
    used = run("btrfs", "device", "usage", "-b", of.path).split("ID: ")[1:]
    return next(int(text.split()[0]) for text in used if "Data,single" not in text)


def test_what_else_moves_data(host: World, raid1: Disks):
    """Uncompressed images, a new subvolume, defragmenting now and by a schedule."""
    raid1.unmount()
    raid1.lose(2)
    raid1.mount("degraded")
    path = str(raid1.images)
    host.declare(
        paths=[{"path": path, "subvolume": True}], defrag=[{"path": path, "schedule": "@daily"}]
    )
    shown = host.plan(expect=REFUSED)
    assert "V111" in shown.row("! subvolume ")
    assert "V111" in shown.row("! defrag ")
    ran = host.vmtune("defrag", path)
    assert ran.code == 1
    assert "is missing" in ran.err
    host.declare(paths=[{"path": path, "nocow": False}])
    host.plan()


def test_a_device_is_back(host: World, raid1: Disks):
    """None is missing then, but it holds what it held when it went."""
    raid1.unmount()
    raid1.lose(2)
    raid1.mount("degraded")
    (raid1.images / "c.raw").write_bytes(os.urandom(1 << 20))
    run("sync", "-f", raid1.path)
    raid1.bring_back(2)
    run("btrfs", "device", "scan", raid1.devices[1])
    assert (raid1.sysfs / "devinfo/2/missing").read_text() == "0\n"
    assert "`degraded`" in refused(host, raid1, "V111", nocow=True)
    raid1.unmount()
    raid1.mount()
    run("btrfs", "scrub", "start", "-B", raid1.path)
    host.nocow(raid1.images, allow=["raid"])
    host.apply(expect=LEFT)  # what has data stays, and is a row of its own
    assert is_nocow(raid1.images)


@oracle(
    "btrfs scrub",
    "V102",
    "V105",
    "V111: of this filesystem {} missing",
    "V111: this filesystem is mounted with the option `degraded`",
    "V112",
    "V506: errors on one copy are not healed",
    "V516",
    "V520",
    "files made from now on have no checksums",
)
def test_what_is_written_while_a_device_is_away(raid1: Disks):
    """Nocow: either copy is read afterwards, and scrub repairs nothing. Else all of it is right."""
    folders = {name: raid1.path / name for name in ("cow", "nocow")}
    for folder in folders.values():
        folder.mkdir()
    run("chattr", "+C", folders["nocow"])
    files = {name: folder / "vm.raw" for name, folder in folders.items()}
    for file in files.values():
        file.write_bytes(b"old" * 100_000)
    raid1.unmount()
    raid1.lose(2)
    raid1.mount("degraded")
    for file in files.values():
        with open(file, "rb+") as disk:
            disk.write(b"new" * 100_000)
    run("sync", "-f", raid1.path)
    raid1.unmount()
    raid1.bring_back(2)
    run("btrfs", "device", "scan", raid1.devices[1])
    raid1.mount()
    for _ in range(2):  # before and after a scrub
        assert _read_by_many(files["cow"]) == {b"new"}
        assert _read_by_many(files["nocow"]) == {b"old", b"new"}
        run("btrfs", "scrub", "start", "-B", raid1.path)


def _read_by_many(file: Path) -> set[bytes]:
    """The first words that 16 processes read off the disks: the kernel takes a copy by the pid."""
    found = set()
    for _ in range(16):
        with open(file, "rb") as disk:
            os.posix_fadvise(disk.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        found.add(run("head", "-c", "3", file).encode())
    return found


def test_a_device_goes_once_all_is_nocow(host: World, raid1: Disks):
    """Nothing would be changed, and it is refused all the same: writes go to one device only."""
    host.nocow(raid1.images, allow=["raid"], existing="rewrite")
    host.apply()
    raid1.unmount()
    raid1.lose(1)
    raid1.mount("degraded")
    assert "V111" in host.plan(expect=REFUSED).row("! nocow ")
    assert host.vmtune("status").code == REFUSED
    assert health(host, "V516", expect=1) == ["fail"]


def test_it_is_asked_again(host: World, raid1: Disks):
    """A plan that was saved, and one that was shown, while the filesystem was whole."""
    host.nocow(raid1.images, allow=["raid"], existing="rewrite")
    saved = TOP / "t" / "plan.json"
    assert host.vmtune("plan", "-o", str(saved)).code == 0
    with host.typed("apply") as person:
        person.see("Make ")
        raid1.unmount()
        raid1.lose(2)
        raid1.mount("degraded")
        person.type("yes\n")
        assert person.end() == 5
        assert "device missing" in person.screen
    ran = host.vmtune("apply", str(saved), "--yes")
    assert ran.code == 5, ran
    assert "planned on whole, found device missing" in ran.err
    assert not is_nocow(raid1.images)


def test_revert_makes_nothing_nocow(host: World, raid1: Disks):
    host.nocow(raid1.images, allow=["raid"], existing="keep")
    host.apply()
    host.declare(paths=[{"path": str(raid1.images), "nocow": False}])
    host.apply()
    raid1.unmount()
    raid1.lose(2)
    raid1.mount("degraded")
    ran = host.vmtune("revert", "--yes")
    assert "V111" in ran.out
    assert not is_nocow(raid1.images)


@contextlib.contextmanager
def spare(of: Disks, size: int) -> Iterator[str]:
    """A disk to replace another one, and MiB of data, of which 4 a second are copied there."""
    file = TOP / "images" / "new.img"
    with open(file, "wb") as new:
        new.truncate(SIZE)
    device = attached(file)
    try:
        (of.path / "data").write_bytes(os.urandom(size << 20))
        run("sync", "-f", of.path)
        for each in ("1", "2"):  # bytes a second
            (of.sysfs / "devinfo" / each / "scrub_speed_max").write_text("4194304")
        yield device
    finally:
        subprocess.run(
            ["btrfs", "replace", "cancel", of.path], check=False, stderr=subprocess.DEVNULL
        )
        subprocess.run(["umount", of.path], check=False)
        run("losetup", "--detach", device)
        file.unlink()


def test_a_device_is_replaced_meanwhile(host: World, raid1: Disks):
    """The images that are not begun by then stay as they are."""
    for name in "cdef":
        (raid1.images / f"{name}.raw").write_bytes(os.urandom(2 << 20))
    host.nocow(raid1.images, existing="rewrite", allow=["raid"])
    slowly = ["strace", "-f", "--seccomp-bpf", "-qq", "-o", "/dev/null", "-e", "trace=fsync"]
    slowly += ["-e", "inject=fsync:delay_enter=150000"]
    with spare(raid1, 0) as device:
        images = {path: path.stat().st_ino for path in raid1.images.iterdir()}

        def changed() -> list[Path]:  # lsattr would open them, and break leases
            return [path for path, inode in images.items() if path.stat().st_ino != inode]

        with host.start("apply", "--yes", under=slowly) as applying:
            until("the first image", changed)
            run("btrfs", "replace", "start", "-f", "2", device, raid1.path)
            _, err = applying.communicate()
        assert applying.returncode == 3, err
        assert "is being replaced" in err
        assert len(changed()) < len(images)


def test_a_device_is_being_replaced(host: World, raid1: Disks):
    with spare(raid1, 100) as device:
        run("btrfs", "replace", "start", "-f", "2", device, raid1.path)
        refused(host, raid1, "V112", nocow=True, existing="rewrite")
        assert host.plan(expect=REFUSED, user=NOBODY).row("V112")
        assert health(host, "V516", expect=1) == ["fail"]
        run("btrfs", "replace", "cancel", raid1.path)
        until(
            "the end of it", lambda: (raid1.sysfs / "exclusive_operation").read_text() == "none\n"
        )
        assert health(host, "V516", expect=0) == ["ok"]


@contextlib.contextmanager
def _failed() -> Iterator[Path]:
    """A disk that runs full below the filesystem: its metadata cannot be written any more."""
    small, target = TOP / "t" / "small", TOP / "t" / "full"
    small.mkdir()
    target.mkdir()
    run("mount", "-t", "tmpfs", "-o", "size=24M", "none", small)
    try:
        with open(small / "disk.img", "wb") as new:
            new.truncate(SIZE)
        run("mkfs.btrfs", "-q", "-d", "single", "-m", "dup", small / "disk.img")
        run("mount", "-o", "loop", small / "disk.img", target)
        (target / "vm").mkdir()
        (target / "vm" / "a.raw").write_bytes(os.urandom(1 << 20))
        run("sync", "-f", target)
        with contextlib.suppress(OSError):
            for number in range(10):
                (target / str(number)).write_bytes(os.urandom(4 << 20))
                subprocess.run(["sync", "-f", target], check=False, stderr=subprocess.DEVNULL)
        yield target
    finally:
        subprocess.run(["umount", target], check=False)
        subprocess.run(["umount", "-l", small], check=False)


@oracle("mountinfo", "V113")
def test_read_only_after_an_error(host: World):
    with _failed() as path:
        assert "ro" in mountinfo(path)[1]
        for entry in ({"nocow": True}, {"compression": "none"}, {"subvolume": True}):
            host.declare(paths=[{"path": str(path / "vm"), **entry}])
            assert "V113" in host.plan(expect=REFUSED).row("! ")
        host.apply(expect=LEFT)
        assert health(host, "V516", expect=1) == ["fail"]


def test_read_only_on_purpose_is_no_failure(host: World):
    image = host.image("ro", "ro", size=1)
    host.nocow(image.path / "vm")
    assert "read-only mount" in host.plan(expect=REFUSED).row("! nocow ")
    assert health(host, "V516", expect=0) == ["ok"]


@oracle("btrfs device", "V115", "V517")
def test_errors_that_a_device_made(host: World):
    """A wrong block, noticed by its checksum."""
    with disks(1, "-d", "single", "-m", "single") as of:
        data = (of.images / "a.raw").read_bytes()[:4096]
        of.unmount()
        with open(of.files[0], "r+b") as disk:
            at = disk.read().index(data)
            disk.seek(at)
            disk.write(bytes(4096))
        of.mount()
        with pytest.raises(OSError, match="Input/output error"):
            (of.images / "a.raw").read_bytes()
        host.nocow(of.images)
        assert "corruption error" in host.plan(expect=2).row("V115")
        assert health(host, "V517", expect=0) == ["warn"]
        assert health(host, "V516", expect=0) == []
        run("btrfs", "device", "stats", "--reset", of.path)
        assert health(host, "V517", expect=0) == []
