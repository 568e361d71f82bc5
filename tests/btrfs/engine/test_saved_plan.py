"""A saved plan: who may write it, what it rests on, and that it is done exactly or not at all."""

import json
import os
import re
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.btrfs.each import CRON_D, Each, everything, records, strays
from tests.btrfs.outside import compression, is_nocow, run, sync
from tests.btrfs.sandbox import TOP
from tests.btrfs.world import ALICE, FSTAB, NOBODY, Image, Ran, World

PLAN = TOP / "t" / "saved"
MINE = TOP / "t" / "mine"


@pytest.fixture
def each(host: World) -> Each:
    MINE.mkdir()
    os.chown(MINE, NOBODY, NOBODY)
    return Each(host)


def save(each: Each, path: Path = PLAN, *, user: int = 0) -> Path:
    ran = each.host.vmtune("plan", "-o", str(path), user=user)
    assert ran.code == 0, ran
    assert f"vmtune apply {path}" in ran.out
    return path


def apply(each: Each, path: Path = PLAN, *, expect: int) -> Ran:
    ran = each.host.vmtune("apply", str(path))
    assert ran.code == expect, ran
    return ran


def refused(each: Each, *words: str, expect: int, path: Path = PLAN) -> None:
    """Said why, in these words, and not a byte or an attribute of the host is another."""
    before = everything(each)
    ran = apply(each, path, expect=expect)
    for word in words:
        assert re.search(word, ran.err), ran
    assert everything(each) == before


# --- saving


@pytest.mark.parametrize("user", [0, NOBODY])
def test_it_is_for_its_owner_only(each: Each, user: int):
    status = save(each, MINE / "plan", user=user).stat()
    assert stat.S_IMODE(status.st_mode) == 0o600
    assert status.st_uid == user
    assert strays(MINE) == []
    assert each.is_untouched()


def test_what_was_there_hands_on_nothing(each: Each):
    PLAN.touch()
    PLAN.chmod(0o666)
    os.chown(PLAN, NOBODY, NOBODY)
    status = save(each).stat()
    assert (stat.S_IMODE(status.st_mode), status.st_uid) == (0o600, 0)


@pytest.mark.parametrize("what", ["folder", "fifo", "device", "nowhere", "link"])
def test_it_is_saved_as_a_file_or_not_at_all(each: Each, what: str):
    victim = TOP / "t" / "victim"
    victim.write_text("precious")
    match what:
        case "folder":
            PLAN.mkdir()
        case "fifo":
            os.mkfifo(PLAN)
        case "device":
            os.mknod(PLAN, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        case "link":
            PLAN.symlink_to(victim)
    before = os.lstat(PLAN).st_ino if what != "nowhere" else None
    path = PLAN if what != "nowhere" else PLAN / "x" / "y"
    ran = each.host.vmtune("plan", "-o", str(path))
    assert ran.code == 1, ran
    assert str(path) in ran.err
    assert victim.read_text() == "precious"
    assert before is None or os.lstat(PLAN).st_ino == before
    assert strays(TOP / "t") == []


@pytest.mark.parametrize("what", ["config", "fstab", "json"])
def test_it_is_saved_over_no_other_file(each: Each, what: str):
    """The shell completes a name: the configuration's is the nearest."""
    path = {"config": each.host.file, "fstab": FSTAB, "json": PLAN}[what]
    if what == "json":
        PLAN.write_text('{"format": "vmtune.status/1"}')
    before = path.read_bytes()
    ran = each.host.vmtune("plan", "-o", str(path))
    assert ran.code == 1, ran
    assert ran.out == ""
    assert f"{path} is there, and is no plan that vmtune saved; nothing was written" in ran.err
    assert "name another file" in ran.err
    assert path.read_bytes() == before


def test_one_plan_takes_the_place_of_another(each: Each):
    save(each)
    each.host.nocow(each.new)
    save(each)
    assert "cron.d" not in PLAN.read_text()


def test_a_name_that_is_empty_is_a_mistake(each: Each):
    for words in (["plan", "-o", ""], ["status", "--html", ""], ["init", "-o", ""]):
        ran = each.host.vmtune(*words)
        assert ran.code == 1, ran
        assert "names no file" in ran.err
        assert ran.out == ""


def test_what_a_user_asked_for_is_theirs(each: Each):
    """Under sudo, by a name that no shell has expanded."""
    home = each.host.alice()
    for words in (
        ["plan", "-o", "~/plan"],
        ["status", "--html", "~/page.html"],
        ["init", "-o", "~/f"],
    ):
        for _ in range(2):
            ran = each.host.vmtune(*words, env={"SUDO_USER": "alice"})
        assert ran.code == (1 if words[0] == "init" else ran.code), ran
    written = {path.name: path.stat() for path in home.iterdir()}
    assert {name: stat.S_IMODE(status.st_mode) for name, status in written.items()} == {
        "plan": 0o600,
        "page.html": 0o600,
        "f": 0o644,
        "vmtune.schema.json": 0o644,
    }
    assert {status.st_uid for status in written.values()} == {ALICE}
    ran = each.host.vmtune("apply", str(home / "plan"), env={"SUDO_USER": "alice"})
    assert ran.code == 0, ran


# --- showing


def test_it_is_shown_as_it_was_made(each: Each):
    planned = each.host.vmtune("plan").out.splitlines()[1:]
    save(each)
    shown = each.host.vmtune("show", str(PLAN))
    assert shown.code == 0, shown
    rows = shown.out.splitlines()[1:]
    assert rows == [line for line in planned if line != "No reboot."]
    apply(each, expect=0)
    after = each.host.vmtune("show", str(PLAN))
    assert after.out == shown.out
    each.host.fstab("# nothing\n")
    each.host.file.unlink()
    assert each.host.vmtune("show", str(PLAN)).out == shown.out


# --- doing


def test_it_is_done_once_and_twice_is_once(each: Each):
    save(each)
    ran = apply(each, expect=0)
    assert each.is_done()
    assert "verified: 4 of 4" in ran.out
    before = everything(each)
    again = apply(each, expect=0)
    assert "already" in again.out
    assert everything(each) == before
    assert len(records()) == 1


def test_what_is_done_already_is_skipped(each: Each):
    """Another hand did two of the seven."""
    save(each)
    each.new.parent.mkdir(mode=0o755)
    run("chattr", "+C", each.old / "sub", each.old / "blank.raw")
    ran = apply(each, expect=0)
    assert "verified: 4 of 4" in ran.out
    assert each.is_done()


def test_a_user_makes_it_and_root_does_it(each: Each):
    """Under sudo, which says who called."""
    passwd = Path("/etc/passwd")
    before = passwd.read_text()
    passwd.write_text(f"{before}bob:x:{NOBODY - 1}:{NOBODY}::/nonexistent:/bin/sh\n")
    os.chown(MINE, NOBODY - 1, NOBODY)
    try:
        path = save(each, MINE / "plan", user=NOBODY - 1)
        ran = each.host.vmtune("apply", str(path), env={"SUDO_USER": "bob"})
    finally:
        passwd.write_text(before)
    assert ran.code == 0, ran
    assert each.is_done()


# --- what no revert takes back

FINAL = {
    "images": ({"nocow": True, "existing": "rewrite"}, "images below"),
    "subvolume": ({"subvolume": True}, "directory -> subvolume"),
    "property": ({"compression": "zstd"}, "below"),
}


@pytest.fixture(params=FINAL)
def final(request: pytest.FixtureRequest, host: World) -> Path:
    """A plan with something that is done for good, of a directory that is returned."""
    folder = host.area / "vm"
    (folder / "sub").mkdir(parents=True)
    (folder / "disk.raw").write_bytes(b"image" * 10_000)
    sync()
    host.declare(paths=[{"path": str(folder), **FINAL[request.param][0]}])
    assert host.vmtune("plan", "-o", str(PLAN)).code == 0
    return folder


def looks(folder: Path) -> tuple[object, ...]:
    """Which directory and image they are, and how."""
    names = (folder, folder / "sub", folder / "disk.raw")
    return *(name.stat().st_ino for name in names), run("lsattr", "-d", *names)


def test_it_is_not_done_where_nobody_can_be_asked(host: World, final: Path):
    before = looks(final)
    ran = host.vmtune("apply", str(PLAN))
    assert ran.code == 1, ran
    assert "revert cannot take it back: " in ran.err
    assert "there is no terminal to ask on; nothing was changed" in ran.err
    assert "add --yes" in ran.err
    assert looks(final) == before
    assert records() == []
    done = host.vmtune("apply", "--yes", str(PLAN))
    assert done.code == 0, done
    host.plan()
    again = host.vmtune("apply", str(PLAN))
    assert again.code == 0, "what is done is nothing to be asked about"


@pytest.mark.parametrize(("answer", "code"), [("no", 1), ("yes", 0)])
def test_a_person_is_asked(host: World, final: Path, answer: str, code: int):
    before = looks(final)
    with host.typed("apply", str(PLAN)) as typed:
        typed.see("Make 1 change that revert cannot take back, and the others of the plan? Only")
        typed.type(f"{answer}\n")
        assert typed.end() == code, typed.screen
    assert (looks(final) == before) == (answer == "no")


def test_what_can_be_taken_back_is_not_asked_about(each: Each):
    save(each)
    with each.host.typed("apply", str(PLAN)) as typed:
        assert typed.end() == 0, typed.screen
    assert "Only `yes`" not in typed.screen


def test_the_yes_goes_along_to_root(host: World, final: Path):
    """What sudo would run; of another plan the yes is worth nothing."""
    PLAN.chmod(0o644)
    told = host.vmtune("apply", "--yes", str(PLAN), user=NOBODY, env={"VMTUNE_SUDO": "none"})
    token = re.search(r"--yes --approved ([0-9a-f]{32}-)", told.err)
    assert token, told
    wrong = host.vmtune("apply", str(PLAN), "--approved", "0" * 32 + "-")
    assert wrong.code == 1, wrong
    ran = host.vmtune("apply", str(PLAN), "--approved", token[1])
    assert ran.code == 0, ran
    assert final.is_dir()


# --- what it rests on


def edit(**fields: object) -> None:
    PLAN.write_text(json.dumps({**json.loads(PLAN.read_text()), **fields}))


def edit_config(**fields: str) -> None:
    edit(config={**json.loads(PLAN.read_text())["config"], **fields})


def line_of_fstab(each: Each) -> None:
    each.host.fstab(each.line.format("compress=lzo,x-mine"))


def another_mode(each: Each) -> None:
    each.old.chmod(0o700)


def not_empty_any_more(each: Each) -> None:
    (each.old / "another").mkdir()


def another_owner(each: Each) -> None:
    each.new.parent.mkdir()
    os.chown(each.new.parent, NOBODY, NOBODY)


def another_directory(each: Each) -> None:
    """All that a place holds is alike; the images are those of somebody else."""
    each.old.rename(each.host.area / "mine")
    run("cp", "-a", each.host.area / "mine", each.old)


def live_option(each: Each) -> None:
    run("mount", "--options-source=disable", "-o", "remount,compress=lzo", each.image.path)


def unmounted(each: Each) -> None:
    run("umount", each.image.path)


def cron_file(each: Each) -> None:
    del each
    path = next(a["path"] for a in json.loads(PLAN.read_text())["actions"] if "cron.d" in str(a))
    Path(path).write_text("# by hand\n")


def config_text(each: Each) -> None:
    with each.host.file.open("a") as file:
        file.write("# a remark\n")


def config_is_no_yaml(each: Each) -> None:
    each.host.file.write_text("version: 1\npathz: [\n")


def snapshot(each: Each) -> None:
    target = each.host.area.parent / "snapshot"
    run("btrfs", "subvolume", "snapshot", "-r", each.host.area, target)
    each.host._cleanup.callback(run, "btrfs", "subvolume", "delete", target)


def kernel(each: Each) -> None:
    del each
    edit(kernel="5.0.0-old")


def machine(each: Each) -> None:
    del each
    edit(machine="0" * 64)


def host(each: Each) -> None:
    del each
    edit(host="elsewhere")


def digest(each: Each) -> None:
    del each
    edit_config(sha256="0" * 64)


FACTS: list[tuple[Callable[[Each], None], list[str]]] = [
    (line_of_fstab, ["planned on compress=zstd,x-mine", "found compress=lzo,x-mine"]),
    (another_directory, [r"directory .*/old: planned on \S+ subvolume \d+ inode \d+, found"]),
    (another_mode, ["planned on directory, mode 0755", "found directory, mode 0700"]),
    (not_empty_any_more, ["planned on 2 copy-on-write", "found 3 copy-on-write"]),
    (another_owner, ["planned on missing", "found directory"]),
    (live_option, ["planned on compress=zstd:3", "found compress=lzo"]),
    (unmounted, ["not mounted"]),
    (cron_file, ["planned on none", "found 1 line"]),
    (config_text, [r"vmtune\.yaml.* changed"]),
    (config_is_no_yaml, [r"vmtune\.yaml"]),
    (snapshot, ["snapshot"]),
    (kernel, [r"5\.0\.0-old", f"found {re.escape(os.uname().release)}"]),
    (machine, ["machine"]),
    (host, ["elsewhere"]),
    (digest, [r"vmtune\.yaml.* changed"]),
]


@pytest.mark.parametrize(("change", "words"), FACTS, ids=[change.__name__ for change, _ in FACTS])
def test_a_changed_fact_is_named_and_nothing_is_touched(
    each: Each, change: Callable[[Each], None], words: list[str]
):
    save(each)
    change(each)
    refused(each, "the plan is stale", *words, "`vmtune plan -o PLAN` saves a new plan", expect=5)
    assert records() == []


def test_another_directory_to_make_one_in_is_refused(host: World):
    outer = host.area / "outer"
    outer.mkdir()
    host.nocow(outer / "new")
    assert host.vmtune("plan", "-o", str(PLAN)).code == 0
    outer.rename(host.area / "mine")
    outer.mkdir()
    ran = host.vmtune("apply", str(PLAN))
    assert ran.code == 5, ran
    assert f"directory {outer}: planned on" in ran.err
    assert list(outer.iterdir()) == []


@pytest.fixture
def full(host: World) -> Image:
    """A small disk with two images to rewrite, and a plan that does."""
    image = host.image("data")
    folder = image.path / "vm"
    folder.mkdir()
    for name, size in (("large.raw", 40), ("small.raw", 1)):
        (folder / name).write_bytes(os.urandom(size << 20))
    sync()
    host.nocow(folder, existing="rewrite")
    ran = host.vmtune("plan", "-o", str(PLAN))
    assert "needs up to 56.3 MiB of free space" in ran.out, ran
    return image


def fill(image: Image, left: int) -> None:
    """A file that leaves so many MiB."""
    free = os.statvfs(image.path)
    run("fallocate", "-l", str(free.f_bavail * free.f_frsize - (left << 20)), image.path / "more")
    sync()


@pytest.mark.parametrize(
    ("left", "words"), [(4, "vm/small.raw: not rewritten"), (30, "vm/large.raw: not rewritten")]
)
def test_a_disk_that_filled_since_makes_it_stale(host: World, full: Image, left: int, words: str):
    """For each image that no longer finds room, with the figures."""
    before = {path.name: path.stat().st_ino for path in (full.path / "vm").iterdir()}
    fill(full, left)
    ran = host.vmtune("apply", "--yes", str(PLAN))
    assert ran.code == 5, ran
    assert re.search(rf"images .*{words}.*MiB are", ran.err), ran
    assert {path.name: path.stat().st_ino for path in (full.path / "vm").iterdir()} == before
    assert records() == []


def test_an_image_that_grew_and_fits_does_not(host: World, full: Image):
    with (full.path / "vm" / "small.raw").open("ab") as file:
        file.write(os.urandom(2 << 20))
    sync()
    ran = host.vmtune("apply", "--yes", str(PLAN))
    assert ran.code == 0, ran


@pytest.fixture
def labelled(host: World) -> Image:
    """A disk that /etc/fstab knows by its label, as another one could be called."""
    image = host.image("data", "compress=zstd")
    run("btrfs", "filesystem", "label", image.path, "images")
    host.fstab(image.line("compress=zstd").replace(f"UUID={image.uuid}", "LABEL=images"))
    host.mounts(image.path, compress="no")
    assert host.vmtune("plan", "-o", str(PLAN)).code == 0
    return image


def test_another_disk_under_the_same_line_is_refused(host: World, labelled: Image):
    """Of the same label, with the same options: an external disk and its twin."""
    other = host.image("other", mkfs=["-L", "images"])
    run("umount", labelled.path, other.path)
    run("mount", "-o", "loop,compress=zstd", TOP / "images" / "other0.img", labelled.path)
    ran = host.vmtune("apply", str(PLAN))
    assert ran.code == 5, ran
    for what in (f"filesystem at {labelled.path}", "filesystem of LABEL=images"):
        assert f"{what}: planned on {labelled.uuid}, found {other.uuid}" in ran.err
    assert compression(labelled.path) == ["compress=zstd:3"]
    assert "compress=no" not in FSTAB.read_text()


def test_a_line_for_another_disk_is_refused(host: World, labelled: Image):
    """With the same options, at the same mount point."""
    host.fstab(FSTAB.read_text().replace("LABEL=images", f"UUID={labelled.uuid}"))
    ran = host.vmtune("apply", str(PLAN))
    assert ran.code == 5, ran
    words = f"planned on LABEL=images btrfs, found UUID={labelled.uuid} btrfs"
    assert f"line of fstab for {labelled.path}: {words}" in ran.err
    assert compression(labelled.path) == ["compress=zstd:3"]


def test_what_a_running_machine_changes_does_not_matter(each: Each):
    """Times and sizes: an image is written to, files come and go, another line is added."""
    save(each)
    with (each.old / "empty.raw").open("ab") as file:
        file.write(b"more")
    (each.old / "lock").touch()
    (each.old / "lock").unlink()
    os.utime(each.old, (1, 1))
    with FSTAB.open("a") as file:
        file.write("tmpfs /mnt tmpfs defaults 0 0\n")
    apply(each, expect=0)


def test_a_plan_that_does_not_say_what_it_rests_on_is_shown_but_not_done(each: Each):
    """As an older vmtune wrote it."""
    save(each)
    data = json.loads(PLAN.read_text())
    assert {fact["about"] for fact in data.pop("facts")} >= {"directory", "filesystem at"}
    PLAN.write_text(json.dumps(data))
    assert each.host.vmtune("show", str(PLAN)).code == 0
    refused(each, "stale", "did not write down which directories", expect=5)


def test_another_hosts_plan_is_refused_here(each: Each):
    ran = each.host.vmtune("--host", "atlas", "plan", "-o", str(PLAN))
    assert ran.code == 0, ran
    assert f"Saved, to be looked at: `vmtune show {PLAN}`. No host applies it." in ran.out
    assert "does exactly this" not in ran.out
    refused(each, "stale", "atlas", expect=5)


def test_what_was_done_since_does_not_hide_what_changed(each: Each):
    """Half of it was done, then somebody changed the other half."""
    save(each)
    run("mount", "--options-source=disable", "-o", "remount,compress=no", each.image.path)
    line_of_fstab(each)
    refused(each, "stale", "found compress=lzo", expect=5)


def test_an_action_that_nobody_declared_is_not_done(each: Each):
    """The file says what root does: one more line in it is no way to be root."""
    save(each)
    data = json.loads(PLAN.read_text())
    cron = next(action for action in data["actions"] if action["place"] == "TextFile")
    edit(actions=[*data["actions"], {**cron, "path": str(CRON_D / "vmtune-defrag-evil")}])
    refused(each, "stale", "evil", expect=5)


# --- what is no plan


def newer() -> None:
    edit(format="vmtune.plan/2")


def cut_off() -> None:
    PLAN.write_bytes(PLAN.read_bytes()[:-100])


def a_surprise() -> None:
    edit(actions=[{"poke": "reboot"}])


def newer_place() -> None:
    data = json.loads(PLAN.read_text())
    edit(actions=[{**data["actions"][0], "place": "Moon"}])


def newer_fact() -> None:
    edit(facts=[{"about": "phase of", "name": "Moon", "is": "full"}])


def replaced(what: Callable[[Path], object]) -> Callable[[], None]:
    def change() -> None:
        PLAN.unlink()
        what(PLAN)

    return change


def huge(path: Path) -> None:
    """A sparse file of 1 TiB."""
    with path.open("wb") as file:
        file.truncate(1 << 40)


NO_PLANS = {
    "newer format": (newer, r"vmtune\.plan/2"),
    "newer place": (newer_place, "Moon"),
    "newer fact": (newer_fact, "phase of"),
    "another effect": (a_surprise, "reboot"),
    "cut off": (cut_off, "plan"),
    "empty": (replaced(Path.touch), "plan"),
    "deep": (replaced(lambda path: path.write_text("[" * 100_000)), "plan"),
    "long number": (replaced(lambda path: path.write_text("1" * 100_000)), "plan"),
    "a list": (replaced(lambda path: path.write_text("[]")), "format"),
}
NO_FILES = {
    "missing": replaced(lambda _: None),
    "a folder": replaced(Path.mkdir),
    "a FIFO": replaced(os.mkfifo),
    "no text": replaced(lambda path: path.write_bytes(b"\0\xff{")),
    "huge": replaced(huge),
}


@pytest.mark.parametrize("case", NO_PLANS)
def test_what_is_no_plan_is_refused(each: Each, case: str):
    save(each)
    change, words = NO_PLANS[case]
    change()
    refused(each, words, expect=1)
    shown = each.host.vmtune("show", str(PLAN))
    assert shown.code == 1, shown
    assert len(re.findall("(?m)^vmtune: ", shown.err)) == 1


@pytest.mark.parametrize("case", NO_FILES)
def test_what_is_no_file_is_taken_for_an_entry_that_nobody_declared(each: Each, case: str):
    save(each)
    NO_FILES[case]()
    refused(each, "is no entry and no saved plan", expect=64)
    shown = each.host.vmtune("show", str(PLAN))
    assert shown.code == 1, shown


@pytest.mark.parametrize(
    ("mode", "owner", "group"),
    [(0o666, 0, 0), (0o602, 0, 0), (0o660, 0, NOBODY), (0o600, NOBODY, 0)],
)
def test_a_plan_that_others_could_have_written_is_refused(
    each: Each, mode: int, owner: int, group: int
):
    save(each)
    os.chown(PLAN, owner, group)
    PLAN.chmod(mode)
    refused(each, str(PLAN), expect=1)


def test_one_that_is_only_read_by_others_is_not(each: Each):
    save(each).chmod(0o644)
    apply(each, expect=0)
    assert each.is_done()


def test_what_was_planned_without_root_is_checked_by_root(each: Each):
    """A user could not ask the kernel; root can, and the plan is the same."""
    each.declare(mounts=[{"target": str(each.image.path), "options": {"compress": "zstd:15"}}])
    path = save(each, MINE / "plan", user=NOBODY)
    PLAN.write_bytes(path.read_bytes())
    apply(each, expect=0)
    assert is_nocow(each.new)
    assert "compress=zstd:15" in FSTAB.read_text()


@pytest.mark.parametrize("count", [3, 1001])
def test_as_many_below_a_directory_are_not_the_same_ones(host: World, count: int):
    """One is gone, another came that no plan showed: no revert would take its attribute off."""
    folder = host.area / "vm"
    folder.mkdir()
    for number in range(count):
        (folder / f"{number:04}").mkdir()
    host.nocow(folder)
    assert host.vmtune("plan", "-o", str(PLAN)).code == 0
    (folder / "0001").rmdir()
    (folder / "0001new").mkdir()
    ran = host.vmtune("apply", "--yes", str(PLAN))
    assert ran.code == 5, ran
    assert "the plan is stale, and nothing was changed" in ran.err
    assert not is_nocow(folder)
    (folder / "0001new").rmdir()
    ran = host.vmtune("apply", "--yes", str(PLAN))
    assert ran.code == 0, ran
    assert is_nocow(folder / "0002")
