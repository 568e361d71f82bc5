"""What a plan looks like, and that its one count is the same from the plan to the result."""

import json
import os
import re
from pathlib import Path

import pytest

from tests.btrfs.each import CRON_D, Each
from tests.btrfs.outside import is_nocow, run, sync
from tests.btrfs.sandbox import PROGRAM
from tests.btrfs.world import ALICE, NOBODY, World
from tests.terminal import screen


@pytest.fixture
def each(host: World) -> Each:
    return Each(host)


COLOUR = re.compile("\x1b\\[[0-9;]*m")
WIDTHS = (60, 80, 120, 200)


def looked_at(host: World, columns: int, *arguments: str, **env: str) -> str:
    """What vmtune shows on a terminal of that width."""
    kept = {"PATH": os.environ["PATH"], "TERM": "xterm-256color", "LC_ALL": "C.UTF-8", **env}
    return screen([*PROGRAM, "--config", str(host.file), *arguments], columns, kept)


@pytest.mark.parametrize("columns", WIDTHS)
@pytest.mark.parametrize("colours", ["always", "never"])
def test_a_plan_fits_each_terminal_and_says_the_same_on_all(
    each: Each, columns: int, colours: str
) -> None:
    """No line is wider than the terminal, and no word is cut; colours change no word."""
    each.host.declare(
        paths=[{"path": str(path), "nocow": True} for path in (each.old, each.new)],
        mounts=[{"target": str(each.image.path), "options": {"compress": "no"}}],
        defrag=[{"path": str(each.old), "schedule": "0 3 * * 0", "scheduler": "cron"}],
    )
    piped = each.host.plan(expect=2).out
    seen = COLOUR.sub("", looked_at(each.host, columns, "--color", colours, "plan"))
    too_wide = (line for line in seen.splitlines() if len(line) > columns)
    assert [line for line in too_wide if " " in line.strip()] == []
    assert seen.split() == piped.split()
    assert piped.splitlines()[-1].endswith(" to change. No reboot.")


def test_one_count_from_the_plan_to_the_result(each: Each) -> None:
    """The last line of the plan, the question, the progress, the result."""
    found = re.search(r"(?m)^(\d+) to change", each.host.plan(expect=2).out)
    assert found
    count = int(found[1])
    with each.host.typed("apply") as typed:
        typed.see(f"Make these {count} changes? Only `yes` does it: ")
        typed.type("yes\n")
        assert typed.end() == 0, typed.screen
    assert f"verified: {count} of {count} read back as planned" in typed.screen
    numbers = re.findall(r"\[(\d+)/(\d+)\] done", typed.screen)
    assert {total for _, total in numbers} == {str(count)}
    assert sorted({int(number) for number, _ in numbers}) == [*range(1, count + 1)]
    assert [int(number) for number, _ in numbers] == sorted(int(number) for number, _ in numbers)


def test_rows_stand_in_the_order_of_doing(each: Each) -> None:
    """Then what is refused, then what is in sync."""
    (each.host.area / "whole").mkdir()
    run("chattr", "+C", each.host.area / "whole")
    disk = each.host.area / "cow"
    disk.mkdir()
    (disk / "disk.raw").write_bytes(os.urandom(1 << 16))
    sync()
    names = (each.host.area / "whole", disk, each.new)
    each.declare(paths=[{"path": str(path), "nocow": True} for path in names])
    lines = each.host.plan(expect=2).out.splitlines()
    symbols = "".join(line[0] for line in lines if re.match("[-+~!?=] ", line))
    assert re.fullmatch(r"[+~-]+!+=+", symbols), symbols
    ran = each.host.apply(expect=7)
    done = re.findall(r"\[(\d+)/\d+\] done", ran.out)
    assert sorted(set(done), key=int) == list(dict.fromkeys(done)), "the first of each, in order"


def test_the_last_line_says_why_it_is_7(host: World) -> None:
    """Plain apply, and apply of a saved plan, whose other rows are done."""
    disk, other = host.area / "cow", host.area / "other"
    disk.mkdir()
    (disk / "disk.raw").write_bytes(os.urandom(1 << 16))
    sync()
    for path in (disk, other):
        host.declare(
            paths=[{"path": str(each), "nocow": True} for each in (disk, path)][
                : 1 + (path is other)
            ]
        )
        saved = host.file.with_name("plan")
        saved.unlink(missing_ok=True)
        host.vmtune("plan", "-o", str(saved))
        ran = host.vmtune("apply", *([str(saved)] if path is disk else ["--yes"]))
        assert ran.code == 7, ran
        wanted = f"Not all is as declared: 1 refused: nocow {disk}/disk.raw (V101)."
        assert ran.out.splitlines()[-1] == wanted
        assert "verified: 1 of 1" in ran.out
    last = host.plan(expect=7).out.splitlines()[-1]
    assert last == f"Nothing to change; 1 refused: nocow {disk}/disk.raw (V101); 2 in sync."


def test_quiet_apply_prints_only_what_is_wrong(host: World) -> None:
    disk = host.area / "cow"
    host.nocow(disk)
    ran = host.vmtune("-q", "apply", "--yes")
    assert (ran.code, ran.out, ran.err) == (0, "", ""), ran
    assert is_nocow(disk)
    ran = host.vmtune("-q", "revert", "--yes")
    assert (ran.code, ran.out, ran.err) == (0, "", ""), ran
    disk.mkdir()
    (disk / "disk.raw").write_bytes(b"x" * 5000)
    sync()
    ran = host.vmtune("-q", "apply", "--yes")
    assert (ran.code, ran.err) == (7, ""), ran
    assert ran.out == f"Not all is as declared: 1 refused: nocow {disk}/disk.raw (V101).\n"


def test_quiet_apply_shows_what_it_asks_for(host: World) -> None:
    host.nocow(host.area / "new")
    with host.typed("-q", "apply") as typed:
        typed.see("Make this change? Only `yes` does it: ")
        assert "nocow, owner root, mode 0711" in typed.screen
        typed.type("no\n")
        assert typed.end() == 1


@pytest.mark.parametrize("key", ["\x04", "\x03"])
def test_an_answer_that_is_none_ends_the_line(host: World, key: str) -> None:
    """Ctrl-D and Ctrl-C: what is said then is not glued to the question."""
    host.nocow(host.area / "new")
    with host.typed("apply") as typed:
        typed.see("Only `yes` does it: ")
        typed.type(key)
        assert typed.end() == (1 if key == "\x04" else 130)
    assert re.search(r"does it: (\^C)?\r\nvmtune: .*nothing was changed", typed.screen), (
        typed.screen
    )
    assert not (host.area / "new").exists()


def test_a_plan_that_is_done_asks_nobody_for_root(host: World) -> None:
    """Whoever applies it again is told so at once."""
    home = host.alice()
    host.nocow(home / "vm")
    saved = host.file.with_name("plan")
    host.vmtune("plan", "-o", str(saved))
    host.vmtune("apply", str(saved))
    os.chown(saved, ALICE, ALICE)
    ran = host.vmtune("apply", str(saved), user=ALICE, env={"VMTUNE_SUDO": "none"})
    assert ran.code == 0, ran
    assert "Nothing to do: all of the plan is done already." in ran.out
    assert "root" not in ran.err


def test_a_directory_that_is_made_says_whose_it_is(host: World) -> None:
    home = host.alice()
    host.declare(
        paths=[{"path": str(path), "nocow": True} for path in (home / "vm", host.area / "vm")]
    )
    plan = host.plan(expect=2)
    assert "missing -> nocow, owner alice," in plan.row(f"+ nocow {home}/vm")
    assert "missing -> nocow, owner root, mode 0711" in plan.row(f"+ nocow {host.area}/vm ")
    host.apply()
    status = (home / "vm").stat()
    assert (status.st_uid, status.st_mode & 0o7777) == (ALICE, 0o711)


def test_a_misspelt_path_is_told(host: World) -> None:
    """It will be made, new and empty; the one that was meant is named, where it holds images."""
    images = host.area / "libvirt" / "images"
    images.mkdir(parents=True)
    for number in range(7):
        (images / f"{number}.raw").write_bytes(b"x" * 5000)
    sync()
    for wrong in ("libvirt/imagens", "libvrt/images"):
        host.nocow(host.area / wrong)
        row = host.plan(expect=2).row(f"+ nocow {host.area / wrong}")
        assert "there is no such directory: it will be made, empty" in row
        assert f"did you mean {images}? It holds 7 files (V118)" in row
    host.nocow(host.area / "libvirt" / "other")
    row = host.plan(expect=2).row("+ nocow ")
    assert "there is no such directory" in row
    assert "did you mean" not in row


def test_a_file_with_two_names_is_not_advised_what_would_refuse_it(host: World) -> None:
    images = host.area / "vm"
    images.mkdir()
    (images / "a.raw").write_bytes(os.urandom(1 << 16))
    os.link(images / "a.raw", host.area / "other.raw")
    sync()
    host.nocow(images)
    host.apply(expect=7)
    row = host.plan(expect=7).row(f"! nocow {images}/a.raw")
    assert "`existing: rewrite` would leave it as it is" in row
    assert "remove its other names" in row
    assert "write `existing: rewrite`" not in row
    (host.area / "other.raw").unlink()
    assert "write `existing: rewrite`" in host.plan(expect=7).row(f"! nocow {images}/a.raw")


def test_an_entry_that_goes_takes_its_empty_directory_along(host: World) -> None:
    """Where it holds something, a row says that it stays, and how to remove it."""
    made = host.area / "vm"
    for full in (False, True):
        host.nocow(made)
        host.apply()
        (made / "disk.raw").touch() if full else None
        host.config("")
        if not full:
            assert f"- nocow {made}" in host.plan(expect=2).out
            host.apply()
            assert not made.exists()
    told = host.plan(expect=0).row(f"= nocow {made}")
    assert f"{made} stays, nocow, because it is not empty. Run 3 made it" in told
    assert f"once it is empty, `vmtune revert 3` or `rmdir {made}` removes it" in told
    (made / "disk.raw").unlink()
    host.vmtune("revert", "3", "--yes")
    assert not made.exists()


def test_json_has_what_a_person_reads(each: Each) -> None:
    """The counts, and before and after of each row: of files the whole text."""
    data = json.loads(each.host.vmtune("plan", "--json").out)
    summary = data["summary"]
    assert summary["changes"] == sum(
        row["action"] in {"create", "update", "delete"} for row in data["changes"]
    )
    assert (summary["exit"], summary["needs_root"], summary["reboot"]) == (2, True, False)
    assert f"{summary['changes']} to change" in each.host.plan(expect=2).out
    (cron,) = (row for row in data["changes"] if row["kind"] == "defrag")
    ((path, text),) = cron["after"].items()
    assert cron["before"] == {path: None}
    (nocow,) = (row for row in data["changes"] if row["name"] == str(each.new))
    assert nocow["after"][str(each.new)] == "nocow, owner root, mode 0711"
    assert nocow["path"] == str(each.new)
    each.host.apply()
    assert Path(path).parent == CRON_D
    assert Path(path).read_text(encoding="utf-8") == text
    data = json.loads(each.host.vmtune("plan", "--json", user=NOBODY).out)
    assert data["summary"]["changes"] == 0
    assert not data["summary"]["needs_root"]


def test_a_status_says_once_what_is_refused(each: Each) -> None:
    """The verdict leads to the rows, the rows say why, and the last line counts and names."""
    (each.old / "disk.raw").write_bytes(os.urandom(1 << 16))
    sync()
    each.host.nocow(each.old)
    each.host.apply(expect=7)
    ran = each.host.vmtune("status")
    assert ran.code == 7
    assert ran.out.count("refused") == 1
    assert ran.out.splitlines()[-1].startswith("1 refused: nocow ")
    assert "the row with ! says why." in ran.out.splitlines()[2]


def test_what_is_waited_for_says_what_room_it_takes(each: Each) -> None:
    """As a rewrite that is done at once says it."""
    disk = each.old / "disk.raw"
    disk.write_bytes(os.urandom(1 << 20))
    sync()
    each.host.nocow(each.old, existing="rewrite")
    free = each.host.plan(expect=2).row("~ images")
    takes = re.search(r"needs up to [\d.]+ MiB of free space while it runs", free)
    assert takes
    with disk.open("rb"):
        each.host.apply(expect=7)
        waits = each.host.typed("apply", "--wait-for", "1s")
        with waits as typed:
            typed.see("Make this change?")
            typed.type("no\n")
            assert typed.end() == 1
        assert f"cost           {takes[0]}" in typed.screen
        assert takes[0] not in each.host.plan(expect=7).out, "without --wait nothing is done"


def test_what_stays_for_good_is_said_once(each: Each) -> None:
    """A rewrite cannot be taken back: the plan that takes its entry back says so, and no other."""
    (each.old / "disk.raw").write_bytes(os.urandom(1 << 16))
    sync()
    each.host.nocow(each.old, existing="rewrite")
    each.host.apply()
    each.host.config("")
    said = "images that were rewritten are left as they are"
    plan = each.host.plan(expect=2)
    assert said in plan.row("= images"), plan
    each.host.apply()
    assert "Nothing is declared." in each.host.plan().out
    assert "Nothing is declared." in each.host.vmtune("status").out
    asked = each.host.vmtune("plan", str(each.old))
    assert asked.code == 0, "whoever asks is told"
    assert said in asked.row("= images")


def test_a_saved_plan_of_another_host_says_whose_facts_it_shows(each: Each, tmp_path: Path) -> None:
    here = os.uname().nodename.partition(".")[0].lower()
    saved = tmp_path / "plan"
    for host, told in (("elsewhere", f"elsewhere (the facts are those of {here})"), (here, here)):
        saved.unlink(missing_ok=True)
        made = each.host.vmtune("--host", host, "plan", "-o", str(saved))
        shown = each.host.vmtune("show", str(saved))
        for ran in (made, shown):
            assert ran.out.startswith(f"host {told} \N{MIDDLE DOT} "), ran
