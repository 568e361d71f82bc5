"""Applying: what stops it, who may, what a kill leaves, and that one more run ends it."""

import fcntl
import os
import re
import shlex
import signal
from pathlib import Path

import pytest

from tests import patience
from tests.btrfs.outside import compression, identity, is_nocow, run
from tests.btrfs.sandbox import PROGRAM
from tests.btrfs.world import FSTAB, NOBODY, Image, World

LOCK = Path("/run/vmtune.lock")
CRON_D = Path("/etc/cron.d")


class Three:
    """A directory, a mount and a schedule: each of them one action or more."""

    def __init__(self, host: World) -> None:
        self.host = host
        self.image: Image = host.image("data", "compress=zstd")
        self.images = host.area / "images"
        self.line = self.image.line("{}")
        host.fstab(self.line.format("defaults,compress=zstd"))
        host.declare(
            paths=[{"path": str(self.images), "nocow": True}],
            mounts=[{"target": str(self.image.path), "options": {"compress": "no"}}],
            defrag=[{"path": str(self.images), "schedule": "0 3 * * 0", "scheduler": "cron"}],
        )

    def is_untouched(self) -> bool:
        return (
            not self.images.exists()
            and compression(self.image.path) == ["compress=zstd:3"]
            and FSTAB.read_text() == self.line.format("defaults,compress=zstd")
            and not list(CRON_D.iterdir())
        )

    def is_done(self) -> bool:
        return (
            is_nocow(self.images)
            and not compression(self.image.path)
            and FSTAB.read_text() == self.line.format("defaults,compress=no")
            and len([file for file in CRON_D.iterdir() if "." not in file.name]) == 1
        )


@pytest.fixture
def three(host: World) -> Three:
    return Three(host)


def test_it_does_what_the_plan_shows_and_reads_it_back(three: Three):
    ran = three.host.apply()
    assert three.is_done()
    found = re.search(r"verified: (\d+) of (\d+)", ran.out)
    assert found
    assert found[1] == found[2] != "0"
    three.host.plan(expect=0)
    again = three.host.apply()
    assert "[1/" not in again.out + again.err


# --- who may, and who is asked


def test_without_a_terminal_and_without_yes_nothing_happens(three: Three):
    ran = three.host.vmtune("apply")
    assert ran.code == 1
    assert "--yes" in ran.err
    assert three.is_untouched()


def test_without_root_it_says_the_line_that_works(three: Three):
    ran = three.host.vmtune("apply", "--yes", user=NOBODY, env={"VMTUNE_SUDO": "none"})
    assert ran.code == 1, ran
    assert three.is_untouched()
    _, line = next(line.split("as root: ") for line in ran.err.splitlines() if "as root: " in line)
    assert os.path.isabs(shlex.split(line)[0])
    run(*shlex.split(line), env={"PATH": "/usr/bin:/bin"}, cwd="/")
    assert three.is_done()


@pytest.mark.parametrize("answer", ["y", "YES", "yes please", "no", "", "\x04"])
def test_only_yes_counts(three: Three, answer: str):
    with three.host.typed("apply") as typed:
        typed.see("yes")
        typed.type(answer if answer == "\x04" else f"{answer}\n")
        assert typed.end() == 1, typed.screen
    assert "nothing was changed" in typed.screen
    assert three.is_untouched()


def test_yes_does_it(three: Three):
    with three.host.typed("apply") as typed:
        typed.see("yes")
        typed.type("yes\n")
        assert typed.end() == 0, typed.screen
    assert three.is_done()


def test_ctrl_c_at_the_question_changes_nothing(three: Three):
    with three.host.typed("apply") as typed:
        typed.see("yes")
        typed.type("\x03")
        assert typed.end() == 130, typed.screen
    assert "Traceback" not in typed.screen
    assert three.is_untouched()


@pytest.mark.parametrize(("mode", "group"), [(0o666, 0), (0o664, NOBODY)])
def test_a_configuration_that_others_may_write_is_refused(three: Three, mode: int, group: int):
    os.chown(three.host.file, 0, group)
    three.host.file.chmod(mode)
    ran = three.host.apply(expect=1)
    assert "written by others" in ran.err
    assert three.is_untouched()


def test_a_configuration_of_another_user_is_refused(three: Three):
    os.chown(three.host.file, NOBODY, 0)
    assert "another user" in three.host.apply(expect=1).err
    assert three.is_untouched()


# --- a world that changes


def test_what_changed_after_it_was_shown_is_not_done(three: Three):
    with three.host.typed("apply") as typed:
        typed.see("yes")
        changed = three.line.format("defaults,compress=lzo")
        three.host.fstab(changed)
        typed.type("yes\n")
        assert typed.end() == 5, typed.screen
    assert "changed since" in typed.screen
    assert "compress=lzo" in typed.screen
    assert FSTAB.read_text() == changed
    assert not three.images.exists()
    assert compression(three.image.path) == ["compress=zstd:3"]


def test_what_another_hand_did_meanwhile_is_left_alone(three: Three):
    with three.host.typed("apply") as typed:
        typed.see("yes")
        three.images.mkdir(mode=0o711)
        three.images.chmod(0o711)
        run("chattr", "+C", three.images)
        before = three.images.stat()
        typed.type("yes\n")
        assert typed.end() == 0, typed.screen
    assert three.is_done()
    assert three.images.stat().st_ctime_ns == before.st_ctime_ns


# --- one at a time


def locked() -> bool:
    try:
        with LOCK.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def test_six_at_once_do_it_once(three: Three):
    running = [three.host.start("apply", "--yes") for _ in range(6)]
    ended = [process.communicate(timeout=patience.SECONDS) for process in running]
    codes = [process.returncode for process in running]
    assert set(codes) <= {0, 4}, list(zip(codes, ended, strict=True))
    assert 0 in codes
    assert three.is_done()
    three.host.plan(expect=0)


# --- failing and being killed


def inject(call: str, effect: str, when: int) -> list[str]:
    """strace(1) as saboteur, of vmtune itself and not of what it starts."""
    return ["strace", "-qq", "-o", "/dev/null", "-e", f"inject={call}:{effect}:when={when}"]


@pytest.mark.parametrize(
    ("call", "when", "done", "not_done"),
    [
        ("mkdirat", 1, 3, 0),
        ("fspick", 1, 2, 1),  # live first: what the kernel did not take is in no line of fstab
        ("/^rename", 4, 3, 0),
        ("/^rename", 5, 3, 0),
    ],
)
def test_a_failing_step_keeps_back_only_what_needs_it(
    three: Three, call: str, when: int, done: int, not_done: int
):
    ran = three.host.apply(expect=3, under=inject(call, "error=EIO", when))
    assert "Input/output error" in ran.err
    assert len(re.findall(r"(?m)^.*\bdone\b(?! *:).*$", ran.out)) == done, ran
    assert len(re.findall("  not done, because .* failed: ", ran.err)) == not_done, ran
    assert "2 of 3 changes done, 1 failed" in ran.err, "rows of the plan, as it counted them"
    assert "verified: 2 of 3" in ran.out
    assert not [name for name in os.listdir("/etc") if name.startswith(".fstab")]
    assert not [name for name in os.listdir(CRON_D) if name.startswith(".")]
    three.host.apply()
    assert three.is_done()


@pytest.mark.parametrize(
    ("call", "when"),
    [
        ("mkdirat", 1),
        ("fsync", 1),
        ("fspick", 1),
        ("fsync", 4),
        ("/^rename", 1),
        ("/^rename", 2),
        ("/^rename", 3),
        ("fsync", 7),
        ("/^rename", 4),
        ("fsync", 9),
        ("/^rename", 5),
        ("fsync", 11),
        ("syncfs", 1),
    ],
)
def test_killed_anywhere_one_more_run_ends_it(three: Three, call: str, when: int):
    killed = three.host.start("apply", "--yes", under=inject(call, "signal=KILL", when))
    out, err = killed.communicate(timeout=patience.SECONDS)
    assert killed.returncode == -signal.SIGKILL, out + err
    text = FSTAB.read_text()
    assert text in [three.line.format(f"defaults,compress={word}") for word in ("zstd", "no")]
    three.host.apply()
    assert three.is_done()


def test_killed_while_taking_back_one_more_run_ends_it(three: Three):
    three.host.apply()
    three.host.config("")
    killed = three.host.start("apply", "--yes", under=inject("/^unlink", "signal=KILL", 1))
    killed.communicate(timeout=patience.SECONDS)
    assert killed.returncode == -signal.SIGKILL
    three.host.apply()
    assert list(CRON_D.iterdir()) == []


def test_a_signal_lets_the_running_step_end_and_begins_no_other(three: Three):
    """Ctrl-C in the middle: half a step is worse than none."""
    process = three.host.start("apply", "--yes", under=inject("fspick", "signal=INT", 1))
    out, err = process.communicate(timeout=patience.SECONDS)
    assert process.returncode == 130, out + err
    assert compression(three.image.path) == []
    assert FSTAB.read_text() == three.line.format("defaults,compress=zstd")
    assert "not done" in err
    three.host.apply()
    assert three.is_done()


def test_the_program_under_test_is_reachable_by_everyone():
    run("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", PROGRAM[0], "-c", "")


def test_in_sync_nothing_is_asked_and_no_root_needed(host: World):
    before = identity(FSTAB)
    host.config("")
    assert host.vmtune("apply", user=NOBODY).code == 0
    assert identity(FSTAB) == before
