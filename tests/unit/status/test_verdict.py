"""The verdict, what to do next, and the one line for a prompt."""

from __future__ import annotations

import pytest

from reconciler.engine.directory import Directory, Folder
from reconciler.engine.model import Change, Plan
from reconciler.engine.place import Swap
from reconciler.engine.resource import ScheduleRuns
from reconciler.engine.schedule import Timer
from reconciler.facts.diagnostics import Note, Op
from reconciler.facts.host import ServiceRun
from reconciler.facts.tree import NONE_LEFT, NameList
from reconciler.report import html
from reconciler.report import status as status_report
from reconciler.report.standing import Effect, Report
from reconciler.report.verdict import Commands, headline, short, steps, verdict
from reconciler.resources.images.places import NOCOW, Images
from reconciler.resources.mount.places import LiveOption
from reconciler.resources.nocow.places import Below
from tests.unit.status.cases_lib import effect_of

SWAP = Swap(Timer("x.timer"), "off", "on")
ROWS = {
    "same": Change(Op.SAME, "nocow", "~/a"),
    "add": Change(Op.ADD, "nocow", "~/b", swaps=(SWAP,)),
    "change": Change(Op.CHANGE, "mount", "/", swaps=(SWAP,)),
    "refused": Change(Op.BLOCKED, "nocow", "~/a/x.raw", "why", code="V101", hint="shut it down"),
    "unknown": Change(Op.UNKNOWN, "nocow", "/root/vm", "not readable as ada"),
    "waits": Change(Op.WAITS, "mount", "/srv"),
    "apart": Change(Op.SAME, "nocow", "/boot", "not applicable", applicable=False),
}
AS_ROOT = "sudo vmtune status"
FAILED = ScheduleRuns(
    "~/a",
    "systemd",
    ServiceRun("Sun 2026-11-22 12:00", "exit-code", 1),
    unit="vmtune-a.service",
    kind="defrag",
)
WELL = ScheduleRuns("~/b", "systemd", ServiceRun("Sun 2026-11-22 12:00", "success"), kind="defrag")


def plan(*names):
    rows = tuple(ROWS[name] for name in names)
    return Plan(rows, tuple(swap for row in rows for swap in row.swaps))


def said(made, schedules=(), root=AS_ROOT):
    commands = Commands("vmtune apply", as_root=root)
    return [f"{step.what}: {step.do}" for step in steps(made, schedules, commands)]


def shown(made, schedules=(), *, verbose=False):
    found = tuple(steps(made, schedules, Commands("vmtune apply", as_root=AS_ROOT)))
    report = Report(made, (), Effect(schedules=tuple(schedules)), found)
    return list(status_report.status(report, 80, verbose=verbose))


VERDICTS = [
    ((), "Nothing is declared."),
    (("same", "same"), "As declared: 2 in sync."),
    (("same", "add", "change"), "Not as declared: 2 to change, 1 in sync."),
    (("same", "unknown"), "What can be seen from here is as declared: 1 not seen, 1 in sync."),
    (("unknown",),
     "Not known: nothing that is declared can be seen from here: 1 not seen."),
    (("unknown", "apart"),
     "Not known: nothing that is declared can be seen from here: 1 not seen, 1 not applicable."),
    (("waits",), "As declared after the next reboot: 1 waiting for a reboot."),
]  # fmt: skip


@pytest.mark.parametrize(("names", "words"), VERDICTS)
def test_the_verdict(names, words):
    assert verdict(plan(*names)) == words


def test_what_is_refused_is_no_drift():
    words = verdict(plan("same", "refused"))
    assert words.startswith("Not all is as declared, and `vmtune apply` cannot change that: ")


def test_where_all_is_as_declared_there_is_nothing_to_do():
    assert not said(plan("same"), [WELL])
    assert short(plan("same"), [WELL], Commands()) == "vmtune: as declared"
    assert short(plan(), [], Commands()) == "vmtune: nothing is declared"


def test_each_step_says_what_to_type():
    assert said(plan("same", "add", "change", "refused", "unknown"), [FAILED]) == [
        "2 changes to make: `vmtune apply` shows them and asks",
        (
            "defrag ~/a: the last run of Sun 2026-11-22 12:00 failed with exit code 1: "
            "`journalctl --unit vmtune-a.service` says why"
        ),
        "nocow ~/a/x.raw is refused: shut it down",
        f"1 row not seen; root sees more: `{AS_ROOT}`",
    ]
    assert len(said(plan("unknown"), root="")) == 0, "root sees all that there is to see"
    assert len(said(plan("refused", "refused"))) == 1, "a remedy is said once"


SHORT = [
    (("same", "add"), (), "vmtune: 1 to change; `vmtune apply`"),
    (("same", "refused"), (), "; `vmtune status` says what to do"),
    (("same", "unknown"), (), "vmtune: 1 not seen"),
    (("same",), (FAILED,), "vmtune: 1 schedule failed; `vmtune status` says what to do"),
    (("add",), (FAILED,), "vmtune: 1 to change, 1 schedule failed; `vmtune apply`"),
]


@pytest.mark.parametrize(("names", "schedules", "words"), SHORT)
def test_the_short_line(names, schedules, words):
    line = short(plan(*names), schedules, Commands("vmtune apply"))
    assert line.endswith(words)
    assert "\n" not in line


def test_the_verdict_and_what_to_do_come_first():
    lines = shown(plan("same", "refused", "add"), [FAILED])
    assert lines[0].startswith("Not as declared: ")
    assert lines[1].startswith("  1 change to make: `vmtune apply`")
    above = " ".join(lines[: lines.index("")])
    assert "failed with exit code 1" in above
    assert "1 refused: the row with ! says what helps" in above
    rows = [line.strip()[:1] for line in lines[lines.index("") :] if line.strip()[1:2] == " "]
    assert rows == ["+", "!", "="]


def test_what_is_in_sync_is_one_line():
    noted = Change(Op.SAME, "defrag", "~/c", "next run", notes=(Note("nothing to do", "V309"),))
    made = Plan((ROWS["same"], ROWS["same"], ROWS["apart"], noted))
    text = "\n".join(shown(made))
    assert text.startswith("As declared: 3 in sync, 1 not applicable. (-v shows more)\n")
    assert "    also           defrag ~/c: nothing to do (V309)" in text
    some = "\n".join(shown(plan("same", "same", "add")))
    assert "\n= 2 in sync (-v shows more)" in some
    assert "~/a" not in text
    whole = "\n".join(shown(made, verbose=True))
    assert "-v shows" not in whole
    assert whole.count("nocow ~/a") == 2
    assert "nothing to do (V309)" in whole


PLACES = {
    "directory": (
        Directory("/v"),
        Folder(nocow=False, compression="", mode=0o755, uid=0, gid=0),
        Folder(nocow=True, compression="", mode=0o755, uid=0, gid=0),
        "should be nocow; is copy-on-write",
    ),
    "below": (
        Below("/v"),
        NameList(2, ("a", "b")),
        NONE_LEFT,
        "should be nocow; is 2 copy-on-write (a, b)",
    ),
    "images": (
        Images("/v", NOCOW),
        NameList(1, ("a",)),
        NONE_LEFT,
        "should be nocow; is 1 file copy-on-write",
    ),
    "option": (
        LiveOption("/v", "compress"),
        "compress=zstd:3",
        "",
        "should be off; is compress=zstd:3",
    ),
}


@pytest.mark.parametrize("name", PLACES)
def test_a_place_says_what_it_should_be_and_what_it_is(name):
    place, have, want, said = PLACES[name]
    assert status_report.differing(Swap(place, have, want)) == said


def test_a_timer_says_what_it_should_be():
    assert "    x.timer        should be enabled, active; is off" in shown(plan("add"))


_COW, _NOCOW = (Folder(nocow, "", 0o755, 0, 0) for nocow in (False, True))
VALUES = [
    (Swap(Directory("/v"), _COW, _NOCOW), "directory", "should be nocow; is copy-on-write"),
    (Swap(Directory("/v"), None, _NOCOW), "directory",
     "should be nocow, owner 0:0, mode 0755; is missing"),
    (Swap(Directory("/v/b"), _COW, _NOCOW), "/v/b", "should be nocow; is copy-on-write"),
    (Swap(LiveOption("/v", "compress"), "", "compress=zstd:1"), "live",
     "should be compress=zstd:1; is off"),
]  # fmt: skip


@pytest.mark.parametrize(("swap", "label", "words"), VALUES)
def test_a_place_says_what_it_should_be_and_is_in_the_words_of_a_plan(swap, label, words):
    made = Plan((Change(Op.CHANGE, "nocow", "~/v", about="/v", swaps=(swap,)),), (swap,))
    assert f"    {label:14} {words}" in shown(made)
    page = html.page(Report(made, (), Effect()), "h", "c", "2026-11-22T12:00:00")
    assert f"<p>{label}: {words}</p>" in page


def effect(*images, before=None, **more):
    path = {"name": "/v", "path": "/v", "images": list(images), **more}
    return effect_of({"paths": [path], "before": before or {}})


def image(name, fragments, *, nocow=False):
    return {"name": name, "size": 8, "data": 8, "fragments": fragments, "nocow": nocow}


HEADLINES = [
    (effect(), ""),
    (effect(image("a", 9)), "9 fragments; 1 image is copy-on-write"),
    (effect(image("a", 1, nocow=True)), "1 fragment; 1 image is nocow"),
    (effect(image("a", 1, nocow=True), image("b", 131), before={"a": 13404}),
     "13,535 -> 132 fragments; 1 image is copy-on-write"),
    (effect(image("a", 5), image("b", None)), "5 fragments; 1 image is copy-on-write, 1 not read"),
    (effect(image("a", 5, nocow=True), count=400),
     "5 fragments; 1 image is nocow (of the 1 largest)"),
]  # fmt: skip


@pytest.mark.parametrize(("of", "words"), HEADLINES)
def test_the_headline(of, words):
    assert headline(of) == words
