"""Somebody comes to the directory in the middle of a turn, at the worst moment that there is.

vmtune is stopped behind one of its system calls, and goes on when the other has done it.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests import patience
from tests.btrfs.each import contents
from tests.btrfs.outside import run
from tests.btrfs.stopping import paused, stopped, stopping
from tests.btrfs.trees import is_subvolume, planted, strays
from tests.btrfs.world import World, until

WRITES = """
import os, sys
fd = os.open(sys.argv[1], os.O_RDWR)
os.pwrite(fd, b"the only good copy", 0)
os.fsync(fd)
"""


@pytest.fixture
def images(host: World) -> Path:
    path = planted(host.area / "images")
    host.declare(paths=[{"path": str(path), "subvolume": True}])
    return path


def beside(images: Path) -> Path:
    (found,) = strays(images.parent)
    return images.parent / found


def words(path: Path) -> bytes:
    return path.read_bytes()[:18]


def writer(path: Path) -> subprocess.Popen[bytes]:
    """One who found the file a moment ago and waits to be let in; then it writes."""
    inode = f":{path.stat().st_ino} "
    process = subprocess.Popen([sys.executable, "-c", WRITES, path])

    def breaking() -> bool:
        rows = Path("/proc/locks").read_text().splitlines()
        return any("BREAKING" in row and inode in row for row in rows)

    until("the lease to break", breaking)
    return process


def ended(vmtune: subprocess.Popen[str]) -> str:
    """Refused; what it said."""
    _, err = vmtune.communicate(timeout=patience.SECONDS)
    assert vmtune.returncode == 3, err
    return err


def killed(vmtune: subprocess.Popen[str], pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    vmtune.communicate(timeout=patience.SECONDS)


def test_both_stay_and_are_named_until_somebody_looked(host: World, images: Path):
    """Written to the old one, so that the names change back; and then to the new one."""
    vmtune = host.start("apply", "--yes", under=stopping("renameat2"))
    with paused(vmtune, "the exchange"):
        (beside(images) / "late.txt").write_text("late")
    with paused(vmtune, "the way back"):
        kept = beside(images)
        other = writer(kept / "nocow.raw")
    err = ended(vmtune)
    assert other.wait(patience.SECONDS) == 0
    assert f"btrfs subvolume delete {kept}" in err, err
    assert (images / "late.txt").exists()
    _stays(host, images, kept)


def test_killed_on_the_way_back_nothing_is_lost(host: World, images: Path):
    vmtune = host.start("apply", "--yes", under=stopping("renameat2"))
    with paused(vmtune, "the exchange"):
        (beside(images) / "late.txt").write_text("late")
    pid = stopped(vmtune, "the way back")
    kept = beside(images)
    other = writer(kept / "nocow.raw")
    killed(vmtune, pid)
    assert other.wait(patience.SECONDS) == 0
    assert not is_subvolume(images)
    _stays(host, images, kept)


def _stays(host: World, images: Path, kept: Path) -> None:
    """Named by plan and status; no run removes it; once a person has, the next one is done."""
    assert words(kept / "nocow.raw") == b"the only good copy"
    row = host.plan(expect=7).row(f"! subvolume {images}")
    assert f"{kept} was to take its place" in row
    assert "V614" in row
    assert str(kept) in host.vmtune("status").row(f"! subvolume {images}")
    assert "btrfs subvolume delete" in host.vmtune("explain", "V614").out
    host.apply(expect=7)
    assert words(kept / "nocow.raw") == b"the only good copy"
    before = contents(images)
    run("btrfs", "subvolume", "delete", kept)
    host.apply()
    assert is_subvolume(images)
    assert contents(images) == before
    assert strays(images.parent) == []


@pytest.mark.parametrize("call", ["mkdirat:when=1", "renameat2:when=1"])
def test_a_mount_that_shows_it_by_now(host: World, images: Path, call: str):
    """A container that is started meanwhile: it would go on with the old directory."""
    before = contents(images)
    view = host.area / "view"
    view.mkdir()
    vmtune = host.start("apply", "--yes", under=stopping(call))
    with paused(vmtune, call):
        # Behind the exchange: by one who had looked the name up before it.
        of = beside(images) if call.startswith("renameat2") else images
        run("mount", "--bind", of, view)
    try:
        assert f"it, or what is in it, is mounted at {view}" in ended(vmtune)
        assert not is_subvolume(images)
        assert strays(images.parent) == []
        assert sorted(path.name for path in view.iterdir()) == sorted(
            path.name for path in images.iterdir()
        )
    finally:
        run("umount", view)
    assert contents(images) == before
    host.apply()
    assert contents(images) == before


def test_a_mount_that_shows_it_after_a_kill(host: World, images: Path):
    """The old directory is not emptied under somebody who sees it."""
    before = contents(images)
    view = host.area / "view"
    view.mkdir()
    vmtune = host.start("apply", "--yes", under=stopping("renameat2:when=1"))
    pid = stopped(vmtune, "the exchange")
    run("mount", "--bind", beside(images), view)
    killed(vmtune, pid)
    try:
        ran = host.apply(expect=3)
        assert str(view) in ran.err, ran
        assert f"mounted at {view}" in ran.err, ran
        assert (view / "nocow.raw").exists()
    finally:
        run("umount", view)
    host.apply()
    assert contents(images) == before
    assert strays(images.parent) == []
