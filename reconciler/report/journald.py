"""What ``--json`` tells as documents and events, as entries of the journal: a line, with fields.

Each entry has MESSAGE, PRIORITY (syslog(3)) and VMTUNE_EVENT. What is about an entry of the
configuration has VMTUNE_ENTRY, which is VMTUNE_KIND and VMTUNE_NAME together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reconciler.engine import document as codec
from reconciler.facts.diagnostics import Op
from reconciler.formats.sizes import counted
from reconciler.report import text
from reconciler.report.wrap import harmless

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Fields = dict[str, str]

ERROR, WARNING, NOTICE, INFO = "3", "4", "5", "6"
"""Priorities of syslog(3)."""


def entries(document: Mapping[str, Any], begun: dict[int, Any]) -> Iterator[Fields]:
    """Yield the entries for one document or event; ``begun`` keeps the actions under way."""
    match document:
        case {"format": "vmtune.status/1"}:
            yield from _status(document)
        case {"event": "begin", "number": number, "action": plain}:
            owner, action = plain.get("owner", ""), codec.action(plain)
            begun[number] = owner, action
            yield _entry("begin", INFO, f"begins: {text.action(action)}", **_names(owner))
        case {"event": "end", "number": number, "outcome": outcome, "why": why}:
            owner, action = begun[number]
            message = f"{outcome}: {text.action(action)}" + (f": {why}" if why else "")
            priority = INFO if outcome in {"done", "already so"} else ERROR
            yield _entry("end", priority, message, **_names(owner), outcome=outcome)
        case {"event": "verified", "held": held, "of": count}:
            message = f"verified: {held} of {count} read back as planned"
            yield _entry("verified", INFO if held == count else ERROR, message)
        case {"event": "left", "changes": rows}:
            yield from map(_row, rows)
        case {"event": "result", "document": {"paths": paths}}:
            for path in paths:
                yield from _defragmented(path)
        case _:
            yield from _waiting(document)


def _waiting(event: Mapping[str, Any]) -> Iterator[Fields]:
    match event:
        case {"event": "waiting", "holder": holder}:
            yield _entry("waiting", NOTICE, f"waits for another vmtune to end: {holder}")
        case {"event": "awaits", "subject": subject, "why": why}:
            yield _entry("awaits", NOTICE, f"waiting for {subject}: {why}", subject=subject)
        case {"event": "left_out", "subject": subject, "why": why}:
            message = f"no longer waits for {subject}: {why}"
            yield _entry("left_out", WARNING, message, subject=subject)
        case {"event": "time_up", "left": left}:
            for each in left:
                message = f"time is up; left: {each['subject']}, {each['why']}"
                yield _entry("time_up", WARNING, message, subject=each["subject"])


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
    priority = {Op.SAME: INFO, Op.WAITS: NOTICE}.get(row["op"], WARNING)
    said = {**_names(name), "op": row["op"], "code": row["code"]}
    return _entry("entry", priority if row["applicable"] else INFO, message, **said)


def _words(row: Mapping[str, Any]) -> str:
    """Return what a row says, or what changes: of a file that there is another text."""
    if row["text"]:
        return str(row["text"])
    changes = []
    for place, before in row.get("before", {}).items():
        was, will_be = (text or "missing" for text in (before, row["after"][place]))
        is_file = "\n" in was + will_be
        changes.append(f"{place}: another text" if is_file else f"{was} -> {will_be}")
    return ", ".join(changes) or ("in sync" if row["op"] == Op.SAME else "differs")


def _names(owner: str) -> Fields:
    kind, _, name = owner.partition(" ")
    return {"entry": owner, "kind": kind, "name": name}


def _status(document: Mapping[str, Any]) -> Iterator[Fields]:
    rows = document["changes"]
    yield from map(_row, rows)
    for each in document["effect"]["schedules"]:
        if each["failed"]:
            name = f"{each['kind']} {each['name']}"
            message = f"{name}: the last run ended with {each['result']}"
            yield _entry("schedule", ERROR, message, **_names(name), result=each["result"])
    differ = sum(row["op"] != Op.SAME for row in rows)
    message = f"{len(rows) - differ} of {counted(len(rows), 'entry', 'entries')} in sync"
    code = document["exit"]
    message += f", exit code {code}; host {document['host']}, config {document['config']}"
    yield _entry("status", WARNING if code else INFO, message, exit_code=str(code))


def _defragmented(path: Mapping[str, Any]) -> Iterator[Fields]:
    """Yield what became of one path, and the files below it that were left."""
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
