"""What a rewrite leaves as it is, seen in the plan or only as it is done; the others are done."""

import os
import re
import socket
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import patience
from tests.btrfs.outside import is_nocow, run, sync
from tests.btrfs.rewriting import MIB, beside, digest, written
from tests.btrfs.world import World, until

HELD_UP = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "inject=fallocate:delay_enter=900000"]

_BEFORE_THE_FIRST = "inject=fsync,fdatasync,syncfs:delay_exit=300000"


@dataclass(frozen=True)
class Hindrance:
    """What is done to an image and undone; words and code of the plan, and of apply itself."""

    do: Callable[[Path, ExitStack], object]
    planned: str
    applied: str
    code: str


def _link(image: Path, end: ExitStack) -> None:
    other = image.parent.parent / "other-name"
    os.link(image, other)
    end.callback(other.unlink)


def _attribute(letter: str) -> Callable[[Path, ExitStack], None]:
    def do(image: Path, end: ExitStack) -> None:
        end.callback(run, "chattr", f"-{letter}", image)
        run("chattr", f"+{letter}", image)

    return do


def _open(image: Path, end: ExitStack) -> None:
    end.enter_context(image.open("rb"))


HINDRANCES = {
    "hard link": Hindrance(_link, "more than one name (hard links)", "2 hard links", "V703"),
    "immutable": Hindrance(_attribute("i"), "it is immutable", "it is immutable", "V704"),
    "append-only": Hindrance(_attribute("a"), "it is append-only", "it is append-only", "V704"),
    "open": Hindrance(_open, f"(pid {os.getpid()})", f"(pid {os.getpid()})", "V702"),
}


@pytest.fixture
def images(host: World) -> list[Path]:
    """Three, in a directory that is nocow already."""
    folder = host.area / "vm"
    folder.mkdir()
    run("chattr", "+C", folder)
    found = []
    for number, name in enumerate(("first.raw", "held.raw", "last.raw")):
        written(host.area / "new", MIB, seed=number).rename(folder / name)
        found.append(folder / name)
    host.nocow(folder, existing="rewrite")
    return found


@contextmanager
def untouched(*paths: Path) -> Iterator[None]:
    """The same inodes with the same bytes, of the same layout, afterwards."""

    def now() -> list[tuple[int, str, bool]]:
        return [(path.stat().st_ino, digest(path), is_nocow(path)) for path in paths]

    before = now()
    yield
    assert now() == before


@pytest.mark.parametrize("name", HINDRANCES)
def test_what_stands_in_the_way_of_one_is_planned(host: World, images: list[Path], name: str):
    first, held, last = images
    one = HINDRANCES[name]
    with ExitStack() as end, untouched(held):
        one.do(held, end)
        plan = host.plan(expect=2)
        row = plan.row(f"! images {held}")
        assert one.planned in row
        assert f"   {one.code}   why " in row
        assert "2 files copy-on-write  ->  nocow" in plan.out
        assert host.vmtune("status").code == 2
        host.apply(expect=7)
        assert is_nocow(first)
        assert is_nocow(last)
        host.apply(expect=7)  # nothing more is to be done, and that is no success either
    host.apply()
    assert is_nocow(held)
    host.plan(expect=0)


@pytest.mark.parametrize("name", HINDRANCES)
def test_what_comes_in_the_way_after_the_plan_is_named_too(
    host: World, images: list[Path], name: str
):
    """Asked for once; while the first image is copied the last one in turn becomes unfit."""
    held = images[0].parent / os.listdir(images[0].parent)[-1]  # in the order of the walk
    others = [path for path in images if path != held]
    one = HINDRANCES[name]
    before = {path: path.stat().st_ino for path in others}
    with ExitStack() as end, untouched(held):
        process = host.start("apply", "--yes", under=HELD_UP)
        until("a copy is begun", lambda: _copying(process.pid))
        one.do(held, end)
        assert {path: path.stat().st_ino for path in others} == before, "it came too late"
        _, err = process.communicate(timeout=patience.SECONDS)
        assert process.returncode == 3, err
        assert "1 of 3 files left as it was:" in err
        assert re.search(
            rf"^ *{held.name}: .*{re.escape(one.applied)}.*   {one.code}$", err, re.MULTILINE
        )
        assert all(map(is_nocow, others))
        assert beside(host.area) == []
    host.apply()
    assert is_nocow(held)


def _copying(strace: int) -> bool:
    """Whether there is a file without a name that has grown: a copy, its space about to be got."""
    children = Path(f"/proc/{strace}/task/{strace}/children").read_text().split()
    folder = Path(f"/proc/{children[0]}/fd") if children else Path("/nowhere")
    for path in folder.iterdir() if folder.exists() else ():
        try:
            status = path.stat()
        except FileNotFoundError:  # closed since it was listed
            continue
        if stat.S_ISREG(status.st_mode) and not status.st_nlink and status.st_size == MIB:
            return True
    return False


def _shape(path: Path) -> tuple[object, ...]:
    status = path.lstat()
    link = os.readlink(path) if path.is_symlink() else ""
    return status.st_ino, status.st_mode, status.st_rdev, status.st_ctime_ns, link


def test_what_is_no_regular_file_is_named_and_left(host: World, images: list[Path]):
    """Not opened either: a FIFO would wait, a device do who knows what."""
    folder = images[0].parent
    elsewhere = written(host.area / "elsewhere.raw", MIB, seed=9)
    (folder / "a-link").symlink_to(elsewhere)
    (folder / "b-own-link").symlink_to(images[0].name)
    os.mkfifo(folder / "c-fifo")
    os.mknod(folder / "d-zero", 0o600 | stat.S_IFCHR, os.makedev(1, 5))
    os.mknod(folder / "e-loop", 0o600 | stat.S_IFBLK, os.makedev(7, 250))
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder / "f-socket"))
    names = ("a-link", "b-own-link", "c-fifo", "d-zero", "e-loop", "f-socket")
    before = [_shape(folder / name) for name in names]
    note = host.plan(expect=2).row("no regular file")
    assert (
        "a-link (symbolic link), b-own-link (symbolic link), c-fifo (FIFO) and 3 more (V712)"
        in note
    )
    with untouched(elsewhere):
        began = time.monotonic()
        host.apply()
        assert time.monotonic() - began < 15 * patience.FACTOR
    assert [_shape(folder / name) for name in names] == before
    assert all(map(is_nocow, images))
    assert (folder / "b-own-link").read_bytes() == images[0].read_bytes()
    assert "no regular file" not in host.plan(expect=0).out


def test_a_read_only_subvolume(host: World):
    """As a backup is received: refused as a whole, and so is one that becomes it meanwhile."""
    folder = host.area / "pool"
    run("btrfs", "subvolume", "create", folder)
    image = written(folder / "disk.raw", MIB)
    run("chattr", "+C", folder)
    host.nocow(folder, existing="rewrite")
    read_only = ["btrfs", "property", "set", "-f", folder, "ro"]
    with untouched(image):
        run(*read_only, "true")
        assert "read-only mount or subvolume" in host.plan(expect=7).row(f"! images {folder}")
        host.apply(expect=7)
        run(*read_only, "false")
        process = host.start("apply", "--yes", under=HELD_UP)
        until("a copy is begun", lambda: _copying(process.pid))
        run(*read_only, "true")
        _, err = process.communicate(timeout=patience.SECONDS)
        assert process.returncode == 3, err
        assert "disk.raw: its subvolume is read-only" in err
        assert beside(folder) == []
    run(*read_only, "false")
    host.apply()
    assert is_nocow(image)


def test_space_that_is_gone_by_the_time_it_is_needed(host: World):
    """The plan had found enough: the large one is left, named with figures, the small one done."""
    disk = host.image("small", mkfs=["-m", "single"])
    folder = disk.path / "vm"
    folder.mkdir()
    small, large = written(folder / "small.raw", MIB), written(folder / "large.raw", 100 * MIB)
    sync()
    host.nocow(folder, existing="rewrite")
    assert "2 files copy-on-write  ->  nocow" in host.plan(expect=2).out
    with untouched(large):
        process = host.start("apply", "--yes", under=[*HELD_UP[:-1], _BEFORE_THE_FIRST])
        until("it begins", lambda: is_nocow(folder))
        run("fallocate", "-l", "120M", disk.path / "ballast")
        _, err = process.communicate(timeout=patience.SECONDS)
        assert process.returncode == 3, err
        assert re.search(
            r"large.raw: not enough space: it needs 116.8 MiB, [\d.]+ MiB are free   V706", err
        )
        assert beside(folder) == []
    assert is_nocow(small)
    assert "V706" in host.plan(expect=7).row(f"! images {large}")
    host.apply(expect=7)
    (disk.path / "ballast").unlink()
    sync()
    host.apply()
    assert is_nocow(large)
