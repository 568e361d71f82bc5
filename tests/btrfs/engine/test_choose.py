"""``plan ENTRY...`` and ``apply ENTRY...``: what is chosen is done, and nothing else is touched."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.btrfs.each import CRON_D, Each
from tests.btrfs.outside import is_nocow, run, sync
from tests.btrfs.world import NOBODY, Ran, World

CLAIMS = Path("/var/lib/vmtune/claims.json")
PLAN = Path("/media/t/saved.json")
MIB = 1 << 20


@pytest.fixture
def images(host: World) -> Path:
    """Three images that are copy-on-write in a directory that is to be nocow."""
    folder = host.area / "images"
    folder.mkdir()
    for name in ("one.raw", "two.raw", "three.raw"):
        (folder / name).write_bytes(os.urandom(MIB))
    sync()
    host.nocow(folder, existing="rewrite")
    return folder


def nocow(folder: Path) -> list[str]:
    files = (path for path in folder.iterdir() if path.is_file() and not path.is_symlink())
    return sorted(path.name for path in files if is_nocow(path))


def ran(host: World, *words: object, expect: int, **more: object) -> Ran:
    found = host.vmtune(*map(str, words), **more)  # type: ignore[arg-type]
    assert found.code == expect, found
    return found


# --- an image alone


def test_one_image_alone(host: World, images: Path):
    before = {name: (images / name).read_bytes() for name in ("one.raw", "two.raw")}
    plan = ran(host, "plan", "--detailed-exitcode", images / "one.raw", expect=2)
    assert plan.row("~ images").startswith(f"~ images {images}/one.raw"), plan
    assert "two.raw" not in plan.out
    done = ran(host, "apply", "--yes", images / "one.raw", expect=0)
    assert "verified: 1 of 1" in done.out
    assert nocow(images) == ["one.raw"]
    assert not is_nocow(images), "the directory is another entry"
    assert (images / "one.raw").read_bytes() == before["one.raw"]
    again = ran(host, "plan", "--detailed-exitcode", images / "one.raw", expect=0)
    assert "is nocow already" in again.row("= images")
    ran(host, "apply", "--yes", images / "two.raw", images / "one.raw", expect=0)
    assert nocow(images) == ["one.raw", "two.raw"]
    host.apply()
    assert nocow(images) == ["one.raw", "three.raw", "two.raw"]
    assert is_nocow(images)
    host.plan()


BOUND = ("a mount of a part", "a mount of itself", "the entry is a mount of a part")


def bound(host: World, images: Path, way: str) -> Path:
    """Names for the first image whose own path does not lead through its entry."""
    other = Path("/media/t/part")
    if way == "a mount of itself":
        other.touch()
        run("mount", "--bind", images / "one.raw", other)
        return other
    other.mkdir()
    if way == "a mount of a part":
        host.nocow(host.area, existing="rewrite")
        run("mount", "--bind", images, other)
        return other / "one.raw"
    run("mount", "--bind", images, other)
    host.nocow(other, existing="rewrite")
    return images / "one.raw"


@pytest.mark.parametrize("way", ["link to the directory", "another mount", "relative", *BOUND])
def test_an_image_is_a_thing_and_no_spelling(host: World, images: Path, way: str):
    name = images / "one.raw"
    if way == "link to the directory":
        host.area.joinpath("link").symlink_to(images)
        name = host.area / "link" / "one.raw"
    elif way == "another mount":
        other = Path("/media/t/other")
        other.mkdir()
        run("mount", "--bind", images, other)
        name = other / "one.raw"
    elif way in BOUND:
        name = bound(host, images, way)
        if way == "a mount of itself":
            row = ran(host, "plan", name, expect=0).row("! images")
            assert "V713" in row, "the entry is found, and what is mounted is not exchanged"
            return
    else:
        name = Path("..") / str(images).lstrip("/") / "one.raw"
    ran(host, "apply", "--yes", name, expect=0)
    assert nocow(images) == ["one.raw"]


def test_several_images_are_rows_and_actions_of_their_own(host: World, images: Path):
    words = [images / "one.raw", images / "two.raw", images / "one.raw"]
    plan = json.loads(ran(host, "plan", "--json", *words, expect=0).out)
    assert [row["name"] for row in plan["changes"]] == [f"{images}/{n}.raw" for n in ("one", "two")]
    assert len(plan["actions"]) == 2
    assert "verified: 2 of 2" in ran(host, "apply", "--yes", *words, expect=0).out
    assert nocow(images) == ["one.raw", "two.raw"]


def test_with_its_directory_it_is_no_row_of_its_own(host: World, images: Path):
    plan = ran(host, "plan", images, images / "one.raw", expect=0)
    assert f"images {images}/one.raw" not in plan.out
    ran(host, "apply", "--yes", images, images / "one.raw", expect=0)
    assert nocow(images) == ["one.raw", "three.raw", "two.raw"]


@pytest.mark.parametrize("kind", ["base", "link to the base"])
def test_an_image_of_several_files_is_one_image(host: World, images: Path, kind: str):
    base = images / "base.raw"
    base.write_bytes(os.urandom(MIB))
    if kind != "base":
        (images / "current.raw").symlink_to("base.raw")
    named = "base.raw" if kind == "base" else "current.raw"
    top = images / "top.qcow2"
    run("qemu-img", "create", "-q", "-f", "qcow2", "-b", named, "-F", "raw", top)
    with top.open("r+b") as file:
        file.seek(0, os.SEEK_END)
        file.write(bytes(MIB))
    sync()
    plan = ran(host, "plan", top, expect=0)
    assert "top.qcow2 and 1 backing file" in plan.out, plan
    ran(host, "apply", "--yes", top, expect=0)
    assert nocow(images) == ["base.raw", "top.qcow2"]


def test_an_image_in_use_is_refused_alone(host: World, images: Path):
    with (images / "one.raw").open("rb"):
        plan = ran(host, "plan", "--detailed-exitcode", images / "one.raw", expect=7)
        assert "V702" in plan.row(f"! images {images}/one.raw")
        assert "= images" not in plan.out
        ran(host, "apply", "--yes", images / "two.raw", expect=0)
        ran(host, "apply", "--yes", images / "one.raw", expect=7)
    assert nocow(images) == ["two.raw"]


def test_an_image_that_is_only_reported(host: World, images: Path):
    host.nocow(images)
    plan = ran(host, "plan", "--detailed-exitcode", images / "one.raw", expect=7)
    assert "V101" in plan.row(f"! nocow {images}/one.raw")
    words = ["--allow", "rewrite-images", images / "one.raw"]
    ran(host, "apply", "--yes", *words, expect=0)
    assert nocow(images) == ["one.raw"]


def test_an_image_below_two_declared_directories_is_of_the_nearest(host: World, images: Path):
    inner = images / "inner"
    inner.mkdir()
    (inner / "deep.raw").write_bytes(os.urandom(MIB))
    sync()
    host.declare(
        paths=[
            {"path": str(images), "nocow": True},
            {"path": str(inner), "nocow": True, "existing": "rewrite"},
        ]
    )
    ran(host, "apply", "--yes", inner / "deep.raw", expect=0)
    assert is_nocow(inner / "deep.raw")
    assert nocow(images) == []


def test_what_may_not_be_read_is_unknown(host: World, images: Path):
    (images / "one.raw").chmod(0o600)
    plan = ran(host, "plan", images / "one.raw", expect=6, user=NOBODY)
    assert "not readable" in plan.row(f"? images {images}/one.raw"), plan


def test_a_file_of_no_entry(host: World, images: Path):
    elsewhere = host.area / "else.raw"
    elsewhere.write_bytes(b"x" * 4096)
    inside = images / "sub"
    run("btrfs", "subvolume", "create", inside)
    (inside / "other.raw").write_bytes(b"x" * 4096)
    for file in (elsewhere, inside / "other.raw"):
        for words in (["plan", file], ["apply", file, images]):
            assert "is no entry and no saved plan" in ran(host, *words, expect=64).err
        assert f"{file} is no saved plan: " in ran(host, "apply", file, expect=1).err
    for data in (b"QFI\xfb\0\0\0\3", b"version: 1\0"):  # what is no text was to be no plan
        elsewhere.write_bytes(data)
        assert "is no entry and no saved plan" in ran(host, "apply", elsewhere, expect=64).err
    assert "did you mean" in ran(host, "plan", images / "on.raw", expect=64).err


@pytest.mark.parametrize("command", ["plan", "apply", "explain"])
@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("images/on.raw", "images/one.raw"),
        ("images/two.rwa", "images/two.raw"),
        ("imagse/two.raw", "images/two.raw"),
        ("images/sub/dep.raw", "images/sub/deep.raw"),
    ],
)
def test_a_misspelt_file_is_told_with_the_one_that_is_near(
    host: World, images: Path, command: str, typed: str, meant: str
):
    (images / "sub").mkdir()
    (images / "sub" / "deep.raw").write_bytes(b"x" * 4096)
    err = ran(host, command, host.area / typed, expect=64).err
    assert f"did you mean {host.area}/{meant}" in err


def test_a_file_of_no_entry_is_never_meant(host: World, images: Path):
    """Whoever types the name that is advised gets a plan."""
    (host.area / "near.raw").write_bytes(b"x" * 4096)
    assert images.is_dir()
    err = ran(host, "plan", host.area / "near.rwa", expect=64).err
    assert "near.raw?" not in err


def test_everybody_may_read_that_an_image_was_done_and_not_which(host: World, images: Path):
    ran(host, "apply", "--yes", images / "one.raw", expect=0)
    state = Path("/var/lib/vmtune")
    readable = [p for p in state.rglob("*") if p.is_file() and p.stat().st_mode & 0o004]
    assert readable
    assert not [path for path in readable if b"one.raw" in path.read_bytes()]
    assert f"apply {images}/?" in ran(host, "history", expect=0).out
    assert f"image {images}/one.raw" in ran(host, "history", "1", expect=0).out
    assert f"image {images}/?" in ran(host, "history", "1", expect=0, user=NOBODY).out
    ran(host, "revert", "--yes", expect=0)
    assert nocow(images) == ["one.raw"], "a rewrite is not taken back"


# --- a saved plan of some entries


def test_a_saved_plan_of_some_entries_is_about_those(host: World):
    each = Each(host)
    ran(host, "plan", "-o", PLAN, each.old, expect=0)
    assert json.loads(PLAN.read_text())["config"]["entries"] == [str(each.old)]
    done = ran(host, "apply", PLAN, expect=0)
    assert "still differs" not in done.err
    assert is_nocow(each.old)
    assert not each.new.parent.exists()
    assert "all of the plan is done already" in ran(host, "apply", PLAN, expect=0).out


def test_a_saved_plan_of_what_a_file_that_is_gone_left(host: World, images: Path):
    host.nocow(images, existing="keep")
    host.apply()
    host.file.rename(host.file.with_name("gone.yaml"))
    other = host.file.with_name("other.yaml")
    other.write_text("version: 1\n")
    other.chmod(0o644)
    host.file.with_name("gone.yaml").unlink()
    ran(host, "plan", "-o", PLAN, images, expect=0, config=other)
    ran(host, "apply", PLAN, expect=0, config=other)
    assert not is_nocow(images)


def test_a_saved_plan_of_one_image(host: World, images: Path):
    ran(host, "plan", "-o", PLAN, images / "one.raw", expect=0)
    ran(host, "apply", "--yes", PLAN, expect=0)
    assert nocow(images) == ["one.raw"]


# --- plan, entry, configuration


def test_a_saved_plan_is_no_entry(host: World):
    each = Each(host)
    ran(host, "plan", "-o", PLAN, expect=0)
    told = ran(host, "plan", PLAN, expect=64).err
    assert f"{PLAN} is a saved plan, not an entry" in told
    assert f"`vmtune show {PLAN}` shows it, `vmtune apply {PLAN}` does it" in told
    mixed = ran(host, "apply", PLAN, each.old, expect=64).err
    assert "a saved plan stands alone" in mixed
    assert each.is_untouched()


@pytest.mark.parametrize("name", ["v.yaml", "v.yml", "machine.conf", "hosts/atlas.yaml"])
@pytest.mark.parametrize("command", ["plan", "apply"])
def test_a_configuration_is_told_with_what_to_type(host: World, name: str, command: str):
    file = host.area / name
    file.parent.mkdir(exist_ok=True)
    file.write_text("# of this machine\nversion: 1\n")
    file.chmod(0o644)
    told = ran(host, command, file, expect=64).err
    assert f"{file} is a configuration: name it with --config\n" in told
    assert f"vmtune {command} --config {file}\n" in told
    if "hosts" not in name:
        ran(host, command, "--config", file, expect=0)
    shown = ran(host, "show", file, expect=1).err
    assert f"{file} is a configuration, not a saved plan" in shown
    assert f"`vmtune plan --config {file}`" in shown


def test_what_is_no_json_is_told_in_words(host: World):
    PLAN.write_text("{ cut off")
    told = ran(host, "apply", PLAN, expect=1).err
    assert f"{PLAN} is no saved plan: " in told
    assert "make it again with `vmtune plan -o`" in told


def test_the_name_of_a_misspelt_plan_is_found(host: World):
    Each(host)
    ran(host, "plan", "-o", PLAN, expect=0)
    told = ran(host, "apply", PLAN.with_name(f"{PLAN.name}x"), expect=64).err
    assert f"did you mean {PLAN}?" in told
    told = ran(host, "show", PLAN.with_name(f"{PLAN.name}x"), expect=1).err
    assert f"did you mean {PLAN}?" in told


# --- what is not chosen


def test_a_kind(host: World):
    each = Each(host)
    ran(host, "apply", "--yes", "defrag", expect=0)
    assert len(list(CRON_D.iterdir())) == 1
    assert not is_nocow(each.old)
    host.apply()
    assert each.is_done()
    host.declare()
    ran(host, "apply", "--yes", "defrag", expect=0)
    assert not list(CRON_D.iterdir())
    assert is_nocow(each.old)
    told = ran(host, "plan", "compression", expect=64).err
    assert "nothing of the kind compression is declared, or left of what was" in told


def test_claims_are_noted_for_what_was_chosen(host: World):
    each = Each(host)
    ran(host, "apply", "--yes", each.old, expect=0)
    (claims,) = json.loads(CLAIMS.read_text())["configs"]
    assert {entry["at"].get("path", "") for entry in claims["wanted"]} & {str(each.new)} == set()
    assert str(each.old) in {entry["at"].get("path", "") for entry in claims["wanted"]}


def test_a_directory_on_the_way_is_made_though_its_own_entry_is_not_chosen(host: World):
    outer, inner = host.area / "outer", host.area / "outer" / "inner"
    host.declare(paths=[{"path": str(p), "nocow": True} for p in (outer, inner)])
    ran(host, "apply", "--yes", inner, expect=0)
    assert is_nocow(inner)
    assert is_nocow(outer), "made as it is declared"
    host.plan()


def test_nothing_rests_on_what_is_not_done(host: World, images: Path):
    """A rewrite ends the sharing that refuses a schedule: not when the schedule alone is chosen."""
    for name in ("one", "two", "three"):
        subprocess.run(["cp", "--reflink=always", images / f"{name}.raw", host.area], check=True)
    sync()
    host.declare(
        paths=[{"path": str(images), "nocow": True, "existing": "rewrite"}],
        defrag=[{"path": str(images), "schedule": "0 3 * * 0", "scheduler": "cron"}],
    )
    whole = ran(host, "plan", expect=0)
    alone = ran(host, "plan", "defrag", expect=0)
    assert "V306" not in whole.out
    assert "V306" in alone.out, alone
