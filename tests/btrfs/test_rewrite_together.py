"""Small images are synced together: what befalls one of them is no other's, and nobody waits."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from reconciler.core.images import NOCOW, Images
from reconciler.core.watch import NOBODY
from reconciler.host.directories import tree
from reconciler.host.kernel import inode
from reconciler.host.rewriting import copying, images
from tests.btrfs.outside import is_nocow, run
from tests.btrfs.rewriting import KIB, MIB, Comers, beside, digest, rewriter, written
from tests.btrfs.world import World, until

STRACE = ["strace", "-f", "--seccomp-bpf", "-qq"]


def _small(folder: Path, count: int) -> list[Path]:
    """Images of 16 KiB, no two alike, on disk."""
    folder.mkdir()
    found = [folder / f"{number:03}.raw" for number in range(count)]
    for image in found:
        image.write_bytes(os.urandom(16 * KIB))
    run("btrfs", "filesystem", "sync", folder)
    return found


def _only(folder: Path, found: list[Path]) -> bool:
    return sorted(folder.iterdir()) == found


@pytest.mark.parametrize("limit", [24, 64, 256])
def test_with_few_descriptors_fewer_are_synced_together(host: World, limit: int):
    found = _small(host.area / "vm", 12 if limit == 24 else 70)
    before = list(map(digest, found))
    with rewriter(["prlimit", f"--nofile={limit}:{limit}"]) as rewrite:
        rewrite.done(host.area / "vm")
    assert all(map(is_nocow, found))
    assert list(map(digest, found)) == before
    assert _only(host.area / "vm", found)


def test_where_no_more_threads_may_be_each_is_synced_at_its_turn(host: World):
    """As a limit of pids for a service does it (systemd.resource-control(5), TasksMax=)."""
    found = _small(host.area / "vm", 40)
    before = list(map(digest, found))
    none = ["-o", "/dev/null", "-e", "trace=clone,clone3", "-e", "inject=clone,clone3:error=EAGAIN"]
    with rewriter([*STRACE, *none]) as rewrite:
        rewrite.done(host.area / "vm")
    assert all(map(is_nocow, found))
    assert list(map(digest, found)) == before
    assert _only(host.area / "vm", found)


@pytest.mark.parametrize("most", [0, 2])
def test_a_large_one_is_left_where_there_are_too_few_threads(host: World, most: int):
    """None of its pieces may be done later, when its descriptors are those of other files."""
    found = _small(host.area / "vm", 3)
    large = written(host.area / "vm" / "large.raw", 20 * MIB)
    before = list(map(digest, [*found, large]))
    few = ["-o", "/dev/null", "-e", "trace=clone,clone3"]
    few += ["-e", f"inject=clone,clone3:error=EAGAIN:when={most + 1}+"]
    with rewriter([*STRACE, *few]) as rewrite:
        ended = rewrite.refused(host.area / "vm", "large.raw: the system allows no more threads")
    assert "pids.max" in ended.message + ended.hint
    assert all(map(is_nocow, found))
    assert not is_nocow(large)
    assert list(map(digest, [*found, large])) == before
    assert _only(host.area / "vm", [*found, large])


@pytest.mark.parametrize("error", ["EIO", "ENOSPC"])
def test_an_image_that_cannot_be_synced_is_left_and_no_other(host: World, error: str):
    """Calls are counted for each thread: the main one's first is that of an image, too."""
    found = _small(host.area / "vm", 40)
    before = list(map(digest, found))
    bad = ["-o", "/dev/null", "-e", "trace=fsync", "-e", f"inject=fsync:error={error}:when=1"]
    with rewriter([*STRACE, *bad]) as rewrite:
        ended = rewrite.refused(host.area / "vm", f"{found[0].name}: ", f"of {len(found)} files")
        assert 1 <= ended.left < len(found)
    assert sum(map(is_nocow, found)) == len(found) - ended.left
    assert list(map(digest, found)) == before
    assert _only(host.area / "vm", found)


def test_who_waits_for_one_waits_for_no_look_at_who_waits_for_others(host: World):
    """All of a batch are opened while it is synced: their openers are looked for at the end."""
    found = _small(host.area / "vm", 32)
    log = host.area / "log"
    slow = ["-e", "trace=fsync,openat", "-e", "inject=fsync:delay_enter=2000000"]
    comers = Comers()
    try:
        with rewriter([*STRACE, "-o", log, *slow]) as rewrite:
            rewrite.begin(host.area / "vm", age=60)  # one batch, also where all is slow
            until("all have a copy", lambda: len(beside(host.area / "vm")) == len(found))
            comers.begin([{"path": str(i), "delay": 0, "at": 1, "marker": "<mine>"} for i in found])
            waited = comers.end()
            ended = rewrite.end()
    finally:
        comers.close()
    assert ended.left == len(found), "the moment misses the work"
    assert all(image.read_bytes()[1:7] == b"<mine>" for image in found)
    assert max(waited) < 4
    looks = log.read_text().count('"/proc", O_RDONLY')
    assert looks <= 12, "a few for the batch, and for what the test asks before and after"


def test_who_came_meanwhile_does_not_wait_for_the_disk(host: World):
    """Two images, the second copied slowly, and a disk that takes two seconds for them."""
    found = _small(host.area / "vm", 2)
    slow = ["-e", "inject=fsync:delay_enter=2000000", "-e", "inject=fchown:delay_enter=600000"]
    calls = ["-o", "/dev/null", "-e", "trace=fsync,fchown"]
    with rewriter([*STRACE, *calls, *slow]) as rewrite:
        rewrite.begin(host.area / "vm")
        until("the first has its copy", lambda: beside(host.area / "vm"))
        (copy,) = beside(host.area / "vm")
        (image,) = [i for i in found if f"-{i.stat().st_ino}-" in copy]
        before = time.monotonic()
        with image.open("r+b") as mine:
            waited = time.monotonic() - before
            mine.write(b"<mine>")
        ended = rewrite.end()
    assert "opened by somebody while it was copied; it is as it was" in ended.message
    assert ended.left == 1
    assert waited < 1.5
    assert image.read_bytes().startswith(b"<mine>")
    assert _only(host.area / "vm", found)


def test_a_copy_waits_for_no_look_at_what_needs_nothing(host: World):
    """What was to be rewritten may be gone, or emptied, by the time that it is its turn."""
    (image,) = _small(host.area / "vm", 1)
    number = image.stat().st_ino
    folder = str(host.area / "vm")
    with (
        inode.directory(folder) as within,
        copying.Copier() as copier,
        ThreadPoolExecutor(1) as pool,
    ):
        place = Images(folder, NOCOW)
        work = images._Work(place, NOBODY, copier, pool, 1, 16 * KIB, 32, 32)
        with inode.opened(image.name, within) as fd:
            work.one(tree.Entry(image.name, fd, os.fstat(fd), within))
        assert image.stat().st_ino == number
        time.sleep(0.1)
        work.let_nobody_wait()
        assert image.stat().st_ino != number
        time.sleep(0.3)
        work.let_nobody_wait()
        assert _only(host.area / "vm", [image])
    assert is_nocow(image)
