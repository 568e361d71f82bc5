"""The journal: written before and after every effect, kept small, read with suspicion."""

import fcntl
import json
import os
import re
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import patience
from tests.btrfs.each import RUNS, STATE, Each, history, records
from tests.btrfs.outside import compression, is_nocow, run
from tests.btrfs.sandbox import TOP
from tests.btrfs.world import FSTAB, NOBODY, World

FIRST = RUNS / "00000001.jsonl"
PRIVATE = RUNS / "00000001.private"


@pytest.fixture
def each(host: World) -> Each:
    return Each(host)


# --- writing


def test_a_run_is_one_record(each: Each):
    each.host.apply()
    (record,) = records()
    head, *events, last = record
    assert (head["format"], head["run"], head["user"]) == ("vmtune.journal/1", 1, "root")
    assert (head["command"], head["config"]) == ("apply", str(each.host.file))
    numbers = range(1, len(head["actions"]) + 1)  # type: ignore[arg-type]
    done = [event for event in events if "images" not in event]
    assert [event.get("begin") or event.get("end") for event in done] == [
        number for number in numbers for _ in "be"
    ]
    assert {event["outcome"] for event in events if "end" in event} == {"done"}
    assert last["result"] == "done"
    assert stat.S_IMODE(FIRST.stat().st_mode) == 0o644


@pytest.mark.parametrize("command", ["revert", "history"])
def test_a_shell_is_offered_the_runs(each: Each, command: str):
    words = {"COMP_WORDS": f"vmtune {command} ", "COMP_CWORD": "2"}
    asked = {**words, "_VMTUNE_COMPLETE": "bash_complete"}
    assert not each.host.vmtune(env=asked).out.strip()
    each.host.apply()
    assert each.host.vmtune("revert", "--yes").code == 0
    assert each.host.vmtune(env=asked, user=NOBODY).out == "plain,2\nplain,1\n"
    FIRST.write_text("no journal\n", encoding="ascii")
    assert not each.host.vmtune(env=asked).out.strip()


def test_nothing_to_do_is_no_run(each: Each):
    each.host.apply()
    before = FIRST.read_bytes()
    each.host.apply()
    assert sorted(os.listdir(RUNS)) == [FIRST.name, PRIVATE.name]
    assert FIRST.read_bytes() == before


EFFECT = re.compile(
    r"^(mkdirat\(|ioctl\(\d+, FS_IOC_SETFLAGS|fsconfig\(\d+, FSCONFIG_CMD_RECONFIGURE|"
    r'rename\("(/etc/[^"]*)"|unlink\()'
)
JOURNAL = re.compile(rf'openat\(AT_FDCWD, "{RUNS}/')


def test_each_effect_comes_after_its_line_is_on_disk(each: Each):
    """As the kernel saw it: the last thing synced before an effect says that it begins."""
    log = TOP / "t" / "log"
    each.host.apply(under=["strace", "-qq", "-s", "60", "-o", log])
    file, said, synced, effects = "", "", [], 0
    for line in log.read_text().splitlines():
        if JOURNAL.match(line):
            file = line.rpartition("= ")[2]
        elif file and line.startswith(f"write({file},"):
            said = line
        elif file and said and line.startswith(f"fsync({file})"):
            synced.append(said)
            file = said = ""
        elif EFFECT.match(line):
            effects += 1
            assert '\\"begin\\": ' in synced[-1], f"{line} after {synced[-1]}"
    assert effects == 9  # two directories, four attributes, one option, two renames
    assert '\\"format\\"' in synced[0]
    assert '\\"finish\\"' in synced[-1]


def test_numbers_go_on_without_a_gap(each: Each):
    for word in ("lzo", "zstd:5", "no"):
        each.host.mounts(each.image.path, compress=word)
        each.host.apply()
    assert [record[0]["run"] for record in records()] == [1, 2, 3]


def test_six_at_once_leave_one_record_each(each: Each):
    """Who does not get the lock does nothing, and who comes later finds nothing to do."""
    running = [each.host.start("apply", "--yes") for _ in range(6)]
    ended = [
        (process.communicate(timeout=patience.SECONDS), process.returncode) for process in running
    ]
    assert {code for _, code in ended} <= {0, 4}, ended
    assert each.is_done()
    worked = sum("verified" in out for (out, _), _ in ended)
    assert [record[0]["run"] for record in records()] == list(range(1, worked + 1))
    assert worked == 1
    for record in records():
        assert record[-1]["result"] == "done"


# --- reading


def test_the_last_line_may_be_torn(each: Each):
    each.host.apply()
    whole = FIRST.read_bytes()
    lines = whole.splitlines(keepends=True)
    for cut in (10, len(lines[-1]) - 1):
        FIRST.write_bytes(b"".join(lines[:-1]) + lines[-1][:cut])
        assert "cut off, 4 of 4" in history(each.host).out
        each.host.plan(expect=0)
    FIRST.write_bytes(lines[0][:50])
    assert "nothing was done" in history(each.host).out
    each.host.mounts(each.image.path, compress="lzo")
    each.host.apply()
    assert [record[0]["run"] for record in records()] == [1]


DAMAGE = {
    "no JSON": b"{\n",
    "a list": b"[]\n",
    "a number": b"1\n",
    "null": b"null\n",
    "no fields": b"{}\n",
    "newer": b'{"format": "vmtune.journal/2"}\n',
    "deep": b"[" * 100_000 + b"\n",
    "bytes": b"\xff\xfe\n",
    "types": b'{"format": "vmtune.journal/1", "run": "1", "started": 1, "user": [], "command": '
    b'"", "config": "", "actions": []}\n',
    "event": b'{"format": "vmtune.journal/1", "run": 1, "started": "", "user": "", "command": '
    b'"", "config": "", "actions": []}\n"finish"\n',
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=list(DAMAGE))
@pytest.mark.parametrize("name", ["runs/00000001.jsonl", "folded.json"])
def test_damage_is_one_clear_error(host: World, name: str, damage: bytes):
    RUNS.mkdir(parents=True)
    (STATE / name).write_bytes(damage)
    host.nocow(host.area / "new")
    every = (["history"], ["apply", "--yes"], ["revert", "--yes"], ["plan"])
    for command in every if damage == DAMAGE["a list"] else every[-1:]:
        ran = host.vmtune(*command)
        assert ran.code == 1, ran
        assert ran.err.count("vmtune: ") == 1
        assert f"{STATE}/{name} is damaged" in ran.err
        assert "move it away" in ran.err
    assert not (host.area / "new").exists()
    (STATE / name).unlink()
    host.apply()


@pytest.mark.parametrize(
    "name", ["runs/00000001.jsonl", "runs/00000001.private", "folded.json", "folded.private"]
)
@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir], ids=["fifo", "directory"])
def test_what_is_no_file_is_no_record(each: Each, name: str, make: Callable[[Path], None]):
    """A FIFO would wait for its writer; what cannot be read must not count as nothing done."""
    (each.old / "sub").rmdir()
    each.host.apply()
    if name == "runs/00000001.private":  # looked for where a record says that it keeps names apart
        record = FIRST.read_text().replace('"config":', '"kept_apart": [1], "config":', 1)
        FIRST.write_text(record)
    (STATE / name).unlink(missing_ok=True)
    make(STATE / name)
    for command in ("plan", "history", "status"):
        ran = each.host.vmtune(command)
        assert ran.code == 1, ran
        assert ran.err.count("vmtune: ") == 1
        assert f"{STATE}/{name}" in ran.err
        assert "not a regular file" in ran.err
        assert "move it away" in ran.err


def test_one_that_may_not_be_read_stops_no_plan(each: Each):
    each.host.apply()
    for closed in (STATE, RUNS, FIRST):
        before = closed.stat().st_mode
        closed.chmod(0)
        each.host.plan(expect=6, user=NOBODY)  # and the new directory, which is not theirs
        closed.chmod(before)


def test_history_of_one_run_and_of_none(each: Each):
    assert "nothing was done" in history(each.host).out
    each.host.apply()
    assert "4 of 4 changes" in history(each.host).row("apply by root")  # as apply counts them
    one = each.host.vmtune("history", "1", user=NOBODY)
    assert one.code == 0
    assert len(re.findall("(?m)^  done ", one.out)) == 7
    assert f"{each.old}" in one.out
    unknown = each.host.vmtune("history", "7")
    assert unknown.code == 1
    assert "no run 7" in unknown.err


# --- for whose eyes


def readable(top: Path) -> str:
    """All that a user can read below a folder, as cat(1) has it for them."""
    cat = ["setpriv", f"--reuid={NOBODY}", "--clear-groups", "--", "find", top, "-type", "f"]
    done = subprocess.run(
        [*cat, "-readable", "-exec", "cat", "{}", "+"], capture_output=True, text=True, check=True
    )
    assert '"format"' in done.stdout
    return done.stdout


def test_names_in_closed_directories_are_roots_alone(each: Each):
    """Anyone may read what was done, but not what somebody keeps in a directory of their own."""
    each.old.chmod(0o700)
    each.host.apply()
    assert "blank.raw" in history_of(each, 0)
    assert "2 copy-on-write (?, ?)" in history_of(each, NOBODY)
    assert "blank.raw" not in readable(STATE)
    assert '"sub"' not in readable(STATE)
    for path in (PRIVATE, STATE / "fstab.before"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert each.host.vmtune("revert", user=NOBODY).code == 1  # shown, and nobody to ask
    assert each.host.vmtune("revert", "--yes").code == 0
    assert not is_nocow(each.old / "blank.raw")


def history_of(each: Each, user: int) -> str:
    ran = each.host.vmtune("history", "1", user=user)
    assert ran.code == 0, ran
    return ran.out


def test_so_is_what_went_wrong(each: Each):
    """Which names the file that could not be set."""
    each.old.chmod(0o700)
    log = each.host.area / "log"
    strace = ["strace", "-qq", "-o", log, "-P", each.old / "blank.raw", "-e", "trace=ioctl"]
    each.host.apply(under=strace)
    calls = log.read_text().splitlines()
    when = next(number for number, call in enumerate(calls, 1) if "FS_IOC_SETFLAGS" in call)
    assert each.host.vmtune("revert", "--yes").code == 0
    each.host.apply(expect=3, under=[*strace, "-e", f"inject=ioctl:error=EIO:when={when}"])
    private = PRIVATE.with_name(PRIVATE.name.replace("1", "3"))
    assert "blank.raw: Input/output error" in private.read_text()
    assert "blank.raw" not in readable(STATE)


def test_without_the_part_that_is_kept_apart_nothing_is_guessed(each: Each):
    each.host.apply()
    PRIVATE.unlink()
    for command in ("history", "revert", "plan"):
        ran = each.host.vmtune(command)
        assert ran.code == 1, ran
        assert f"{FIRST} is damaged: what it keeps apart is missing: {PRIVATE}" in ran.err
    assert is_nocow(each.old / "blank.raw")


def test_a_record_from_before_names_were_kept_apart_is_read(each: Each):
    each.host.apply()
    head, *events = FIRST.read_text().splitlines(keepends=True)
    data, apart = json.loads(head), json.loads(PRIVATE.read_text().splitlines()[0])["actions"]
    for number in data.pop("kept_apart"):
        data["actions"][number - 1] = apart[str(number)]
    FIRST.write_text("".join([json.dumps(data) + "\n", *events]))
    PRIVATE.unlink()
    assert "blank.raw" in history_of(each, NOBODY)
    assert each.host.vmtune("revert", "--yes").code == 0
    assert each.is_untouched()


def test_old_runs_are_folded_and_what_was_written_stays_known(each: Each):
    """A hundred and some runs later the first one's original is still what is put back."""
    each.host.apply()
    lines = FIRST.read_bytes().splitlines(keepends=True)
    head = json.loads(lines[0])
    idle = {**head, "actions": [], "kept_apart": []}
    for number in range(2, 108):
        record = {**idle, "run": number}
        (RUNS / f"{number:08}.jsonl").write_text(f"{json.dumps(record)}\n")
    each.host.mounts(each.image.path, compress="lzo")  # the schedule and the directories go
    planned = each.host.plan(expect=2)
    assert "- defrag" in planned.out
    each.host.apply()
    names = sorted(path.name for path in RUNS.glob("*.jsonl"))
    assert len(names) == 100
    assert names[-1] == "00000108.jsonl"
    assert FIRST.name not in names
    assert not PRIVATE.exists()
    assert "blank.raw" not in readable(STATE)
    each.host.config("")
    each.host.apply()
    assert FSTAB.read_text() == each.line.format("compress=zstd,x-mine")
    assert compression(each.image.path) == ["compress=zstd:3"]
    assert not is_nocow(each.old)
    each.host.plan(expect=0)
    assert len([*RUNS.glob("*.jsonl")]) == 100
    assert sorted(os.listdir(STATE)) == [
        *("claims.json", "folded.json", "folded.private", "fstab.before", "runs", "secret")
    ]


def test_a_crash_while_folding_counts_nothing_twice(each: Each):
    """Folded, but not yet removed: the runs do not come back to life."""
    each.host.mounts(each.image.path, compress="no")
    each.host.apply()
    through = {"format": "vmtune.folded/1", "through": 1, "written": []}
    (STATE / "folded.json").write_text(json.dumps(through))
    assert "nothing was done" in history(each.host).out
    each.host.config("")
    each.host.plan(expect=0)
    each.host.mounts(each.image.path, compress="lzo")
    each.host.apply()
    assert [record[0]["run"] for record in records()] == [2]


# --- who changed it


def test_drift_is_told_from_what_was_never_applied(each: Each):
    assert "someone else" not in each.host.plan(expect=2).out
    each.host.apply()
    each.host.fstab(each.line.format("compress=zstd,x-mine"))
    run("chattr", "-C", each.old)
    planned = each.host.plan(expect=2)
    assert "changed by someone else since run 1" in planned.row("/etc/fstab:2 ")
    assert "changed by someone else since run 1" in planned.row(f"~ nocow {each.old} ")
    each.declare(mounts=[{"target": str(each.image.path), "options": {"compress": "lzo"}}])
    assert "someone else" not in each.host.plan(expect=2).row("/etc/fstab:2 ")


def test_cut_off_before_its_effect_is_nobody_elses_doing(each: Each):
    kill = ["strace", "-qq", "-o", "/dev/null", "-e", "inject=fspick:signal=KILL:when=1"]
    assert each.host.vmtune("apply", "--yes", under=kill).code == -9
    assert "cut off" in history(each.host).out
    assert "someone else" not in each.host.plan(expect=2).out
    one = each.host.vmtune("history", "1").out
    assert len(re.findall("(?m)^  done ", one)) == 4
    assert len(re.findall("(?m)^  cut off ", one)) == 1
    assert len(re.findall("(?m)^  not done ", one)) == 2


# --- taken out of the file


def test_what_is_taken_out_of_the_file_is_put_back(each: Each):
    each.host.apply()
    each.host.config("")
    planned = each.host.plan(expect=2)
    assert re.search(r"- mount .*what was there before is put back", planned.out)
    assert "compress=no,x-mine -> compress=zstd,x-mine" in planned.row("/etc/fstab:2 ")
    assert "-> compress=zstd:3" in planned.row("live ")
    each.host.apply()
    assert FSTAB.read_text() == each.line.format("compress=zstd,x-mine")
    assert compression(each.image.path) == ["compress=zstd:3"]
    assert not is_nocow(each.old)
    assert not each.new.parent.exists(), "vmtune made them, and they are empty"
    assert each.jobs() == []
    each.host.plan(expect=0)


def test_what_someone_else_changed_is_left_alone(each: Each):
    each.host.apply()
    each.host.fstab(each.line.format("compress=lzo,x-mine"))
    run("mount", "--options-source=disable", "-o", "remount,compress=lzo", each.image.path)
    each.old.chmod(0o700)
    run("chattr", "-C", each.new)
    each.host.config("")
    planned = each.host.plan(expect=2)
    assert "- defrag" in planned.out
    assert "mount" not in planned.out
    assert f"{each.new} stays, because it was changed since. Run 1 made it" in planned.out
    each.host.apply()
    assert FSTAB.read_text() == each.line.format("compress=lzo,x-mine")
    assert compression(each.image.path) == ["compress=lzo"]
    assert not is_nocow(each.old)
    assert each.old.stat().st_mode & 0o777 == 0o700
    assert each.new.is_dir()


def test_what_is_not_mounted_any_more_is_left_alone(each: Each):
    """The folder below may be another filesystem's, which nobody asked to change."""
    each.host.apply()
    run("umount", each.image.path)
    each.host.config("")
    assert "live" not in each.host.plan(expect=2).out
    each.host.apply()
    each.host.plan(expect=0)


def test_a_failure_does_not_hide_what_was_written_before(each: Each):
    """compress=no is there; lzo failed; taken out of the file, zstd comes back."""
    each.host.apply()
    each.host.mounts(each.image.path, compress="lzo")
    each.host.apply(
        expect=3,
        under=["strace", "-qq", "-o", "/dev/null", "-e", "inject=fspick:error=EIO:when=1"],
    )
    each.host.config("")
    each.host.apply()
    assert compression(each.image.path) == ["compress=zstd:3"]
    assert FSTAB.read_text() == each.line.format("compress=zstd,x-mine")
    each.host.plan(expect=0)


def test_the_record_is_made_below_folders_of_its_own(host: World):
    """A link in the way is no way to have root write elsewhere."""
    STATE.mkdir()
    Path(RUNS).write_text("")
    host.nocow(host.area / "new")
    ran = host.vmtune("apply", "--yes")
    assert ran.code == 1, ran
    assert str(RUNS) in ran.err
    assert not (host.area / "new").exists()


def test_a_run_that_is_at_work_is_not_called_cut_off(each: Each):
    """Seen from beside it, by a user who may not read whose lock it is."""
    record = FIRST
    each.host.apply()
    lines = record.read_bytes().splitlines(keepends=True)
    record.write_bytes(b"".join(line for line in lines if b'"finish"' not in line))
    assert "cut off, 4 of 4" in history(each.host).out
    with Path("/run/vmtune.lock").open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        for user in (0, NOBODY):
            told = each.host.vmtune("history", user=user).out
            assert "not finished (at work, or cut off), 4 of 4" in told
    assert "cut off, 4 of 4" in history(each.host).out
