"""What vmtune takes for granted of the kernel and its tools, without vmtune.

Some of it vmtune also says, and then the test names the sentence. The judge of one sentence more
goes into test_said_of_the_kernel.py.
"""

import ctypes
import errno
import fcntl
import mmap
import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.btrfs.outside import attributes, compression, is_nocow, mountinfo, run
from tests.btrfs.world import World
from tests.oracles import oracle


def exit_code(*argv: str | Path) -> tuple[int, str]:
    done = subprocess.run([*map(str, argv)], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("data", [b"x" * 4096, b""])
@oracle("lsattr", "V101")
def test_on_a_file_with_data_chattr_does_nothing_and_says_nothing(host: World, data: bytes):
    """Also on one that is only a hole; an empty one takes it."""
    path = host.area / "file"
    path.write_bytes(data)
    assert exit_code("chattr", "+C", path) == (0, "")
    assert is_nocow(path) is not bool(data)
    hole = host.area / "hole"
    run("truncate", "-s", "1G", hole)
    assert exit_code("chattr", "+C", hole) == (0, "")
    assert not is_nocow(hole)


@pytest.mark.parametrize("value", ["zstd", "none"])
@oracle("errno", "V802")
def test_nocow_and_a_compression_property_exclude_each_other(host: World, value: str):
    """EINVAL, whichever comes first."""
    first, second = host.area / "first", host.area / "second"
    first.mkdir()
    second.mkdir()
    run("btrfs", "property", "set", first, "compression", value)
    code, said = exit_code("chattr", "+C", first)
    assert code
    assert os.strerror(errno.EINVAL) in said
    run("chattr", "+C", second)
    with pytest.raises(OSError, match=r"Invalid argument"):
        os.setxattr(second, "btrfs.compression", value.encode())
    assert attributes(second) == {"C"}


@pytest.mark.parametrize("attribute", ["c", "m"])
def test_nocow_and_a_compression_attribute_exclude_each_other(host: World, attribute: str):
    run("chattr", f"+{attribute}", host.area)
    assert exit_code("chattr", "+C", host.area)[0]
    run("chattr", f"-{attribute}", host.area)
    run("chattr", "+C", host.area)
    assert exit_code("chattr", f"+{attribute}", host.area)[0]


@oracle(
    "lsattr",
    "V106",
    "V808",
    "{} below {} nocow, and so do new files there; `chattr -C` on each ends that, "
    "or declare it too",
)
def test_files_and_directories_inherit_and_subvolumes_do_not(host: World):
    """Only what is made later, and by whatever program."""
    before = host.area / "before"
    before.mkdir()
    run("chattr", "+C", host.area)
    (host.area / "sub" / "deeper").mkdir(parents=True)
    (host.area / "sub" / "deeper" / "file").write_bytes(b"x" * 4096)
    run("btrfs", "subvolume", "create", host.area / "nested")
    assert is_nocow(host.area / "sub" / "deeper" / "file")
    assert not is_nocow(host.area / "nested")
    assert not is_nocow(before)


@oracle("lsattr", "V514: copy-on-write in a nocow directory: older than it, or restored")
def test_a_rename_brings_copy_on_write_along(host: World):
    """An image moved in is as it was; one copied in is nocow."""
    (host.area / "moved").write_bytes(b"x" * 4096)
    (host.area / "images").mkdir()
    run("chattr", "+C", host.area / "images")
    run("cp", "--reflink=auto", host.area / "moved", host.area / "images" / "copied")
    run("mv", host.area / "moved", host.area / "images")
    assert is_nocow(host.area / "images" / "copied")
    assert not is_nocow(host.area / "images" / "moved")


def test_a_snapshot_shows_a_nested_subvolume_as_a_stub(host: World):
    """Inode 2, without attributes: ENOTTY."""
    run("btrfs", "subvolume", "create", host.area / "nested")
    run("btrfs", "subvolume", "snapshot", host.area, host.area.with_suffix(".snapshot"))
    stub = host.area.with_suffix(".snapshot") / "nested"
    assert stub.stat().st_ino == 2
    code, said = exit_code("lsattr", "-d", stub)
    assert code or os.strerror(errno.ENOTTY) in said


@pytest.mark.usefixtures("host")
def test_other_filesystems_have_no_such_attribute():
    """EOPNOTSUPP."""
    target = Path("/media/t/tmpfs")
    target.mkdir()
    run("mount", "-t", "tmpfs", "tmpfs", target)
    assert exit_code("chattr", "+C", target)[0]


def test_the_first_mount_decides_compression_for_all(host: World):
    """A later one is told nothing, and exits with 0."""
    image = host.image("data", "compress=zstd")
    image.subvolume("other")
    other = image.mount(Path("/media/t/other"), "subvol=other,compress=lzo")
    assert compression(other) == compression(image.path) == ["compress=zstd:3"]


def test_a_remount_that_does_not_name_compression_keeps_it(host: World):
    """So taking it out of fstab ends nothing; "no" does, and is not shown (3.4)."""
    image = host.image("data", "compress=zstd")
    run("mount", "-o", "remount,noatime", image.device, image.path)
    assert compression(image.path) == ["compress=zstd:3"]
    run("mount", "-o", "remount,compress=no", image.device, image.path)
    assert compression(image.path) == []


def test_mount_8_merges_fstab_and_drops_live_flags(host: World):
    """Why vmtune does not remount with mount(8)."""
    image = host.image("data", "nosuid,noexec,compress=zstd")
    # By device: where no udev names UUIDs, mount(8) asks a cache that may be a loop device behind.
    host.fstab(f"{image.device} {image.path} btrfs noatime,nodev 0 0\n")
    run("mount", "-o", "remount,compress=no", image.path)
    flags = mountinfo(image.path)[0]
    assert {"noatime", "nodev"} <= set(flags)
    assert not {"nosuid", "noexec"} & set(flags)


@oracle("mountinfo", "live, no reboot")
def test_reconfiguring_changes_what_it_is_asked_and_nothing_else(host: World):
    """fspick(2) and fsconfig(2): live flags that fstab never heard of stay."""
    image = host.image("data", "nosuid,nodev,noexec,noatime,commit=77,compress-force=zstd:5")
    flags, options = mountinfo(image.path)
    libc = ctypes.CDLL(None, use_errno=True)
    context = libc.syscall(433, -100, bytes(image.path), 1)
    assert context >= 0, os.strerror(ctypes.get_errno())
    assert libc.syscall(431, context, 1, b"compress", b"no", 0) == 0
    assert libc.syscall(431, context, 7, None, None, 0) == 0
    os.close(context)
    wanted = [word for word in options if not word.startswith("compress")]
    assert mountinfo(image.path) == (flags, wanted)


@oracle("fsconfig", "V501: {}, {}")
def test_this_kernel_refuses_nonsense_before_it_mounts():
    """Parsing by fsconfig(2), since Linux 6.8: older ones take any word there."""
    release = tuple(int(part) for part in os.uname().release.split(".")[:2])
    libc = ctypes.CDLL(None, use_errno=True)
    context = libc.syscall(430, b"btrfs", 1)
    refused = libc.syscall(431, context, 0, b"nonsense", None, 0) == -1
    assert refused == (release >= (6, 8))
    assert not refused or ctypes.get_errno() == errno.EINVAL
    os.close(context)


def _granted(fd: int, sort: int) -> bool:
    try:
        fcntl.fcntl(fd, fcntl.F_SETLEASE, sort)
    except BlockingIOError:
        return False
    return True


@oracle("fcntl", "V107", "V702: in use by", "V720")
def test_who_breaks_which_lease(host: World):
    """fcntl(2), F_SETLEASE: what rewriting an image rests on."""
    path = host.area / "disk.raw"
    path.write_bytes(b"x" * 5000)
    fd = os.open(path, os.O_RDONLY)
    before = signal.signal(signal.SIGIO, lambda *_: None)
    try:
        assert _granted(fd, fcntl.F_WRLCK)
        with pytest.raises(BlockingIOError):
            os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        assert _granted(fd, fcntl.F_RDLCK)
        reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        assert fcntl.fcntl(fd, fcntl.F_GETLEASE) == fcntl.F_RDLCK
        assert not _granted(fd, fcntl.F_WRLCK), "a reader has it open"
        assert _granted(fd, fcntl.F_RDLCK), "which breaks no read lease"
        with pytest.raises(BlockingIOError):
            os.open(f"/proc/self/fd/{reader}", os.O_RDWR | os.O_NONBLOCK)
        assert fcntl.fcntl(fd, fcntl.F_GETLEASE) == fcntl.F_UNLCK, "a writer came"
        os.close(reader)
        os.close(fd)
        writer = os.open(path, os.O_RDWR)
        fd = os.open(path, os.O_RDONLY)
        assert not _granted(fd, fcntl.F_RDLCK)
        with mmap.mmap(writer, 0):
            os.close(writer)
            assert not _granted(fd, fcntl.F_RDLCK), "mapped to write"
        assert _granted(fd, fcntl.F_RDLCK)
        os.close(fd)
    finally:
        signal.signal(signal.SIGIO, before)
