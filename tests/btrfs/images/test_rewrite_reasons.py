"""Each reason for which an image is left has its own words and remedy; no image ends the others."""

import os
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.engine.reporter import NOBODY
from reconciler.errors import HostError
from reconciler.linux import inode, tree_walk
from reconciler.resources.images import copy as images_copy
from reconciler.resources.images import worklist
from reconciler.resources.images.places import NOCOW, Images
from tests import patience
from tests.btrfs.images.test_rewrite_late import found_before, opened
from tests.btrfs.outside import is_nocow, run
from tests.btrfs.rewriting import KIB, MIB, beside, digest, rewriter, written
from tests.btrfs.world import Image, Ran, World
from tests.oracles import oracle

STRACE = ["strace", "-f", "-qq", "-o", "/dev/null", "-e"]
NOT_IT = "shut down or close"
"""What to do where something uses the image; no other reason has that advice."""


def _damage(disk: Image, path: Path, at: int) -> None:
    """Other bytes than were written, on the disk itself, beneath the filesystem."""
    row = re.search(r"^ *0: +0\.\. *\d+: +(\d+)\.\.", run("filefrag", "-v", path), re.MULTILINE)
    assert row
    logical = str(int(row[1]) * 4096)
    told = run("btrfs-map-logical", "-l", logical, disk.device)
    place = re.search(r"physical (\d+)", told)
    assert place
    with open(disk.device, "r+b") as device:
        device.seek(int(place[1]) + at)
        device.write(b"damage")
        device.flush()
        os.fsync(device.fileno())
    fd = os.open(path, os.O_RDONLY)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(fd)


def _left(ran: Ran, name: str, code: str) -> str:
    """The line of one image."""
    (line,) = [line for line in ran.err.splitlines() if line.lstrip().startswith(f"{name}: ")]
    assert line.endswith(f"   {code}"), ran
    return line


@oracle("filefrag", "V716")
def test_damaged_data_is_named_with_its_byte_and_the_others_go_on(host: World):
    disk = host.image("disk", mkfs=["-m", "single"])
    folder = disk.path / "vm"
    folder.mkdir()
    bad, good = written(folder / "bad.raw", 8 * MIB), written(folder / "good.raw", MIB, seed=2)
    _damage(disk, bad, 5 * MIB + 40 * KIB + 7)
    host.nocow(folder, existing="rewrite")
    for _ in range(2):
        ran = host.apply(expect=3)
        line = _left(ran, "bad.raw", "V716")
        assert f"cannot be read at byte {5 * MIB + 40 * KIB:,}: the data on disk is damaged" in line
        assert "restore it from a backup, or accept it: `existing: keep`" in ran.err
        assert NOT_IT not in ran.err
    assert is_nocow(good)
    assert not is_nocow(bad)
    assert sorted(os.listdir(folder)) == ["bad.raw", "good.raw"]


def test_a_quota_is_named(host: World):
    disk = host.image("disk", mkfs=["-m", "single"])
    folder = disk.subvolume("pool")
    large, small = written(folder / "large.raw", 40 * MIB), written(folder / "small.raw", MIB)
    host.nocow(folder, existing="rewrite")
    slow = [*STRACE[:-1], "-e", "inject=fallocate:delay_enter=1200000:when=1"]
    process = host.start("apply", "--yes", under=slow)
    assert process.stderr
    seen = ""
    while "images below" not in seen:  # planned, and begun
        line = process.stderr.readline()
        assert line, seen
        seen += line
    run("btrfs", "quota", "enable", disk.path)
    run("btrfs", "quota", "rescan", "-w", disk.path)
    run("btrfs", "qgroup", "limit", "60M", folder)  # the plan had seen none
    _, err = process.communicate(timeout=patience.SECONDS)
    ran = Ran(process.returncode, "", err)
    assert ran.code == 3, ran
    number = run("btrfs", "inspect-internal", "rootid", folder).strip()
    assert f"the quota of its subvolume (qgroup 0/{number}, or one above it)" in _left(
        ran, "large.raw", "V717"
    )
    assert f"`btrfs qgroup show -re {folder}` shows the limits" in ran.err
    assert NOT_IT not in ran.err
    assert is_nocow(small)
    assert not is_nocow(large)


@pytest.mark.parametrize("call", ["fallocate", "pwritev2", "linkat"])
def test_room_that_this_run_has_freed_is_waited_for(host: World, call: str):
    """ENOSPC once, as where the space of the images before is not yet given back."""
    files = [written(host.area / f"{n}.raw", 200 * KIB, seed=n) for n in range(3)]
    before = list(map(digest, files))
    with rewriter([*STRACE, f"inject={call}:error=ENOSPC:when=2"]) as rewrite:
        rewrite.done(host.area)
    assert list(map(digest, files)) == before
    assert all(map(is_nocow, files))


def test_images_that_fit_only_one_after_the_other(host: World):
    """Btrfs gives the room of one back only when it commits, which is asked for."""
    disk = host.image("disk", "commit=600", mkfs=["-m", "single"])
    files = [written(disk.path / f"{n}.raw", 40 * MIB, seed=n) for n in range(3)]
    written(disk.path / "ballast", 60 * MIB)
    run("chattr", "+i", disk.path / "ballast")
    with rewriter() as rewrite:
        ended = rewrite(disk.path)
    assert ended.left == 1, ended
    assert "ballast: it is immutable" in ended.message
    assert all(map(is_nocow, files))


@oracle("lsattr", "V722")
def test_the_largest_file_there_is_is_left_and_named(host: World):
    """A sparse one, as tests of thin provisioning make it."""
    folder = host.area / "vm"
    folder.mkdir()
    largest = written(folder / "a-largest.raw", 1, at=4096)
    os.truncate(largest, 2**63 - 1)
    other = written(folder / "b.raw", 100 * KIB)
    host.nocow(folder, existing="rewrite")
    ran = host.apply(expect=3)
    assert "nearly the most that there can be" in _left(ran, "a-largest.raw", "V722")
    assert NOT_IT not in ran.err
    assert is_nocow(other)
    os.truncate(largest, 2**63 - 4097)
    host.apply()
    assert is_nocow(largest)
    assert largest.stat().st_size == 2**63 - 4097


def test_the_other_name_of_a_linked_image_is_named(host: World):
    image = written(host.area / "disk.raw", MIB)
    (host.area / "elsewhere").mkdir()
    os.link(image, host.area / "elsewhere" / "copy.raw")
    with rewriter() as rewrite:
        ended = rewrite(host.area)
    assert "disk.raw: 2 hard links: its other name in the subvolume, elsewhere/copy.raw, would" in (
        ended.message
    )
    assert "keep one name" in ended.hint


def test_an_attribute_that_no_other_file_may_have_is_named(host: World):
    image, other = written(host.area / "disk.raw", MIB), written(host.area / "other.raw", MIB)
    run("setfattr", "-n", "user.note", "-v", "kept", image)
    with rewriter([*STRACE, "inject=fsetxattr:error=EPERM"]) as rewrite:
        ended = rewrite(host.area)
    assert re.search("disk.raw: its attribute user.note cannot be given.*   V721", ended.message)
    assert ended.hint == "accept the image with `existing: keep`"
    assert (is_nocow(image), is_nocow(other)) == (False, True)


def test_each_reason_has_its_own_remedy(host: World):
    link, fixed = written(host.area / "link.raw", MIB), written(host.area / "fixed.raw", MIB)
    taken, free = written(host.area / "open.raw", MIB), written(host.area / "free.raw", MIB)
    os.link(link, host.area.parent / f"{host.area.name}" / "link2.raw")
    run("chattr", "+i", fixed)
    try:
        with rewriter() as rewrite, taken.open("rb"):
            ended = rewrite(host.area)
    finally:
        run("chattr", "-i", fixed)
    assert is_nocow(free)
    rows = sorted(row.strip() for row in ended.hint.splitlines())
    assert [row.partition(":")[0] for row in rows] == ["V702", "V703", "V704"]
    assert f"V702: {NOT_IT}" in rows[0]
    assert "`chattr -i` allows it" in rows[2]


# --- what nobody foresaw


class _Faulty(images_copy.Copier):
    """A copy that ends with what no system call says."""

    error: Exception = ZeroDivisionError("division by zero")

    def copy(self, source: int, target: int, going: Callable[[int], None]) -> None:
        if os.fstat(source).st_size == 5 * KIB:
            going(0)
            raise self.error
        super().copy(source, target, going)


@pytest.mark.parametrize(
    "error", [ZeroDivisionError("division by zero"), OverflowError(), MemoryError(), KeyError("x")]
)
def test_whatever_the_exception_the_others_go_on(host: World, error: Exception):
    names = ("a.raw", "b.raw", "c.raw")
    for number, name in enumerate(names):
        written(host.area / name, (4 + number) * KIB, seed=number)
    before = {name: digest(host.area / name) for name in names}
    with inode.directory(str(host.area)) as within, _Faulty() as copier:
        copier.error = error
        work = worklist._Work(Images(str(host.area), NOCOW), NOBODY, copier, 3, 0, 9)
        for name in names:
            with inode.opened(name, within) as fd:
                work.one(tree_walk.Entry(name, fd, os.fstat(fd), within))
        work.settle_all()
        with pytest.raises(HostError) as refused:
            work.report()
        os.close(os.open(host.area / "b.raw", os.O_RDWR | os.O_NONBLOCK))  # no lease is left
    words = refused.value.message
    assert "1 of 3 files left as it was:" in words
    assert f"b.raw: {type(error).__name__}" in words
    assert "V723" in words
    assert {name: digest(host.area / name) for name in names} == before
    assert [is_nocow(host.area / name) for name in names] == [True, False, True]
    assert sorted(os.listdir(host.area)) == sorted(names)


def test_where_undoing_fails_nothing_more_is_begun_and_both_files_stay(host: World):
    """Somebody writes to the old file, and the disk does not let the names change back."""
    files = [written(host.area / f"{n}.raw", MIB, seed=n) for n in range(3)]
    numbers = {image: image.stat().st_ino for image in files}
    before = {image: digest(image) for image in files}
    handles = {image: found_before(image) for image in files}
    later = "inject=fchown:delay_enter=700000:when=2"  # the second one, as the first waits
    with rewriter([*STRACE, "inject=renameat2:error=EIO:when=2", "-e", later]) as rewrite:
        rewrite.begin(host.area)
        image = _first_exchanged(numbers)
        opened(handles.pop(image), b"<mine>")
        ended = rewrite.end()
    for handle in handles.values():
        handle.close()
    assert ended.how == "refused", ended
    assert "1 of 3 files not done as planned:" in ended.message
    assert f"{image.name}: to undo its exchange failed (Input/output error)" in ended.message
    assert "no further file was begun" in ended.message
    assert "V724" in ended.message
    (stray,) = beside(host.area)
    assert os.path.basename(stray) in ended.message
    assert Path(stray).read_bytes().startswith(b"<mine>")
    assert {each: digest(each) for each in files} == before
    assert len(os.listdir(host.area)) == 4


def _first_exchanged(numbers: dict[Path, int]) -> Path:
    deadline = time.monotonic() + patience.SECONDS
    while time.monotonic() < deadline:
        for image, number in numbers.items():
            if image.stat().st_ino != number:
                return image
        time.sleep(0.001)
    raise AssertionError("none is exchanged")


def test_old_data_that_cannot_be_removed_is_said_and_removed_by_the_next_run(host: World):
    folder = host.area / "vm"
    folder.mkdir()
    run("chattr", "+C", folder)
    image = written(host.area / "new", MIB).rename(folder / "disk.raw")
    host.nocow(folder, existing="rewrite")
    ran = host.apply(expect=3, under=[*STRACE, "inject=unlinkat:error=EIO:when=1"])
    assert "it is rewritten, but its old data, '.vmtune-" in _left(ran, "disk.raw", "V724")
    assert is_nocow(image)
    host.apply()
    assert os.listdir(folder) == ["disk.raw"]


def test_many_images_with_few_descriptors(host: World):
    """Each that is held has three: fewer are held then."""
    files = [written(host.area / f"{n}.raw", 16 * KIB, seed=n) for n in range(8)]
    before = list(map(digest, files))
    with rewriter(["prlimit", "--nofile=40:40"]) as rewrite:
        rewrite.done(host.area)
    assert all(map(is_nocow, files))
    assert list(map(digest, files)) == before
    assert len(os.listdir(host.area)) == len(files)


@pytest.mark.parametrize("most", [0, 2])
def test_a_large_one_is_left_where_there_are_too_few_threads(host: World, most: int):
    """None of its pieces may be done later, when its descriptors are those of other files."""
    small = written(host.area / "small.raw", 16 * KIB)
    large = written(host.area / "large.raw", 20 * MIB)
    before = list(map(digest, [small, large]))
    few = ["-e", "trace=clone,clone3"]
    few += ["-e", f"inject=clone,clone3:error=EAGAIN:when={most + 1}+"]
    with rewriter([*STRACE[:-1], *few]) as rewrite:
        ended = rewrite.refused(host.area, "large.raw: the system allows no more threads")
    assert "pids.max" in ended.message + ended.hint
    assert is_nocow(small)
    assert not is_nocow(large)
    assert list(map(digest, [small, large])) == before
    assert len(os.listdir(host.area)) == 2
