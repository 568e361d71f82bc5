"""Killed, or told that the disk is full or broken, at every call that changes something."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.btrfs.each import Each, records, strays
from tests.btrfs.forked import Call, Forked, among, told
from tests.btrfs.world import Ran, World

pytestmark = pytest.mark.sweep

# Writing to a terminal or to memory changes nothing that lasts; nor does asking the kernel about
# options. What only has to reach the disk (fsync) is the same host to whoever comes next.
CHANGING = {
    "fchmod": r".",
    "fchown": r".",
    "flock": r".",
    "fsconfig": r"CMD_RECONFIGURE",
    "fspick": r".",
    "ftruncate": r".",
    "ioctl": r"FS_IOC_SETFLAGS",
    "mkdir": r" = (0|\?|.*INJECTED)",  # not of what is there already
    "mkdirat": r".",
    "openat": r"O_CREAT",
    "pwrite64": r".",
    "rename": r".",
    "renameat": r".",
    "rmdir": r".",
    "unlink": r".",
    "unlinkat": r".",
    "write": r"^write\((?![12],)",
}
FAILING = {
    **CHANGING,
    "fsync": r".",
    "syncfs": r".",
    "write": r".",
}


@pytest.fixture
def each(host: World) -> Each:
    return Each(host)


@pytest.fixture
def forked(each: Each) -> Iterator[Forked]:
    found = Forked(each.host.file)
    yield found
    found.close()


def _ends_well(each: Each, forked: Forked, *resume: str) -> None:
    """Whatever came before: nothing is lost, and one more run does the rest, tidily."""
    assert each.nothing_is_lost()
    again = forked(*resume)
    assert again.code == 0, again
    assert each.is_done()
    assert forked("plan", "--detailed-exitcode").code == 0
    assert strays() == []


def _rows_done(record: list[dict[str, Any]]) -> int:
    """How many rows of the plan, by the entries that actions serve, were done whole."""
    ends = {event["end"]: event["outcome"] for event in record if "end" in event}
    rows: dict[str, list[bool]] = {}
    for number, action in enumerate(record[0]["actions"], 1):
        rows.setdefault(action.get("owner", ""), []).append(ends.get(number) == "done")
    return sum(map(all, rows.values()))


def _tells_the_truth(forked: Forked, *, cut_off: bool) -> None:
    """Runs are numbered without a gap; a first one that never ended says so, and what it did."""
    numbers = [record[0]["run"] for record in records()]
    assert numbers == list(range(1, len(numbers) + 1))
    told = [line for line in forked("history").out.splitlines() if " by root: " in line]
    for record, line in zip(records(), told, strict=True):
        ended = any("finish" in event for event in record)
        assert ("cut off" in line) is not ended
        assert f"{_rows_done(record)} of " in line
    if cut_off and len(numbers) > 1:
        assert "cut off" in told[0]
    swapped = [action for record in records() for action in record[0]["actions"]]  # type: ignore[attr-defined]
    assert len({str(sorted(action.items())) for action in swapped}) >= 7


@pytest.mark.parametrize("saved", [False, True], ids=["apply", "apply PLAN"])
def test_killed_before_and_after_every_effect(each: Each, forked: Forked, saved: bool):
    """For every effect: one further run ends it, and history tells what became of each action."""
    words = ["apply", "/media/t/plan"] if saved else ["apply", "--yes"]
    many = 7
    for number in range(1, many + 2):
        for when in ("before", "after"):
            if saved:
                assert forked("plan", "-o", words[1]).code == 0
            killed = forked(*words, kill=(number, when))
            assert killed.code == (-9 if number <= many else 0), killed
            _ends_well(each, forked, *words)
            if number <= many:
                done = number - (when == "before")
                ends = ["done"] * (number - 1) + ["cut off"] + ["not done"] * (many - number)
                assert _outcomes(forked, 1) == ends
                rest = many - done
                assert [record[0]["run"] for record in records()] == [1, 2][: 1 + bool(rest)]
                assert not rest or _outcomes(forked, 2) == ["done"] * rest
            each.reset()


def _outcomes(forked: Forked, number: int) -> list[str]:
    """What `vmtune history` says of each action of a run."""
    told = forked("history", str(number)).out
    return re.findall(r"(?m)^  (done|cut off|not done|failed|already so)  ", told)


def test_killed_at_any_call_one_more_run_ends_it(each: Each, forked: Forked):
    def counted() -> list[Call]:
        calls = among(forked.calls("apply", "--yes"), CHANGING)
        assert len(calls) > 40, calls
        return calls

    swept = forked.sweep(CHANGING, counted, each.reset, "signal=KILL", "apply", "--yes")
    for call, killed in swept:
        with told(call, killed):
            assert killed.code == -9
            _ends_well(each, forked, "apply", "--yes")
            _tells_the_truth(forked, cut_off=True)


NEED_NO_ROOM = {"fchmod", "fchown", "flock", "fsconfig", "fspick", "ioctl", "unlink", "unlinkat"}


@pytest.mark.parametrize("error", ["EIO", "ENOSPC"])
def test_a_failing_call_stops_it_with_one_clear_error(each: Each, forked: Forked, error: str):
    """A broken disk at each of them; a full one, too, at those that may need room (fsync(2))."""

    def counted() -> list[Call]:
        calls = among(forked.calls("apply", "--yes"), FAILING)
        calls = [call for call in calls if error == "EIO" or call.name not in NEED_NO_ROOM]
        assert len(calls) > 60, calls
        return calls

    swept = forked.sweep(FAILING, counted, each.reset, f"error={error}", "apply", "--yes")
    for call, ran in swept:
        with told(call, ran):
            _stopped(call, ran)
            _ends_well(each, forked, "apply", "--yes")
            _tells_the_truth(forked, cut_off=False)


def _stopped(call: Call, ran: Ran) -> None:
    """One clear error, but of what may do without an answer."""
    lenient = re.match(r"write\([12],", call.line)
    # The lock's file is emptied at the end: the lock itself goes with its descriptor.
    lenient = lenient or (call.name, call.when) == ("ftruncate", 2)
    assert ran.code in ({0, 1, 3} if lenient else {1, 3})
    if ran.code and not lenient:
        said = re.findall("(?m)^vmtune: .*(Input/output error|No space left)", ran.err)
        assert len(said) == 1


def test_a_saved_plan_is_resumed_after_a_kill(each: Each, forked: Forked):
    saved = str(Path("/media/t/plan"))

    def save() -> None:
        assert forked("plan", "-o", saved).code == 0

    def reset() -> None:
        each.reset()
        save()

    def counted() -> list[Call]:
        reset()
        return among(forked.calls("apply", saved), CHANGING)[::5]

    swept = forked.sweep(CHANGING, counted, reset, "signal=KILL", "apply", saved)
    for call, killed in swept:
        with told(call, killed):
            assert killed.code == -9
            _ends_well(each, forked, "apply", saved)
            _tells_the_truth(forked, cut_off=True)
            assert forked("apply", saved).code == 0
