"""Both ways to the outline of a tree, a reading of the subvolume's inodes and a walk, agree."""

import os
import random
from pathlib import Path

import pytest

from reconciler.host.directories import outline, treescan
from reconciler.host.directories.tree import Walk
from tests.btrfs.outside import run, sync
from tests.btrfs.test_plan import offends
from tests.btrfs.world import World

ODD = ["plain", "two words", "n\new line", "\udcff\udcfe", "ümläut", "-C", "#", "x" * 200]


def read_as_a_tree(path: Path) -> outline.Tree:
    walk, found = Walk(), outline.Outline()
    assert treescan.scan(str(path), walk, found), "only a walk can"
    return outline._tree(str(path), walk, found)


def walked(path: Path) -> outline.Tree:
    walk, found = Walk(), outline.Outline()
    assert outline._walked(str(path), walk, found, dearer=outline._NEVER)
    return outline._tree(str(path), walk, found)


def grown(top: Path, chance: random.Random) -> Path:
    """Directories, files, more names for them, moves, subvolumes; some of each nocow."""
    top.mkdir()
    folders, files = [top], []
    for number in range(250):
        within = chance.choice(folders)
        path = within / f"{chance.choice(ODD)}{number}"
        match chance.randrange(12):
            case 0 | 1 | 2:
                path.mkdir()
                folders.append(path)
            case 3 | 4 | 5 | 6 | 7:
                path.write_bytes(b"x" * chance.choice([0, 1, 100, 5000, 70_000]))
                files.append(path)
            case 8 if files:
                os.link(chance.choice(files), path)
            case 9 if files:
                moved = chance.choice(files)
                files.remove(moved)
                files.append(moved.rename(path))
            case 10:
                run("btrfs", "subvolume", "create", path, errors="surrogateescape")
                (path / "inner.raw").write_bytes(b"x")
            case 11:
                path.symlink_to("plain")
        if chance.random() < 0.3:
            run("chattr", "+C", within, errors="surrogateescape")
    return top


@pytest.mark.parametrize("seed", range(6))
def test_both_see_the_same(host: World, seed: int):
    chance = random.Random(seed)  # noqa: S311 - shapes
    beside = grown(host.area / "beside", chance)
    top = grown(host.area / "top", chance)
    later = host.area / "later"  # directories with higher numbers than what is moved into them
    (later / "deep" / "er").mkdir(parents=True)
    for path in [*top.iterdir()][:3]:
        path.rename(later / "deep" / "er" / path.name)
    later.rename(top / "later")
    for number, path in enumerate(path for path in beside.iterdir() if path.is_file()):
        os.link(path, top / f"from beside {number}", follow_symlinks=False)
    sync()
    expected = walked(top)
    assert expected.files > 50
    assert expected.subvolumes
    assert expected.cow.count
    assert expected.nocow_directories
    assert read_as_a_tree(top) == expected
    assert read_as_a_tree(host.area) == walked(host.area)


@pytest.mark.parametrize("letter", ["+C", "-C"])
def test_an_attribute_just_set_is_seen(host: World, letter: str):
    """What the kernel has not committed lies beside the tree that is read."""
    for number in range(100):
        (host.area / str(number)).mkdir()
    run("chattr", "-R", "-C" if letter == "+C" else "+C", *host.area.iterdir())
    sync()
    run("chattr", letter, host.area / "42")
    found = read_as_a_tree(host.area)
    assert ("42" in found.plain.named) == (letter == "-C")
    assert found.nocow_directories == (1 if letter == "+C" else 99)
    assert found == walked(host.area)


def test_data_that_is_not_written_yet_is_data(host: World):
    """The tree knows a file as empty until its data is on disk."""
    (host.area / "old.raw").write_bytes(b"x")
    sync()
    (host.area / "new.raw").write_bytes(b"x" * 5000)
    found = read_as_a_tree(host.area)
    assert (found.cow.count, found.plain.count) == (2, 0)


def test_a_deleted_file_that_is_open_is_none(host: World):
    (host.area / "there.raw").write_bytes(b"x")
    gone = host.area / "gone.raw"
    with gone.open("wb") as file:
        file.write(b"x" * 5000)
        file.flush()
        os.fsync(file.fileno())
        gone.unlink()
        assert read_as_a_tree(host.area).files == 1


def test_a_forged_inode_in_data_is_no_inode(host: World):
    """Small files lie in the tree themselves: what they hold must not be taken for more of it."""
    forged = treescan.treesearch._HEADER.size * b"\1" + treescan.treesearch._NEXT_INODE * 90
    for number in range(50):
        (host.area / str(number)).write_bytes(forged)
        os.setxattr(host.area / str(number), "user.forged", forged)
        (host.area / f"d{number}").mkdir()
        os.setxattr(host.area / f"d{number}", "user.forged", forged)
    sync()
    found = read_as_a_tree(host.area)
    assert (found.files, found.plain.count) == (50, 50)
    assert found == walked(host.area)


def test_many_names_in_one_directory_are_all_seen(host: World):
    """More than one item of the tree holds: the kernel then keeps them apart (INODE_EXTREF)."""
    first = host.area / ("n" * 250)
    first.write_bytes(b"x")
    for number in range(300):
        os.link(first, host.area / f"{number:03}{'n' * 240}")
    first.unlink()
    sync()
    assert read_as_a_tree(host.area) == walked(host.area)
    assert read_as_a_tree(host.area).files == 300


@pytest.mark.parametrize("name", [".vmtune-1-2-3", "a.opened-meanwhile-5"])
def test_what_a_killed_run_left_is_for_the_walk(host: World, name: str):
    (host.area / name).write_bytes(b"x")
    sync()
    assert not treescan.scan(str(host.area), Walk(), outline.Outline())


def test_a_large_tree_is_read_and_not_walked(host: World):
    """By a plan, too: no file of it is opened, one that is not nocow is named all the same."""
    folder = host.area / "many"
    folder.mkdir()
    run("chattr", "+C", folder)
    for number in range(5000):
        (folder / f"{number:04}.raw").write_bytes(b"x" * 100)
    (host.area / "cow.raw").write_bytes(b"x" * 100)
    (host.area / "cow.raw").rename(folder / "cow.raw")
    sync()  # what the tree knows as empty is opened
    host.nocow(folder)
    log = host.area / "trace"
    ran = host.vmtune("plan", under=["strace", "-f", "-qq", "-o", str(log)])
    assert "cow.raw" in ran.row("V101")
    lines = log.read_text().splitlines()
    assert any("BTRFS_IOC_TREE_SEARCH_V2" in line for line in lines)
    assert sum("FS_IOC_GETFLAGS" in line for line in lines) < 600
    assert [line for line in lines if offends(line)] == []
