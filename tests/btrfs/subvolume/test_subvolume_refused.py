"""Directories that do not become subvolumes, with the reason: nothing of them is touched."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.btrfs.outside import PYTHON, is_nocow, run, sync
from tests.btrfs.trees import is_subvolume, planted, shown, strays
from tests.btrfs.world import World


@pytest.fixture
def images(host: World) -> Path:
    path = planted(host.area / "images")
    host.declare(paths=[{"path": str(path), "subvolume": True}])
    return path


@contextmanager
def python(code: str, *arguments: object, cwd: Path | str = "/") -> Iterator[subprocess.Popen[str]]:
    """A program beside vmtune, once it has said that it is ready."""
    argv = [sys.executable, "-c", f"import os, sys, time\n{code}", *map(str, arguments)]
    with subprocess.Popen(argv, cwd=cwd, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        try:
            yield process
        finally:
            process.send_signal(signal.SIGKILL)


WAIT = "print('ready', flush=True); time.sleep(60)"


def refused(host: World, images: Path, code: str) -> str:
    """By the plan, and by apply; then the directory is as before."""
    before = shown(images)
    row = host.plan(expect=7).row(f"! subvolume {images}")
    assert code in row
    host.apply(expect=7)
    assert not is_subvolume(images)
    assert shown(images) == before
    assert strays(images.parent) == []
    return row


def test_a_subvolume_in_it(host: World, images: Path):
    pool = images / "deep" / "pool"
    run("btrfs", "subvolume", "create", pool)
    os.utime(pool, (time.time() + 3600, 0))  # looking at it leaves no time later than now
    assert "deep/pool" in refused(host, images, "V608")


def test_a_mount_in_it(host: World, images: Path):
    run("mount", "-t", "tmpfs", "tmpfs", images / "cow")
    try:
        assert "cow" in host.plan(expect=7).row("V608")
        host.apply(expect=7)
    finally:
        run("umount", images / "cow")
    assert not is_subvolume(images)


@pytest.mark.parametrize("of", ["", "deep"])
def test_a_mount_that_shows_it_elsewhere(host: World, images: Path, of: str):
    view = host.area / "view"
    view.mkdir()
    run("mount", "--bind", images / of, view)
    try:
        assert str(view) in refused(host, images, "V607")
    finally:
        run("umount", view)


def test_a_mount_that_only_another_namespace_has(host: World, images: Path):
    """A service with a directory of its own there (BindPaths=)."""
    (host.area / "view").mkdir()
    script = f"mount --bind {images} {host.area}/view && echo ready && exec sleep 60"
    argv = ["unshare", "--mount", "sh", "-c", script]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout
        assert other.stdout.readline() == "ready\n"
        assert f"view (pid {other.pid}, sleep)" in refused(host, images, "V607")
        other.kill()


def test_a_mount_point(host: World, images: Path):
    host.bind(images)
    host.plan(expect=7).row("V607")
    host.apply(expect=7)


def test_hard_links_to_the_outside(host: World, images: Path):
    os.link(images / "nocow.raw", host.area / "outside.raw")
    assert "nocow.raw" in refused(host, images, "V609")


@pytest.mark.parametrize("what", ["fifo", "socket", "device"])
def test_what_belongs_to_a_program(host: World, images: Path, what: str):
    match what:
        case "fifo":
            os.mkfifo(images / "monitor")
        case "socket":
            with socket.socket(socket.AF_UNIX) as server:
                server.bind(str(images / "monitor"))
        case "device":
            os.mknod(images / "monitor", 0o600 | 0o060000, os.makedev(7, 200))
    assert "monitor" in refused(host, images, "V610")


def test_a_system_directory_or_a_home(host: World):
    home = host.alice()
    host.declare(paths=[{"path": str(home), "subvolume": True}])
    assert "V605" in host.plan(expect=7).row(f"! subvolume {home}")


def test_read_only(host: World, images: Path):
    assert images.is_dir()
    run("btrfs", "property", "set", host.area, "ro", "true")
    try:
        assert "V606" in host.plan(expect=7).row("! subvolume")
    finally:
        run("btrfs", "property", "set", host.area, "ro", "false")


@pytest.mark.parametrize("by", ["working directory", "descriptor"])
def test_who_stands_in_it_is_named(host: World, images: Path, by: str):
    code = WAIT if by == "working directory" else f"fd = os.open(sys.argv[1], os.O_PATH); {WAIT}"
    cwd = images / "deep" if by == "working directory" else "/"
    with python(code, images / "cow", cwd=cwd) as process:
        assert f"(pid {process.pid})" in refused(host, images, "V613")
    host.apply()
    assert is_subvolume(images)


@pytest.mark.parametrize("mode", ["O_RDONLY", "O_RDWR", "mmap"])
def test_who_has_a_file_open_is_named(host: World, images: Path, mode: str):
    code = f"fd = os.open(sys.argv[1], os.{'O_RDWR' if mode == 'mmap' else mode})\n"
    if mode == "mmap":
        code += "import mmap; m = mmap.mmap(fd, 4096); os.close(fd)\n"
    before = shown(images)
    with python(code + WAIT, images / "deep" / "er" / "x.qcow2") as process:
        row = refused(host, images, "V615")
    assert f"deep/er/x.qcow2 (by {PYTHON} (pid {process.pid}))" in row
    host.apply()
    assert shown(images) == before


def test_an_empty_file_that_is_open_counts_as_well(host: World, images: Path):
    """What is written to it a moment later would be lost with the old file."""
    with python(f"fd = os.open(sys.argv[1], os.O_WRONLY)\n{WAIT}", images / "empty.raw"):
        assert "empty.raw" in refused(host, images, "V615")


def test_a_loop_device(host: World, images: Path):
    device = run("losetup", "--find", "--show", images / "sparse.raw").strip()
    try:
        assert device in refused(host, images, "V615")
    finally:
        run("losetup", "--detach", device)
    assert not is_subvolume(images)


WORDS = {"i": "immutable", "a": "append-only"}


@pytest.mark.parametrize(("letter", "name"), [("i", "nocow.raw"), ("a", "deep/open"), ("i", "cow")])
def test_immutable_and_append_only(host: World, images: Path, letter: str, name: str):
    run("chattr", f"+{letter}", images / name)
    try:
        assert f" {name} ({WORDS[letter]})" in refused(host, images, "V618")
    finally:
        run("chattr", f"-{letter}", images / name)


def test_files_of_another_class(host: World):
    """Made under nodatasum, which no attribute shows: no clone of it can be made."""
    image = host.image("sums", "nodatasum")
    images = image.path / "images"
    images.mkdir()
    (images / "vm.raw").write_bytes(b"data" * 10_000)
    run("mount", "-o", "remount,datasum", image.path)
    host.declare(paths=[{"path": str(images), "subvolume": True}])
    assert "vm.raw" in host.plan(expect=7).row("V619")
    host.nocow(images, subvolume=True, existing="rewrite")
    assert "rewriting of this entry" in host.plan(expect=2).out
    ran = host.vmtune("apply", "--yes")
    assert ran.code == 3, ran
    assert "possible now, by another apply: " in ran.err
    assert "still differs" not in ran.err
    host.apply()  # what it was rewritten to can be shared
    assert is_subvolume(images)
    assert is_nocow(images / "vm.raw")


def test_checksums_where_new_files_get_none(host: World):
    """The other way round: a new file is given some, as the old one has them, or all stays.

    Linux 6.12 gives none where it is mounted so, and no program can clone there then.
    """
    image = host.image("sums")
    images = image.path / "images"
    images.mkdir()
    (images / "vm.raw").write_bytes(b"data" * 10_000)
    sync()
    run("mount", "-o", "remount,nodatasum", image.path)
    new = image.path / "new"
    new.touch()
    run("chattr", "+C", new)
    run("chattr", "-C", new)
    cloning = ["cp", "--reflink=always", images / "vm.raw", new]
    is_cloned = not subprocess.run(cloning, check=False, stderr=subprocess.DEVNULL).returncode
    host.declare(paths=[{"path": str(images), "subvolume": True}])
    ran = host.apply(expect=0 if is_cloned else 3)
    assert ("they cannot share data" in ran.err) is not is_cloned
    assert is_subvolume(images) is is_cloned
    assert (images / "vm.raw").read_bytes() == b"data" * 10_000


def test_a_stranger_under_our_name_is_left_alone(host: World, images: Path):
    name = f".vmtune-subvolume-{images.stat().st_ino}-"
    (host.area / f"{name}00000000").mkdir()
    host.apply()
    assert (host.area / f"{name}00000000").is_dir()
    assert is_subvolume(images)
