"""Names with what ends a line or a word elsewhere: the kernel ends lines by a newline alone."""

import mmap
from contextlib import ExitStack

import pytest

from tests.btrfs.outside import run
from tests.btrfs.world import World


@pytest.fixture
def image(host: World):
    """An image that a plan would rewrite, in a directory with an odd name."""
    path = host.area / "images" / "a\rb" / "x\r y\N{LINE SEPARATOR}.img"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"data" * 1024)
    host.declare(paths=[{"path": str(host.area / "images"), "nocow": True, "existing": "rewrite"}])
    return path


def test_an_image_that_nobody_has(host: World, image):
    """The name itself is none of the kernel's; a mount elsewhere that has one is."""
    away = host.area / "away\rhere"
    away.mkdir()
    run("mount", "-t", "tmpfs", "none", away)
    try:
        before = image.stat().st_ino
        host.apply(expect=0)
        assert image.stat().st_ino != before
    finally:
        run("umount", away)


@pytest.mark.parametrize("by", ["map", "mount", "loop"])
def test_an_image_that_is_used(host: World, image, by: str):
    with ExitStack() as stack:
        if by == "map":
            file = stack.enter_context(image.open("r+b"))
            stack.enter_context(mmap.mmap(file.fileno(), 0))
            file.close()
        elif by == "mount":
            seen = host.area / "seen\rhere"
            seen.touch()
            run("mount", "--bind", image, seen)
            stack.callback(run, "umount", seen)
        else:
            device = run("losetup", "--find").strip()
            run("losetup", device, image)
            stack.callback(run, "losetup", "--detach", device)
        before = image.stat().st_ino
        plan = host.plan(expect=2)
        assert "V713" in plan.out if by == "mount" else "V702" in plan.out, plan
        host.vmtune("apply", "--yes")
        assert image.stat().st_ino == before
