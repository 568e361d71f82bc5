"""``vmtune explain PATH``: what status shows of a file, and why the plan leaves it alone."""

import mmap
import os
from pathlib import Path

import pytest

from tests.btrfs.commands.test_status_effect import scatter
from tests.btrfs.outside import fragments, run, sync, tree
from tests.btrfs.world import ALICE, NOBODY, World

MIB = 1 << 20


@pytest.fixture
def vm(host: World) -> Path:
    """Images of every sort below one entry."""
    place = host.image("disk", "compress=zstd").path / "vm"
    (place / "sub").mkdir(parents=True)
    scatter(place / "cow.raw", 8 * MIB, 200)
    (place / "sub" / "packed.raw").write_bytes(b"vmtune" * MIB)
    (place / "nocow.raw").touch()
    run("chattr", "+C", place / "nocow.raw")
    (place / "nocow.raw").write_bytes(os.urandom(2 * MIB))
    os.link(place / "cow.raw", place / "linked.raw")
    sync()
    host.nocow(place, existing="rewrite")
    return place


def explained(host: World, *words: str | Path, user: int = 0) -> str:
    ran = host.vmtune("explain", *map(str, words), user=user)
    assert ran.code == 0, ran
    return ran.out


def test_a_file_below_an_entry(host: World, vm: Path):
    said = explained(host, vm / "cow.raw")
    assert f"declared at {host.file}:3:14  for {vm} and what is below it" in said
    assert f"cow.raw: 8.0 MiB, copy-on-write, {fragments(vm / 'cow.raw')} fragments" in said
    assert f"! images {vm}/cow.raw" in said
    assert "not rewritten: it has more than one name" in said
    assert "\nV703  The file has more than one name." in said
    assert "nocow.raw" not in said
    assert "packed.raw" not in said


def test_a_file_that_the_entry_rewrites(host: World, vm: Path):
    said = explained(host, vm / "sub" / "packed.raw")
    assert "sub/packed.raw: 6.0 MiB, copy-on-write, " in said
    assert ", 6.0 MiB compressed\n" in said
    assert "▒▒▒▒" in said
    assert f"~ images {vm} " in said
    assert "linked.raw" not in said


def test_a_file_that_is_as_declared(host: World, vm: Path):
    assert host.vmtune("apply", "--yes").code == 7
    for name in ("nocow.raw", "sub/packed.raw"):
        said = explained(host, vm / name)
        assert f"{name}: " in said
        assert " MiB, nocow, " in said
        assert f"= nocow {vm} " in said
        assert "!" not in said
    assert " before vmtune" in explained(host, vm / "sub" / "packed.raw")


def test_as_a_row_of_the_plan_names_it(host: World, vm: Path):
    row = host.plan(expect=2).row(f"images {vm}/cow.raw")
    words = row.removeprefix("! ").split()[:2]
    assert explained(host, *words) == explained(host, vm / "cow.raw")


def test_by_a_link(host: World, vm: Path):
    link = host.area / "link"
    link.symlink_to(vm)
    assert explained(host, link / "cow.raw") == explained(host, vm / "cow.raw")


def test_a_directory_below_and_what_is_not_there(host: World, vm: Path):
    assert "sub: directory" in explained(host, vm / "sub")
    ran = host.vmtune("explain", str(vm / "hafl.raw"))
    assert (ran.code, ran.out) == (64, "")
    assert f"{vm}/hafl.raw is not there" in ran.err


def test_the_nearest_entry_counts(host: World, vm: Path):
    inner = {"path": str(vm / "sub"), "compression": "none"}
    host.declare(paths=[{"path": str(vm), "nocow": True}, inner])
    said = explained(host, vm / "sub" / "packed.raw")
    assert f"for {vm}/sub and" in said
    assert "V701" in said
    assert "nocow " not in said


def test_what_may_not_be_read_is_said(host: World, vm: Path):
    (vm / "cow.raw").chmod(0o600)
    said = explained(host, vm / "cow.raw", user=NOBODY)
    assert "cow.raw: 8.0 MiB, not read" in said
    assert "V107" in said
    vm.chmod(0o700)
    assert "cow.raw: ? " in explained(host, vm / "cow.raw", user=NOBODY)


def test_as_it_is_written_with_a_home(host: World):
    home = host.alice()
    (home / "vm").mkdir()
    (home / "vm" / "a.raw").write_bytes(b"image" * 100_000)
    sync()
    host.nocow("~alice/vm")
    said = explained(host, "~alice/vm/a.raw", user=ALICE)
    assert "V101" in said
    assert said == explained(host, home / "vm" / "a.raw", user=ALICE)


def test_it_changes_nothing(host: World, vm: Path):
    before = tree(vm, "/etc", "/var/lib")
    explained(host, vm / "cow.raw")
    assert tree(vm, "/etc", "/var/lib") == before


def test_a_program_may_map_a_file_of_any_name(host: World, vm: Path):
    """The kernel writes a carriage return into /proc/PID/maps as it is (proc_pid_maps(5))."""
    with (vm / "a\rb.raw").open("w+b") as file:
        file.truncate(4096)
        with mmap.mmap(file.fileno(), 4096):
            explained(host, vm / "cow.raw")


@pytest.mark.parametrize("way", ["another mount", "relative"])
def test_a_path_is_a_thing_and_no_spelling(host: World, vm: Path, way: str):
    name = Path("..") / str(vm).lstrip("/")
    if way == "another mount":
        name = Path("/media/t/other")
        name.mkdir()
        run("mount", "--bind", vm, name)
    assert explained(host, name / "cow.raw") == explained(host, vm / "cow.raw")
    assert explained(host, name) == explained(host, vm)


def test_what_is_no_longer_declared(host: World, vm: Path):
    host.nocow(vm)
    host.vmtune("apply", "--yes")
    host.config("")
    assert f"- nocow {vm}" in explained(host, vm)
    host.file.with_name("other.yaml").write_text("version: 1\n")
    host.file.unlink()
    ran = host.vmtune("explain", str(vm), config=host.file.with_name("other.yaml"))
    assert ran.code == 0, ran
    assert "V405" in ran.out


def test_what_is_no_entry_is_64_with_the_near_names(host: World, vm: Path):
    for word, near in (("/media/t/disk/wm", str(vm)), ("nocwo", "nocow"), ("V71x", "V7")):
        ran = host.vmtune("explain", word)
        assert (ran.code, ran.out) == (64, ""), ran
        assert f"did you mean {near}" in ran.err
    ran = host.vmtune("explain", f"defrag {vm}")
    assert (ran.code, ran.out) == (64, ""), ran
