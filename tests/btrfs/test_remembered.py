"""A large tree that was read once is known as long as it is so still: never a stale answer."""

import ctypes
import fcntl
import os
import random
import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from reconciler import __version__
from reconciler.host.directories import outline, remembered, treescan
from reconciler.host.directories.tally import KEPT
from reconciler.host.directories.tree import Walk
from reconciler.host.kernel import inode, treesearch
from tests.btrfs.outside import run, sync
from tests.btrfs.sandbox import TOP
from tests.btrfs.test_treescan import ODD, grown, read_as_a_tree, walked
from tests.btrfs.world import ALICE, NOBODY, World

FOLDER = Path(KEPT)
_HERE, _FOLLOW, _EXCHANGE = -100, 0x400, 2  # AT_FDCWD, AT_SYMLINK_FOLLOW, RENAME_EXCHANGE
_libc = ctypes.CDLL(None)


@pytest.fixture(autouse=True)
def _nothing_kept() -> Iterator[None]:
    shutil.rmtree(FOLDER, ignore_errors=True)
    yield
    shutil.rmtree(FOLDER, ignore_errors=True)


def recalled(path: Path) -> outline.Tree | None:
    walk = Walk()
    found = remembered.recall(str(path), walk)
    return None if found is None else outline._tree(str(path), walk, found)


def read_and_kept(path: Path) -> outline.Tree:
    sync()
    tree = read_as_a_tree(path)
    assert tree.reading
    remembered.keep([tree.reading])
    return tree


def images(top: Path) -> Path:
    """Nocow images, and in each of their directories more small files than are known by name."""
    top.mkdir()
    run("chattr", "+C", top)
    for number in range(20):
        folder = top / f"{number:02}"
        folder.mkdir()
        (folder / "disk.raw").write_bytes(b"x" * (1000 + number))
        for small in range(7):
            (folder / f"{small}").write_bytes(b"x" * 100)
    return top


def test_what_did_not_change_is_known(host: World):
    top = images(host.area / "top")
    tree = read_and_kept(top)
    assert recalled(top) == tree == walked(top)
    assert tree.files == 160


@pytest.mark.parametrize("seed", range(6))
def test_after_any_changes_it_is_known_as_it_is_or_not_at_all(
    host: World, monkeypatch: pytest.MonkeyPatch, seed: int
):
    """One to three changes inside, beside, in or out; most of them put an end to the memory."""
    monkeypatch.setattr(remembered, "_TICK", 0.05)  # all happens at once here
    chance = random.Random(seed)  # noqa: S311 - shapes
    beside = grown(host.area / "beside", chance)
    top = grown(host.area / "top", chance) if seed % 2 else images(host.area / "top")
    known = 0
    read_and_kept(top)
    for _ in range(30):
        for _ in range(chance.randrange(4)):
            _change(chance, top, beside)
        sync()
        found = recalled(top)
        if found is None:
            read_and_kept(top)
        else:
            known += 1
            assert found == walked(top)
            if found.reading:
                remembered.keep([found.reading])
    assert known >= 6


def _below(top: Path) -> list[Path]:
    """Not in the subvolumes that are in it: a link leads into no other."""
    device = top.stat().st_dev
    return [path for path in top.rglob("*") if path.lstat().st_dev == device]


def _change(chance: random.Random, top: Path, beside: Path) -> None:  # noqa: C901, PLR0912 - a list
    """Something that people and programs do, somewhere."""
    where = chance.choice([top, beside, beside])
    files = [path for path in _below(where) if path.is_file() and not path.is_symlink()]
    folders = [path for path in _below(where) if path.is_dir() and not path.is_symlink()]
    other = beside if where == top else top
    name = f"{chance.choice(ODD)}{chance.random()}"
    match chance.randrange(18):
        case 0:
            (chance.choice(folders) / name).write_bytes(b"x" * chance.choice([0, 5000]))
        case 1 | 2 | 3 | 4 if files:  # a machine writes, and its image may grow
            with open(chance.choice(files), "r+b") as file:
                file.seek(chance.choice([0, 10, 100_000]))
                file.write(b"y" * 5000)
        case 5 if files:
            os.truncate(chance.choice(files), chance.choice([0, 10, 200_000]))
        case 6 if files:
            chance.choice(files).unlink()
        case 7 if files:
            chance.choice(files).rename(chance.choice(folders) / name)
        case 8 if files:
            chance.choice(files).rename(other / name)
        case 9 if files:
            os.link(chance.choice(files), other / name)
        case 10:
            chance.choice(folders).rename(where / name)
        case 11:
            letter = chance.choice(["+C", "-C"])
            run("chattr", letter, chance.choice([*folders, where]), errors="surrogateescape")
        case 12 if files:  # data that is copy-on-write becomes nocow, and the other way round
            file = chance.choice(files)
            size = file.stat().st_size
            os.truncate(file, 0)
            run("chattr", chance.choice(["+C", "-C"]), file, errors="surrogateescape")
            file.write_bytes(b"z" * size)
        case 13:
            run("btrfs", "subvolume", "create", where / name, errors="surrogateescape")
        case 14 if files:
            os.utime(chance.choice([*files, *folders]))
            chance.choice(files).chmod(0o600)
        case 15 | 16:  # their times of access change
            run("find", where, errors="surrogateescape")
        case _ if files:  # made without a name, and given one
            fd = os.open(chance.choice(folders), os.O_TMPFILE | os.O_RDWR)
            os.write(fd, b"t" * 3000)
            path = os.fsencode(chance.choice(folders) / name)
            assert not _libc.linkat(_HERE, b"/proc/self/fd/%d" % fd, _HERE, path, _FOLLOW)
            os.close(fd)


def _grown(top: Path) -> None:
    with open(top / "03" / "disk.raw", "ab") as file:
        file.write(b"y" * 100_000)


def _written(top: Path) -> None:
    with open(top / "03" / "disk.raw", "r+b") as file:
        file.write(b"y" * 100)


def _beside(top: Path) -> None:
    (top.parent / "beside").mkdir()
    (top.parent / "beside" / "log").write_bytes(b"l" * 5000)
    os.link(top.parent / "beside" / "log", top.parent / "more")


def _open_and_gone(top: Path) -> None:
    with open(top.parent / "gone", "wb") as file:
        file.write(b"x")
        os.unlink(top.parent / "gone")
        sync()


@pytest.mark.parametrize("work", [_written, _grown, _beside, _open_and_gone])
def test_a_running_machine_does_not_end_the_memory(host: World, work: Callable[[Path], None]):
    top = images(host.area / "top")
    before = read_and_kept(top)
    work(top)
    sync()
    found = recalled(top)
    assert found == walked(top)
    assert (found == before) == (work is not _grown)


def _small(top: Path) -> None:
    """Not among the largest."""
    (top / "19" / "5").write_bytes(b"y" * 101)


def _made_again(file: Path, letter: str) -> None:
    size = file.stat().st_size
    os.truncate(file, 0)
    run("chattr", letter, file)
    file.write_bytes(b"z" * size)


def _twice(top: Path) -> None:
    """One file under two names counts twice."""
    os.truncate(top / "04" / "twice", 5000)


@pytest.mark.parametrize(
    "work",
    [
        _small,
        _twice,
        lambda top: os.truncate(top / "03" / "disk.raw", 999),
        lambda top: _made_again(top / "03" / "disk.raw", "-C"),
        lambda top: (top / "03" / "disk.raw").rename(top / "03" / "Disk.raw"),
        lambda top: (top / "03").rename(top.parent / "03"),
        lambda top: (top.parent / "free").rename(top / "free"),
        lambda top: (top.parent / "folder").rename(top / "folder"),
        lambda top: run("chattr", "-C", top / "03"),
    ],
)
def test_what_ends_the_memory(host: World, work: Callable[[Path], object]):
    top = images(host.area / "top")
    os.link(top / "03" / "6", top / "04" / "twice")
    (top.parent / "free").write_bytes(b"x")
    (top.parent / "folder").mkdir()
    os.truncate(top / "03" / "6", 2000)
    tree = read_and_kept(top)
    assert recalled(top) == tree
    work(top)
    sync()
    assert recalled(top) is None
    assert walked(top) != tree


def test_a_copy_on_write_image_that_became_nocow_is_not_taken_for_one_that_was(host: World):
    top = images(host.area / "top")
    _made_again(top / "03" / "disk.raw", "-C")
    assert read_and_kept(top).cow.count == 1
    _made_again(top / "03" / "disk.raw", "+C")
    sync()
    assert recalled(top) is None


def test_who_only_reads_does_not_end_the_memory(host: World):
    """Times of access are written as well: at the first look after a change, then once a day."""
    top = images(host.area / "top")
    time.sleep(1.1)
    tree = read_and_kept(top)
    before = top.joinpath("07").stat().st_atime_ns
    assert run("find", top).count("\n") == 181
    sync()
    assert top.joinpath("07").stat().st_atime_ns != before
    assert recalled(top) == tree
    (top / "07" / "1").rename(top / "07" / "2")
    assert recalled(top) is None


def _exchanged(one: Path, other: Path) -> None:
    assert not _libc.renameat2(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE)


def test_each_change_of_a_name_gives_a_directory_another_stamp(host: World):
    """Whatever the kernel counts with it: a snapshot leaves i_version as it was."""
    top, beside = host.area / "top", host.area / "beside"
    for folder in (top, beside):
        folder.mkdir()
        for name in ("one", "two"):
            (folder / name).write_bytes(b"x")
        run("btrfs", "subvolume", "create", folder / "sub")
    changes: list[Callable[[], object]] = [
        lambda: _exchanged(top / "one", top / "two"),
        lambda: _exchanged(top / "one", beside / "one"),
        lambda: _exchanged(top / "sub", beside / "sub"),
        lambda: (top / "one").rename(top / "eno"),
        lambda: (beside / "one").rename(top / "eno"),
        lambda: os.link(top / "two", top / "also"),
        (top / "also").unlink,
        lambda: (top / "link").symlink_to("two"),
        (top / "folder").mkdir,
        lambda: run("btrfs", "subvolume", "snapshot", top / "sub", top / "taken"),
        lambda: run("btrfs", "subvolume", "delete", top / "taken"),
        lambda: run("btrfs", "subvolume", "create", top / "made"),
        lambda: (top / "made").rename(beside / "made"),
        lambda: run("chattr", "+C", top),
    ]
    with inode.directory(str(host.area)) as fd:
        for change in changes:
            treesearch.commit(fd)
            before = treesearch.stamp(fd, top.stat().st_ino)
            time.sleep(0.02)
            change()
            treesearch.commit(fd)
            assert treesearch.stamp(fd, top.stat().st_ino)[2] != before[2]


def test_a_directory_changed_just_before_is_not_told_by_its_time(host: World):
    """Two changes in one tick of the clock have the same time."""
    top = images(host.area / "top")
    read_and_kept(top)
    (kept,) = FOLDER.iterdir()
    assert kept.read_text().endswith("\n{}")


def test_a_change_between_reading_and_keeping_is_seen(host: World):
    top = images(host.area / "top")
    sync()
    tree = read_as_a_tree(top)
    (top / "07" / "1").unlink()
    sync()
    time.sleep(1.1)
    assert tree.reading
    remembered.keep([tree.reading])
    run("find", top)
    assert recalled(top) is None


def test_another_directory_under_the_path_is_not_told_for_this_one(host: World):
    top = images(host.area / "top")
    time.sleep(1.1)
    sync()
    tree = read_as_a_tree(top)
    top.rename(host.area / "old")
    images(top)
    assert tree.reading
    remembered.keep([tree.reading])
    assert recalled(top) is None
    (kept,) = FOLDER.iterdir()
    assert kept.read_text().endswith("\n{}")


@pytest.mark.parametrize("gone", [False, True])
def test_a_directory_that_leaves_while_it_is_read(
    host: World, monkeypatch: pytest.MonkeyPatch, *, gone: bool
):
    """Between two questions about a way up, which then leads past the top, or nowhere."""
    top = images(host.area / "top")
    image = top / "only" / "disk.raw"
    image.parent.mkdir()
    image.write_bytes(b"x" * 9000)
    sync()
    number, names = image.stat().st_ino, treesearch.names

    def meanwhile(fd: int, of: int) -> Iterator[tuple[int, str]]:
        found = [*names(fd, of)]
        if of == number:
            image.parent.rename(host.area / "away")
            if gone:
                shutil.rmtree(host.area / "away")
            sync()
        yield from found

    monkeypatch.setattr(treesearch, "names", meanwhile)
    assert not treescan.scan(str(top), Walk(), outline.Outline())


def test_what_a_killed_run_or_an_old_directory_left_goes(host: World):
    top = images(host.area / "top")
    FOLDER.mkdir(mode=0o700)
    (FOLDER / ".x.0123abcd.vmtune").touch()
    (FOLDER / "old").touch()
    os.utime(FOLDER / "old", (0, 0))
    host.nocow(host.area / "made")
    host.apply()  # what it does begins with sweeping
    assert not (FOLDER / ".x.0123abcd.vmtune").exists()
    read_and_kept(top)
    assert not (FOLDER / "old").exists()


@pytest.mark.parametrize("letter", ["+C", "-C"])
def test_an_attribute_just_set_is_seen(host: World, letter: str):
    """Not committed yet: it lies beside the tree that is asked."""
    top = images(host.area / "top")
    run("chattr", "-C" if letter == "+C" else "+C", top / "07")
    read_and_kept(top)
    run("chattr", letter, top / "07")
    assert recalled(top) is None


def test_data_that_is_not_written_yet_is_seen(host: World):
    """An empty file that gets data changes no inode of the tree until that is on disk."""
    top = images(host.area / "top")
    (top / "empty").touch()
    tree = read_and_kept(top)
    assert recalled(top) == tree
    with open(top / "empty", "ab") as file:  # to truncate it first would change its inode at once
        file.write(b"x" * 5000)
    assert recalled(top) is None


def test_a_file_that_is_being_rewritten_is_left_to_a_walk(host: World):
    top = images(host.area / "top")
    tree = read_and_kept(top)
    pid = os.fork()
    if not pid:
        fd = os.open(top / "03" / "disk.raw", os.O_RDWR)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        os.kill(os.getpid(), 19)
        os._exit(0)
    os.waitpid(pid, os.WUNTRACED)
    try:
        assert recalled(top) is None
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
    assert recalled(top) == tree


def test_a_filesystem_put_back_to_an_older_state_is_not_known(host: World):
    """UUID, subvolume, inode and device number are the same, and its count of transactions too."""
    image = host.image("data")
    top = images(image.path / "top")
    file = TOP / "images" / "data0.img"
    status = image.path.stat()

    def put(to: Path) -> None:
        run("umount", image.path)
        shutil.copy(file, to) if to != file else shutil.copy(older, file)
        run("mount", "-o", "loop", file, image.path)
        assert image.path.stat().st_dev == status.st_dev

    older = file.with_suffix(".older")
    put(older)
    run("chattr", "-C", top / "07")
    for number in range(30):
        (top / "07" / "disk.raw").chmod(0o600 + number % 2)
        sync()
    assert read_and_kept(top).plain.named == ("07",)
    assert recalled(top)
    put(file)
    for number in range(60):
        (image.path / f"beside{number}").touch()
        sync()
    older.unlink()
    assert recalled(top) is None
    assert not walked(top).plain.count


@pytest.mark.parametrize("what", ["link", "theirs", "writable", "garbage", "other version", "cut"])
def test_what_root_did_not_write_is_not_obeyed(host: World, what: str):
    top = images(host.area / "top")
    tree = read_and_kept(top)
    (kept,) = FOLDER.iterdir()
    text = kept.read_text()
    if what == "link":
        FOLDER.rename("/run/moved")
        FOLDER.symlink_to("moved")
    elif what == "theirs":
        os.chown(FOLDER, ALICE, ALICE)
    elif what == "writable":
        FOLDER.chmod(0o777)
    else:
        damaged = {"garbage": "[1]", "other version": text.replace(__version__, "0.0", 1)}
        kept.write_text(damaged.get(what, text[:-20]))
    assert recalled(top) is None
    if what == "link":
        FOLDER.unlink()
        Path("/run/moved").rename(FOLDER)
    assert tree == walked(top)


@pytest.fixture
def large(host: World) -> Path:
    """Large enough to be read at once."""
    folder = host.area / "many"
    folder.mkdir()
    run("chattr", "+C", folder)
    for number in range(5000):
        (folder / f"{number:04}.raw").write_bytes(b"x" * 100)
    sync()
    host.nocow(folder)
    return folder


def calls(host: World, *arguments: str) -> str:
    log = TOP / "remembered"
    log.unlink(missing_ok=True)
    under = ["strace", "-f", "-qq", "-e", "trace=ioctl,openat,openat2", "-o", str(log)]
    ran = host.vmtune(*arguments, under=under)
    assert ran.code in {0, 2}, ran
    return log.read_text()


@pytest.mark.usefixtures("large")
def test_a_plan_writes_no_memory_and_an_apply_does(host: World):
    host.plan()
    host.vmtune("status")
    assert not FOLDER.exists()
    host.apply()
    (kept,) = FOLDER.iterdir()
    assert FOLDER.stat().st_mode & 0o777 == 0o700
    assert kept.stat().st_mode & 0o777 == 0o600
    mine = calls(host, "plan")
    assert mine.count("BTRFS_IOC_TREE_SEARCH_V2") <= 4
    assert mine.count("FS_IOC_GETFLAGS") < 10
    assert mine.count(str(kept.name)) == 1


def test_what_apply_did_itself_is_remembered_too(host: World, large: Path):
    """The look after its last action is the one that counts."""
    (large / "late").mkdir()
    run("chattr", "-C", large / "late")
    host.apply()
    assert "C" in run("lsattr", "-d", large / "late").split()[0]
    assert calls(host, "plan").count("FS_IOC_GETFLAGS") < 10


def test_a_change_is_planned_as_if_nothing_was_remembered(host: World, large: Path):
    host.apply()
    (large / "cow.raw").touch()
    run("chattr", "-C", large / "cow.raw")
    (large / "cow.raw").write_bytes(b"x" * 5000)
    assert "cow.raw" in host.plan(expect=7).row("V101")
    kept = host.vmtune("status", "--json").out
    shutil.rmtree(FOLDER)
    anew = host.vmtune("status", "--json").out
    assert re.sub(r"T[\d:]+", "", anew) == re.sub(r"T[\d:]+", "", kept)


@pytest.mark.usefixtures("large")
def test_who_is_not_root_sees_the_same(host: World):
    host.apply()
    assert host.plan(user=NOBODY).out == host.plan().out
