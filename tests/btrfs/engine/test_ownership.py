"""What is declared is never undone: places are compared as things, configurations as files."""

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.btrfs.each import CRON_D
from tests.btrfs.forking import truly
from tests.btrfs.outside import compression, is_nocow, run
from tests.btrfs.sandbox import PROGRAM
from tests.btrfs.world import _ENV, FSTAB, NOBODY, TOP, Image, Ran, World

CLAIMS = Path("/var/lib/vmtune/claims.json")


def paths(*entries: object) -> dict[str, object]:
    """The section, each entry a path that is nocow or a mapping of its own."""
    found = [
        each if isinstance(each, dict) else {"path": str(each), "nocow": True} for each in entries
    ]
    return {"paths": found}


def write(file: Path, **sections: object) -> Path:
    """A configuration that everybody may read."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"version": 1, **sections}))
    file.chmod(0o644)
    return file


def planned(host: World, config: Path | None = None, *words: str, expect: int = 0) -> Ran:
    ran = host.vmtune("plan", "--detailed-exitcode", *words, config=config)
    assert ran.code == expect, ran
    return ran


def applied(host: World, config: Path | None = None, *words: str, expect: int = 0) -> Ran:
    ran = host.vmtune("apply", "--yes", *words, config=config)
    assert ran.code == expect, ran
    return ran


@pytest.fixture
def vms(host: World) -> Path:
    """A directory that was there before, copy-on-write, and declared nocow."""
    folder = host.area / "vms"
    folder.mkdir()
    host.nocow(folder)
    host.apply()
    assert is_nocow(folder)
    return folder


# --- one thing, written in another way


def _slash(path: Path) -> str:
    return f"{path}/"


def _double(path: Path) -> str:
    return f"/{path}"


def _home(path: Path) -> str:
    return f"~/{_in_root(path)}"


def _root_home(path: Path) -> str:
    return f"~root/{_in_root(path)}"


def _in_root(path: Path) -> str:
    """A link in the home of root, which tests that run beside this one share."""
    name = f"vms-by-home-{os.getpid()}"
    os.symlink(path, f"/root/{name}")
    return name


def _link(path: Path) -> str:
    path.with_name("link").symlink_to(path)
    return str(path.with_name("link"))


def _bind(path: Path) -> str:
    other = TOP / "t" / "other"
    other.mkdir()
    run("mount", "--bind", path, other)
    return str(other)


SPELLINGS = [_slash, _double, _home, _root_home, _link, _bind]


@pytest.fixture
def _no_link() -> Iterator[None]:
    yield
    Path(f"/root/vms-by-home-{os.getpid()}").unlink(missing_ok=True)


@pytest.mark.usefixtures("_no_link")
@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("way", ["to", "from"])
def test_a_directory_that_is_respelt_stays_as_declared(
    host: World, spelling: Callable[[Path], str], way: str
):
    folder = host.area / "vms"
    folder.mkdir()
    other = spelling(folder)
    first, second = (str(folder), other) if way == "to" else (other, str(folder))
    host.declare(**paths(first))
    host.apply()
    host.declare(**paths(second))
    assert "Nothing to do: 1 in sync" in planned(host).out
    host.apply()
    assert is_nocow(folder)
    (folder / "new.raw").write_bytes(b"x")
    assert is_nocow(folder / "new.raw")
    before = CLAIMS.stat()
    host.apply()
    assert CLAIMS.stat().st_ino == before.st_ino, "a second apply writes nothing"
    (folder / "new.raw").unlink()
    host.config("")
    assert "no longer declared" in planned(host, expect=2).out
    host.apply()
    assert not is_nocow(folder)
    planned(host)


def test_the_place_of_a_home_moves_and_a_link_stays(host: World, vms: Path):
    """As where a distribution moves /home to /var/home."""
    moved = host.area / "var"
    moved.mkdir()
    vms.rename(moved / "vms")
    vms.symlink_to(moved / "vms")
    host.nocow(moved / "vms")
    assert "1 in sync" in planned(host).out
    host.apply()
    assert is_nocow(moved / "vms")
    host.config("")
    host.apply()
    assert not is_nocow(moved / "vms")
    planned(host)
    run("chattr", "+C", moved / "vms")
    planned(host)  # it is put back once, and then nobody's


def test_what_another_directory_holds_by_then_is_not_vmtunes(host: World, vms: Path):
    """The path leads to another directory since: by a link, or anew."""
    theirs = host.area / "theirs"
    theirs.mkdir()
    run("chattr", "+C", theirs)
    vms.rename(vms.with_name("before"))
    vms.symlink_to(theirs)
    planned(host)
    host.config("")
    ran = planned(host)
    assert f"{theirs} is another directory than the one that run 1 changed: it stays" in ran.out
    host.apply()
    assert is_nocow(theirs)


def test_a_directory_that_is_made_anew_and_set_again_is_put_back(host: World, vms: Path):
    vms.rmdir()
    vms.mkdir()
    host.apply()
    assert is_nocow(vms)
    host.config("")
    host.apply()
    assert not is_nocow(vms)
    planned(host)


def test_a_directory_that_vmtune_turned_into_a_subvolume_is_still_its_own(host: World, vms: Path):
    host.nocow(vms, subvolume=True)
    host.apply()
    host.declare(paths=[{"path": str(vms), "subvolume": True}])
    host.apply()
    assert not is_nocow(vms)
    planned(host)


@pytest.mark.parametrize("scheduler", ["cron"])
def test_a_schedule_that_is_respelt_stays(host: World, scheduler: str):
    folder = host.area / "vms"
    folder.mkdir()
    link = folder.with_name("link")
    link.symlink_to(folder)
    for path in (folder, link, f"{folder}/"):
        host.declare(defrag=[{"path": str(path), "schedule": "@weekly", "scheduler": scheduler}])
        host.apply()
        assert len(list(CRON_D.iterdir())) == 1
        planned(host)
    host.config("")
    host.apply()
    assert not list(CRON_D.iterdir())


# --- one setting of a filesystem, by several mount points


@pytest.fixture
def two(host: World) -> tuple[Image, Path, Path]:
    """A filesystem that is mounted twice, each with a line of its own."""
    image = host.image("data", "compress=zstd:1")
    image.subvolume("sub")
    other = image.mount(TOP / "t" / "other", "subvol=sub")
    host.fstab(image.line("compress=zstd:1") + image.line("subvol=sub", other))
    return image, image.path, other


@pytest.mark.parametrize(
    "way", ["first to second", "second to first", "both to first", "both to second"]
)
@pytest.mark.parametrize("saved", [False, True])
def test_a_setting_that_another_mount_point_declares_stays(
    host: World, two: tuple[Image, Path, Path], way: str, saved: bool
):
    _, first, second = two

    def declare(*targets: Path) -> None:
        host.declare(
            mounts=[{"target": str(t), "options": {"compress": "zstd:2"}} for t in targets]
        )

    declare(*{"f": [first], "s": [second], "b": [first, second]}[way[0]])
    host.apply()
    declare(second if way.endswith("second") else first)
    if saved:
        plan = TOP / "t" / "saved.plan"
        host.vmtune("plan", "-o", str(plan))
        applied(host, None, str(plan))
    else:
        host.apply()
    assert compression(first) == ["compress=zstd:2"]
    planned(host)
    lines = [line.split()[3] for line in FSTAB.read_text().splitlines()]
    kept, gone = (1, 0) if way.endswith("second") else (0, 1)
    assert "compress=zstd:2" in lines[kept]
    assert lines[gone] == ["compress=zstd:1", "subvol=sub"][gone]


# --- one within another


def test_an_entry_that_is_replaced_by_the_one_around_it(host: World):
    inner = host.area / "vms" / "win"
    inner.mkdir(parents=True)
    host.nocow(inner)
    host.apply()
    host.nocow(inner.parent)
    host.apply()
    assert is_nocow(inner)
    assert is_nocow(inner.parent)
    planned(host)
    host.config("")
    host.apply()
    assert not is_nocow(inner)
    assert not is_nocow(inner.parent)
    planned(host)


def test_an_entry_that_is_replaced_by_one_within_it(host: World):
    inner = host.area / "vms" / "win"
    inner.mkdir(parents=True)
    host.nocow(inner.parent)
    host.apply()
    host.nocow(inner)
    said = "what was made nocow below it is left as it is"
    assert said in host.plan(expect=2).out
    host.apply()
    assert is_nocow(inner)
    assert not is_nocow(inner.parent)
    assert said not in planned(host).out, "it was said, and nobody can change it"


def test_a_subvolume_within_is_no_part_of_what_is_around_it(host: World):
    inner = host.area / "vms" / "win"
    inner.parent.mkdir()
    run("btrfs", "subvolume", "create", inner)
    host.nocow(inner)
    host.apply()
    host.nocow(inner.parent)
    host.apply()
    assert not is_nocow(inner)
    planned(host)


def test_directories_on_the_way_stay_while_what_is_in_them_is_declared(host: World):
    deep = host.area / "a" / "b" / "vms"
    host.nocow(deep)
    host.apply()
    assert "1 in sync" in planned(host).out
    host.config("")
    host.apply()
    assert not (host.area / "a").exists(), "vmtune made them, and they are empty"
    planned(host)


def test_a_directory_that_vmtune_made_stays_where_it_is_not_empty(host: World):
    made = host.area / "vms"
    host.nocow(made)
    host.apply()
    (made / "a.raw").write_bytes(b"x")
    host.config("")
    ran = planned(host)
    assert f"{made} stays, nocow, because it is not empty. Run 1 made it" in ran.out, ran
    host.apply()
    assert (made / "a.raw").exists()
    (made / "a.raw").unlink()
    planned(host, expect=2)
    host.apply()
    assert not made.exists()
    planned(host)


def test_a_directory_that_vmtune_made_stays_where_somebody_works_in_it(host: World):
    made = host.area / "vms"
    host.nocow(made)
    host.apply()
    host.config("")
    with subprocess.Popen(["sleep", "60"], cwd=made) as standing:
        ran = planned(host)
        assert f"{made} stays, nocow, because sleep (pid {standing.pid}) has it open" in ran.out
        host.apply()
        standing.kill()
    assert made.exists()
    host.apply()
    assert not made.exists()


# --- an entry that is refused now is declared all the same


def test_what_is_refused_now_is_not_put_back(host: World):
    image = host.image("raid", mkfs=("-draid1", "-mraid1"), size=2)
    folder = image.path / "vms"
    folder.mkdir()
    link = host.area / "link"
    link.symlink_to(folder)
    host.nocow(folder, allow=["raid"])
    host.apply()
    run("mount", "-o", "remount,ro", image.path)
    host.nocow(link, allow=["raid"])
    ran = host.vmtune("plan")
    assert "no longer declared" not in ran.out, ran
    run("mount", "-o", "remount,rw", image.path)
    host.apply()
    assert is_nocow(folder)


# --- configurations are files


def test_one_file_behind_a_link_is_one_configuration(host: World, vms: Path):
    link = host.file.with_name("link.yaml")
    link.symlink_to(host.file)
    assert "Nothing to do: 1 in sync" in planned(host, link).out
    applied(host, link)
    host.config("")
    assert "- nocow" in planned(host, link, expect=2).out
    applied(host, link)
    assert not is_nocow(vms)
    planned(host)


def test_a_file_that_is_moved_hands_on_what_it_declared(host: World, vms: Path):
    moved = host.file.with_name("moved.yaml")
    host.file.rename(moved)
    ran = planned(host, moved)
    assert "Nothing to do: 1 in sync" in ran.out, ran
    assert "also notes" in ran.out, ran
    applied(host, moved)
    assert "also notes" not in planned(host, moved).out
    write(moved)
    applied(host, moved)
    assert not is_nocow(vms)
    planned(host, moved)


@pytest.mark.parametrize("what", ["file", "folder"])
def test_a_file_that_is_moved_with_a_link_in_its_place_is_one_configuration(
    host: World, vms: Path, what: str
):
    """As stow and other keepers of dotfiles do."""
    folder = host.file.with_name("dot")
    mine = write(folder / "vmtune.yaml", **paths(vms))
    applied(host, mine)
    host.file.unlink()
    moved = folder if what == "folder" else mine
    moved.rename(moved.with_name("moved"))
    moved.symlink_to("moved")
    assert "also notes" in planned(host, mine).out
    write(mine, paths=[{"path": str(vms), "nocow": False}])
    assert "~ nocow" in planned(host, mine, expect=2).out
    write(mine)
    applied(host, mine)
    assert not is_nocow(vms)
    assert "also notes" not in planned(host, mine.resolve()).out


def test_what_is_no_file_any_more_is_gone_but_a_link_that_dangles_is_not(host: World, vms: Path):
    other = write(host.file.with_name("other.yaml"))
    host.file.unlink()
    host.file.mkdir()
    planned(host, other, expect=7)
    host.file.rmdir()
    os.mkfifo(host.file)
    planned(host, other, expect=7)
    host.file.unlink()
    host.file.symlink_to("home-that-is-not-mounted/vmtune.yaml")
    planned(host, other)
    applied(host, other)
    assert is_nocow(vms)


def test_what_a_file_that_is_gone_left_is_a_row_with_two_ways_out(host: World, vms: Path):
    other = write(host.file.with_name("other.yaml"))
    host.file.unlink()
    for command in (("plan", "--detailed-exitcode"), ("status",)):
        ran = host.vmtune(*command, config=other)
        assert ran.code == 7, ran
        said = f"the file that set this is gone, and no other file declares it: {host.file}"
        assert said in ran.row("! nocow"), ran
        assert f"`vmtune apply {vms}` takes it back" in ran.out
    assert str(vms) in host.vmtune("doctor", config=other).row("V405")
    applied(host, other, expect=7)
    assert is_nocow(vms), "a plain apply leaves it"
    applied(host, other, str(vms))
    assert not is_nocow(vms)
    planned(host, other)


def test_it_is_taken_back_where_there_is_no_configuration_at_all(host: World, vms: Path):
    host.file.unlink()
    code, out, err = truly([*PROGRAM, "apply", "--yes", str(vms)], _ENV, 0)
    assert code == 0, out + err
    assert not is_nocow(vms)


def test_declaring_it_in_any_file_keeps_it(host: World, vms: Path):
    other = write(host.file.with_name("other.yaml"), **paths(vms))
    host.file.unlink()
    planned(host, other)
    applied(host, other)
    assert is_nocow(vms)
    write(other)
    applied(host, other)
    assert not is_nocow(vms)


def test_a_file_that_cannot_be_told_to_be_gone_keeps_all_it_set(host: World, vms: Path):
    """Its home is a filesystem that is not mounted now."""
    home = host.image("home")
    mine = write(home.path / "vmtune.yaml", **paths(vms))
    host.file.unlink()
    applied(host, mine)
    run("umount", home.path)
    other = write(host.file.with_name("other.yaml"))
    planned(host, other)
    applied(host, other)
    assert is_nocow(vms)
    ran = host.vmtune("apply", "--yes", str(vms), config=other)
    assert ran.code == 64, ran


def test_a_directory_of_the_same_name_on_another_filesystem_is_not_its_home(host: World, vms: Path):
    home = host.image("home")
    mine = write(home.path / "dot" / "vmtune.yaml", **paths(vms))
    host.file.unlink()
    applied(host, mine)
    run("umount", home.path)
    (home.path / "dot").mkdir()
    planned(host, write(host.file.with_name("other.yaml")))
    (home.path / "dot").rmdir()


# --- two files


def assert_stays(ran: Ran, entry: str, file: Path) -> None:
    assert f"{entry} no longer declared: stays as it is" in re.sub(" +", " ", ran.out), ran
    assert f"{file} declared this at its last `apply`" in ran.out, ran
    assert f"take it out of that file too, and run `vmtune --config {file} apply`" in ran.out, ran


def test_a_file_that_is_there_again_holds_what_it_declared(host: World, vms: Path):
    """Another declared it while the file was away, and no longer does."""
    first, second = host.file, host.file.with_name("second.yaml")
    first.rename(second)
    applied(host, second)
    write(first)
    write(second)
    assert_stays(planned(host, second), f"nocow {vms}", first)
    applied(host, second)
    assert is_nocow(vms)
    planned(host, first, expect=2)
    applied(host, first)
    assert not is_nocow(vms)


def test_what_a_user_cannot_see_is_not_called_undeclared(host: World):
    """The same directory in two files, in one of them by a link that leads where only root goes."""
    closed, link = host.area / "closed", host.area / "link"
    (closed / "vms").mkdir(parents=True)
    link.symlink_to(closed / "vms")
    host.declare(**paths(closed / "vms"))
    host.apply()
    second = write(host.file.with_name("second.yaml"), **paths(link))
    applied(host, second)
    closed.chmod(0o700)
    ran = host.vmtune("plan", config=second, user=NOBODY)
    assert f"? nocow {link}" in re.sub(" +", " ", ran.out), ran
    assert "no longer declared" not in ran.out, ran


def test_what_two_files_declare_stays_until_both_have_let_go(host: World, vms: Path):
    other = write(host.file.with_name("other.yaml"), **paths(vms))
    applied(host, other)  # in sync already: noted all the same
    host.config("")
    assert_stays(planned(host), f"nocow {vms}", other)
    host.apply()
    assert is_nocow(vms)
    assert str(other) not in planned(host).out  # said once
    planned(host, other)
    write(other)
    applied(host, other)
    assert not is_nocow(vms)


@pytest.mark.parametrize("first", [0, 1])
def test_a_word_of_fstab_stays_until_both_have_let_go(host: World, first: int):
    image = host.image("data", "compress=zstd")
    host.fstab(image.line("x-mine,compress=zstd"))
    mounts = {"mounts": [{"target": str(image.path), "options": {"compress": "no"}}]}
    files = [write(host.file.with_name(f"{name}.yaml"), **mounts) for name in ("one", "two")]
    for file in files:
        applied(host, file)
    gone, kept = files[first], files[1 - first]
    write(gone)
    assert_stays(planned(host, gone), f"mount {image.path}", kept)
    applied(host, gone)
    assert FSTAB.read_text().split()[3] == "x-mine,compress=no"
    assert compression(image.path) == []
    planned(host, kept)
    write(kept)
    applied(host, kept)
    assert FSTAB.read_text().split()[3] == "x-mine,compress=zstd"
    assert compression(image.path) == ["compress=zstd:3"]
    for file in files:
        planned(host, file)


def test_two_files_that_want_different_values_neither_undoes_the_other(host: World, vms: Path):
    other = write(host.file.with_name("other.yaml"), paths=[{"path": str(vms), "nocow": False}])
    ran = planned(host, other, expect=7)
    said = f"{host.file} declares another value: {vms}: nocow true"
    assert said in ran.row("! nocow"), ran
    applied(host, other, expect=7)
    assert is_nocow(vms)
    planned(host)
    host.config("")
    host.apply()
    planned(host, other)


def test_revert_says_which_file_sets_it_again(host: World, vms: Path):
    words = f"{host.file} declared this at its last `apply`. As long as the file declares it, the"
    ran = host.vmtune("revert", "--yes")
    assert words in ran.out, ran
    assert not is_nocow(vms)
    host.apply()
    assert is_nocow(vms)
    host.config("")
    host.apply()
    host.nocow(vms)
    host.apply()
    host.file.unlink()
    assert words not in host.vmtune("revert", "--yes").out


def test_revert_of_a_taking_back_says_that_it_does_not_last(host: World, vms: Path):
    words = "took this back because no file declares it"
    assert words not in host.vmtune("revert").out
    host.config("")
    host.apply()
    ran = host.vmtune("revert", "--yes")
    assert words in ran.out, ran
    assert is_nocow(vms)
    host.apply()
    assert not is_nocow(vms)


# --- some entries only


def test_an_entry_that_is_chosen_is_done_alone(host: World):
    one, two = host.area / "one", host.area / "two"
    for folder in (one, two):
        folder.mkdir()
    host.declare(**paths(one, two))
    ran = host.vmtune("plan", str(one))
    assert str(two) not in ran.out.replace(str(host.file), "")
    assert "1 other entry not chosen" in ran.out, ran
    applied(host, None, str(one))
    assert is_nocow(one)
    assert not is_nocow(two)
    ran = host.vmtune("apply", "--yes", str(host.area / "tow"))
    assert ran.code == 64, ran
    assert f"did you mean {two}" in ran.err, ran
    applied(host, None, "nocow")
    assert is_nocow(two)


def test_of_two_that_are_no_longer_declared_only_the_chosen_one_is_taken_back(host: World):
    one, two = host.area / "one", host.area / "two"
    for folder in (one, two):
        folder.mkdir()
    host.declare(**paths(one, two))
    host.apply()
    host.config("")
    applied(host, None, str(two))
    assert is_nocow(one)
    assert not is_nocow(two)
    host.apply()
    assert not is_nocow(one)


def test_a_configuration_is_no_saved_plan(host: World):
    host.config("")
    for command in (["apply", "--yes"], ["plan"]):
        ran = host.vmtune(*command, str(host.file))
        assert ran.code == 64, ran
        assert f"vmtune {command[0]} --config {host.file}" in ran.err
