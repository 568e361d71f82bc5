"""What ``--json`` tells as documents and events, as entries of the journal: a line, with fields.

Each entry has MESSAGE, PRIORITY (syslog(3)) and VMTUNE_EVENT. What is about an entry of the
configuration has VMTUNE_ENTRY, which is VMTUNE_KIND and VMTUNE_NAME together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reconciler.engine import codec
from reconciler.facts.diagnostics import Op
from reconciler.formats.sizes import counted
from reconciler.report import text
from reconciler.report.wrap import harmless

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

Fields = dict[str, str]

ERROR, WARNING, NOTICE, INFO = "3", "4", "5", "6"
"""Priorities of syslog(3)."""

_GOOD = frozenset({"done", "already so"})
"""Outcomes of an action after which its place holds what it should."""

_PRIORITIES = {Op.SAME: INFO, Op.WAITS: NOTICE}
"""Priorities of rows; all others are warnings."""


def entries(document: Mapping[str, Any], begun: dict[int, Any]) -> Iterator[Fields]:
    """Yield the entries for one document or event; ``begun`` keeps the actions under way."""
    if tell := _TELLS.get(document.get("event") or document.get("format") or ""):
        yield from tell(document, begun)


def problem(message: str, hint: str = "") -> Fields:
    """Return the entry for something that went wrong, and what to do about it."""
    return _entry("problem", ERROR, f"{message}; {hint}" if hint else message)


def _entry(event: str, priority: str, message: str, **fields: str) -> Fields:
    named = {f"VMTUNE_{name.upper()}": value for name, value in fields.items() if value}
    return {
        "MESSAGE": harmless(" ".join(message.split())),
        "PRIORITY": priority,
        "SYSLOG_IDENTIFIER": "vmtune",
        "VMTUNE_EVENT": event,
        **named,
    }


def _row(row: Mapping[str, Any]) -> Fields:
    """Return the entry for one row of a plan."""
    name = f"{row['kind']} {row['name']}"
    hint = f". {row['hint']}" if row["hint"] else ""
    message = f"{row['op']} {name}: {_words(row)}{hint} {row['code']}"
    priority = _PRIORITIES.get(Op(row["op"]), WARNING) if row["applicable"] else INFO
    return _entry("entry", priority, message, **_names(name), op=row["op"], code=row["code"])


def _words(row: Mapping[str, Any]) -> str:
    """Return what a row says, or what changes: of a file that there is another text."""
    if row["text"]:
        return str(row["text"])
    changes = []
    for place, before in row.get("before", {}).items():
        was, will_be = (text or "missing" for text in (before, row["after"][place]))
        is_file = "\n" in was + will_be
        changes.append(f"{place}: another text" if is_file else f"{was} -> {will_be}")
    return ", ".join(changes) or ("in sync" if row["op"] == Op.SAME.value else "differs")


def _names(owner: str) -> Fields:
    kind, _, name = owner.partition(" ")
    return {"entry": owner, "kind": kind, "name": name}


def _status(document: Mapping[str, Any], _: dict[int, Any]) -> Iterator[Fields]:
    rows = document["changes"]
    yield from map(_row, rows)
    for each in document["effect"]["schedules"]:
        if each["failed"]:
            name = f"{each['kind']} {each['name']}"
            message = f"{name}: the last run ended with {each['result']}"
            yield _entry("schedule", ERROR, message, **_names(name), result=each["result"])
    differ = sum(row["op"] != Op.SAME.value for row in rows)
    message = f"{len(rows) - differ} of {counted(len(rows), 'entry', 'entries')} in sync"
    code = document["exit"]
    message += f", exit code {code}; host {document['host']}, config {document['config']}"
    yield _entry("status", WARNING if code else INFO, message, exit_code=str(code))


def _begin(event: Mapping[str, Any], begun: dict[int, Any]) -> Iterator[Fields]:
    action = codec.action(event["action"])
    begun[event["number"]] = (owner := event["action"].get("owner", "")), action
    yield _entry("begin", INFO, f"begins: {text.action(action)}", **_names(owner))


def _end(event: Mapping[str, Any], begun: dict[int, Any]) -> Iterator[Fields]:
    owner, action = begun[event["number"]]
    outcome = event["outcome"]
    why = f": {event['why']}" if event["why"] else ""
    priority = INFO if outcome in _GOOD else ERROR
    message = f"{outcome}: {text.action(action)}{why}"
    yield _entry("end", priority, message, **_names(owner), outcome=outcome)


def _verified(event: Mapping[str, Any], _: dict[int, Any]) -> Iterator[Fields]:
    message = f"verified: {event['held']} of {event['of']} read back as planned"
    yield _entry("verified", INFO if event["held"] == event["of"] else ERROR, message)


def _left_out(event: Mapping[str, Any], _: dict[int, Any]) -> Iterator[Fields]:
    subject, why = event["subject"], event["why"]
    yield _entry("left_out", WARNING, f"no longer waits for {subject}: {why}", subject=subject)


def _left(event: Mapping[str, Any], _: dict[int, Any]) -> Iterator[Fields]:
    yield from map(_row, event["changes"])


def _waiting(event: Mapping[str, Any], _: dict[int, Any]) -> Iterator[Fields]:
    message = f"waits for another vmtune to end: {event['holder']}"
    yield _entry("waiting", NOTICE, message)


def _awaits(event: Mapping[str, Any], _: dict[int, Any]) -> Iterator[Fields]:
    subject, why = event["subject"], event["why"]
    yield _entry("awaits", NOTICE, f"waiting for {subject}: {why}", subject=subject)


def _time_up(event: Mapping[str, Any], _: dict[int, Any]) -> Iterator[Fields]:
    for each in event["left"]:
        message = f"time is up; left: {each['subject']}, {each['why']}"
        yield _entry("time_up", WARNING, message, subject=each["subject"])


def _result(event: Mapping[str, Any], _: dict[int, Any]) -> Iterator[Fields]:
    for path in event["document"]["paths"]:
        names = _names(f"defrag {path['path']}")
        before, after = (sum(each[key] for each in path["files"]) for key in ("before", "after"))
        done = f"{counted(len(path['files']), 'file')} defragmented"
        message = f"{path['path']}: {done}, {before:,} -> {counted(after, 'fragment')}"
        yield _entry("defrag", INFO, message, **names)
        for each in path["left"]:
            message = f"{each['path']}: left: {each['words'] or each['why']}"
            yield _entry("left", NOTICE, message, **names, file=each["path"], why=each["why"])
        if path["unseen_count"]:
            message = f"{path['path']}: {counted(path['unseen_count'], 'file')} could not be opened"
            yield _entry("unseen", WARNING, message, **names)


_TELLS: dict[str, Callable[[Mapping[str, Any], dict[int, Any]], Iterator[Fields]]] = {
    "vmtune.status/1": _status,
    "begin": _begin,
    "end": _end,
    "verified": _verified,
    "left_out": _left_out,
    "left": _left,
    "waiting": _waiting,
    "awaits": _awaits,
    "time_up": _time_up,
    "result": _result,
}
