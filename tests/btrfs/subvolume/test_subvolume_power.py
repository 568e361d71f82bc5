"""The power goes while a directory becomes a subvolume: the disk as it was then, mounted anew.

A copy of the device is what a disk without a cache of its own would hold. No commit comes of
itself here: what is on the disk is what vmtune saw to.
"""

import hashlib
import os
from pathlib import Path

import pytest

from tests import patience
from tests.btrfs.outside import run, sync
from tests.btrfs.sandbox import TOP
from tests.btrfs.stopping import copied, mount_copy, paused, stopping, stops
from tests.btrfs.subvolume.test_subvolume_shared import words, writer
from tests.btrfs.subvolume.test_subvolume_used import Turner
from tests.btrfs.trees import is_subvolume, strays
from tests.btrfs.world import World

pytestmark = pytest.mark.sweep

# Behind each step, and before the next one: what lies between is for the disk to keep or not.
STEPS = [
    *("mkdirat:when=1", "linkat:when=1", "fsetxattr", "syncfs", "renameat2", "fremovexattr"),
    "unlinkat:when=1+5",
]


@pytest.fixture
def images(host: World) -> Path:
    """With all of it on the disk."""
    disk = host.image("power", "commit=600", mkfs=["-m", "single"])
    path = disk.path / "images"
    (path / "sub").mkdir(parents=True)
    for number in range(1, 7):
        (path / "sub" / f"{number}.raw").write_bytes(os.urandom(300_000))
        (path / f"{number}.xml").write_bytes(os.urandom(1000))
    (path / "big.raw").write_bytes(os.urandom(6_000_000))
    os.link(path / "big.raw", path / "sub" / "also.raw")
    sync()
    host.declare(paths=[{"path": str(path), "subvolume": True}])
    return path


def whole(path: Path) -> dict[str, str]:
    files = (found for found in path.rglob("*") if found.is_file())
    return {str(f.relative_to(path)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


def test_after_a_power_cut_every_image_is_whole(host: World, images: Path):
    """Before and after one more run, which ends it and leaves nothing."""
    before = whole(images)
    vmtune = host.start("apply", "--yes", under=stopping(*STEPS))
    cuts = [copied("power", f"cut{count}.img") for count in stops(vmtune)]
    assert vmtune.communicate(timeout=patience.SECONDS)
    assert vmtune.returncode == 0
    cuts.append(copied("power", "cut.img"))
    run("umount", images.parent)
    after, turner, seen = TOP / "t" / "after", Turner(0.01), []
    after.mkdir()
    for cut in cuts:
        mount_copy(cut, after)
        seen.append((is_subvolume(after / "images"), len(strays(after))))
        assert whole(after / "images") == before, (cut, seen)
        assert turner.turn(after / "images") == "done", (cut, seen)
        assert is_subvolume(after / "images"), (cut, seen)
        assert whole(after / "images") == before, (cut, seen)
        assert strays(after) == [], (cut, seen)
        run("umount", after)
        cut.unlink()
    turner.close()
    assert {(False, 0), (True, 1)} <= set(seen), seen
    assert seen == sorted(seen, key=lambda state: state[0]), "what was one is a directory again"


def test_after_a_power_cut_both_stay(host: World, images: Path):
    """The names changed back, and by then somebody had written to the new one."""
    vmtune = host.start("apply", "--yes", under=stopping("renameat2"))
    with paused(vmtune, "the exchange"):
        (beside,) = strays(images.parent)
        (images.parent / beside / "late.txt").write_text("late")
    with paused(vmtune, "the way back"):
        other = writer(images.parent / beside / "big.raw")
    vmtune.communicate(timeout=patience.SECONDS)
    assert (vmtune.returncode, other.wait(patience.SECONDS)) == (3, 0)
    cut = copied("power")
    run("umount", images.parent)
    after, turner = TOP / "t" / "after", Turner(0.01)
    after.mkdir()
    mount_copy(cut, after)
    for _ in range(2):
        said = turner.turn(after / "images")
        assert f"{after / beside} is a subvolume that an earlier run left" in said
        assert words(after / beside / "big.raw") == b"the only good copy"
    turner.close()
    run("umount", after)
    cut.unlink()
