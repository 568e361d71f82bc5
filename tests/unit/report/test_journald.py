"""Documents and events of --json as entries of the journal."""

import json
from pathlib import Path

import pytest

from reconciler.report import journald
from reconciler.resources import registry  # noqa: F401 - places are told by it

DOCUMENTS = Path(__file__).parents[2] / "golden" / "0.1.0" / "documents"


def told(*names: str) -> list[dict[str, str]]:
    """The entries for each line of documents that an older vmtune printed."""
    begun: dict = {}
    lines = [line for name in names for line in (DOCUMENTS / name).read_text().splitlines()]
    return [each for line in lines for each in journald.entries(of_today(line), begun)]


def of_today(line: str) -> dict:
    """Add what today's vmtune says of schedules beside what that version said."""
    document = json.loads(line)
    for each in document.get("effect", {}).get("schedules", ()):
        each |= {"kind": "defrag", "failed": False}
    return document


@pytest.mark.parametrize("name", [path.name for path in DOCUMENTS.iterdir()])
def test_each_entry_is_one_line_with_fields_that_the_journal_takes(name):
    for fields in told(name):
        assert fields["MESSAGE"].isprintable()
        assert fields["MESSAGE"]
        assert fields["PRIORITY"] in {"3", "4", "5", "6"}
        for key in fields:
            assert key.replace("_", "").isalnum()
            assert key == key.upper()


def test_an_apply_tells_where_each_action_ends():
    fields = told("events-apply.jsonl")
    ends = [each for each in fields if each["VMTUNE_EVENT"] == "end"]
    begins = [each for each in fields if each["VMTUNE_EVENT"] == "begin"]
    assert len(ends) == len(begins) > 2
    assert {each.get("VMTUNE_ENTRY", "") for each in ends} >= {"nocow /srv/vm", "images /srv/vm"}


WAITED = [
    ({"event": "awaits", "subject": "image /v/a", "why": "in use by x", "left": 1, "seconds": 9},
     "waiting for image /v/a: in use by x"),
    ({"event": "left_out", "subject": "image /v/a", "why": "it is gone"},
     "no longer waits for image /v/a: it is gone"),
    ({"event": "time_up", "left": [{"subject": "image /v/a", "why": "in use by x"}]},
     "time is up; left: image /v/a, in use by x"),
]  # fmt: skip


@pytest.mark.parametrize(("event", "message"), WAITED)
def test_a_run_that_waits_says_for_what(event, message):
    [fields] = journald.entries(event, {})
    assert fields["MESSAGE"] == message
    assert fields["VMTUNE_EVENT"] == event["event"]


def test_a_status_ends_with_its_exit_code():
    document = json.loads((DOCUMENTS / "status-before.json").read_text())
    *rows, last = told("status-before.json")
    assert last["VMTUNE_EXIT_CODE"] == str(document["exit"])
    assert [each["VMTUNE_OP"] for each in rows] == [row["op"] for row in document["changes"]]


def test_a_schedule_that_failed_is_an_error():
    document = json.loads((DOCUMENTS / "status-after.json").read_text())
    schedule = {"kind": "defrag", "name": "/srv/vm", "result": "exit-code", "failed": True}
    document["effect"]["schedules"] = [schedule]
    [failed] = [x for x in journald.entries(document, {}) if x["VMTUNE_EVENT"] == "schedule"]
    assert failed["PRIORITY"] == journald.ERROR
    assert failed["VMTUNE_ENTRY"] == "defrag /srv/vm"


def test_what_is_waited_for_is_told():
    used = {"subject": "image /srv/vm/a.raw", "why": "in use by qemu-system-x86 (pid 7)"}
    [told] = journald.entries({"event": "awaits", **used, "left": 1, "seconds": None}, {})
    assert told["MESSAGE"] == "waiting for image /srv/vm/a.raw: in use by qemu-system-x86 (pid 7)"
    [told] = journald.entries({"event": "time_up", "left": [used]}, {})
    assert (told["VMTUNE_SUBJECT"], told["PRIORITY"]) == (used["subject"], journald.WARNING)


CHANGES = {
    "text": (
        {"text": "no longer declared", "before": {"a": "x"}, "after": {"a": None}},
        "no longer declared",
    ),
    "values": (
        {"before": {"/srv/vm": "missing"}, "after": {"/srv/vm": "nocow"}},
        "missing -> nocow",
    ),
    "file": ({"before": {"/etc/x": None}, "after": {"/etc/x": "a\nb\n"}}, "/etc/x: another text"),
    "older": ({}, "differs"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_row_says_what_changes(name):
    given, words = CHANGES[name]
    row = {"op": "~", "kind": "nocow", "name": "/srv/vm", "text": "", "code": "", "hint": ""}
    event = {"event": "left", "changes": [{**row, "applicable": True, **given}]}
    [told] = journald.entries(event, {})
    assert told["MESSAGE"] == f"~ nocow /srv/vm: {words}"
