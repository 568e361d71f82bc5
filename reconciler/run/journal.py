"""Reading the journal: one file per run, a line of JSON for all that happened.

The first line holds the whole plan, with what was there before. A last line
that was cut off by a crash is no line. Old runs are folded into one file, so
that what vmtune wrote stays known while the journal stays small.
"""

from __future__ import annotations

import json
import os
from contextlib import contextmanager, suppress
from dataclasses import field
from typing import TYPE_CHECKING, Any

from reconciler.engine import document
from reconciler.engine.last_applied import Before, Run, Seen, first_seen, fold
from reconciler.engine.place import LastApplied
from reconciler.errors import HostError
from reconciler.facts.images import SEALED_KEY
from reconciler.formats import jsondata
from reconciler.formats.jsondata import FormatError
from reconciler.linux import files, users
from reconciler.value import Value

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from reconciler.engine.place import Place, Written


STATE = files.STATE

RUNS = f"{STATE}/runs"

BASE = f"{STATE}/folded.json"

PRIVATE_BASE = f"{STATE}/folded.private"
"""The same with the names of files, for root only."""

SECRET = f"{STATE}/secret"
"""What keys of images are made with: for root only, and of this host alone."""

FORMAT = "vmtune.journal/1"

BASE_FORMAT = "vmtune.folded/1"


class Base(Value):
    """What the runs up to number ``through``, no longer kept, wrote."""

    through: int = 0
    written: Written = field(default_factory=dict)


def runs() -> tuple[Run, ...]:
    """All runs that are kept, oldest first; HostError when a record is damaged."""
    through = base().through
    try:
        names = sorted(name for name in os.listdir(RUNS) if name.endswith(".jsonl"))
    except (FileNotFoundError, PermissionError):
        return ()
    except OSError as error:
        raise HostError(f"{RUNS}: {error.strerror}") from None
    found = (_read(f"{RUNS}/{name}") for name in names)
    # A crash may have come between folding runs and removing them.
    return tuple(run for run in found if run and run.number > through)


def run(number: int) -> Run:
    """One run; HostError when there is none of that number."""
    found = next((run for run in runs() if run.number == number), None)
    if found is None:
        raise HostError(f"there is no run {number}", "`vmtune history` lists the runs")
    return found


def whys(number: int) -> dict[int, str]:
    """Read why actions of a run, by number, went wrong; nothing where only root may know it."""
    try:
        text = files.read(private(number)) or b""
    except OSError:
        return {}
    found = {}
    for line in text.split(b"\n")[:-1]:
        with suppress(ValueError, KeyError, TypeError, FormatError):
            data = jsondata.mapping(json.loads(line))
            found[jsondata.number(data["end"])] = jsondata.text(data["why"])
    return found


def written() -> Written:
    """What vmtune wrote, place by place, with what was there before it: as ``fold`` gives it."""
    return fold(base().written, runs())


def seen() -> Before:
    """Each image as it lay when a run first looked."""
    found, known = first_seen(runs()), secret()
    is_hidden = known is None and any(len(key) == SEALED_KEY for key in found)
    return Before(found, known or b"", is_hidden, users.is_root())


def secret() -> bytes | None:
    """What only root may read, so that nobody else can try names of images: see ImageLayout.key.

    Empty before the first run; None where it may not be read.
    """
    try:
        return files.read(SECRET) or b""
    except OSError:
        return None


def last() -> int:
    """The number of the newest run; 0 before the first."""
    return max((run.number for run in runs()), default=base().through)


def path(number: int) -> str:
    """Where the record of a run is."""
    return f"{RUNS}/{number:08}.jsonl"


def private(number: int) -> str:
    """Where that of its record is which only root may read: names of files."""
    return f"{RUNS}/{number:08}.private"


def _read(path: str) -> Run | None:
    """None for a file without even its first line: not readable here."""
    *lines, _torn = text(path).split(b"\n")
    with checked(path):
        data = [jsondata.mapping(json.loads(line)) for line in lines]
        return _run(_named(data[0]), data[1:]) if data else None


_REMEDY = "move it away to go on without it"


def text(path: str, remedy: str = _REMEDY) -> bytes:
    """Read a record: empty where it is gone, or for others to read; else HostError."""
    try:
        return files.read(path) or b""
    except PermissionError:
        return b""
    except OSError as error:
        raise HostError(f"{path} cannot be read: {error.strerror}", remedy) from None


def _named(head: dict[str, Any]) -> dict[str, Any]:
    """With the actions that are kept apart, for whoever may read those."""
    if not head.get("kept_apart"):
        return head
    try:
        text = files.read(private(jsondata.number(head["run"])))
    except PermissionError:
        return head
    except OSError as error:
        raise FormatError(f"{private(head['run'])}: {error.strerror}") from None
    if text is None:
        raise FormatError(f"what it keeps apart is missing: {private(head['run'])}")
    whole = jsondata.mapping(jsondata.mapping(json.loads(text.split(b"\n")[0]))["actions"])
    actions = enumerate(jsondata.items(head["actions"]), 1)
    apart = jsondata.items(head["kept_apart"])
    return {**head, "actions": [whole[str(n)] if n in apart else each for n, each in actions]}


@contextmanager
def checked(path: str, remedy: str = _REMEDY) -> Iterator[None]:
    """Raise HostError where what is read of a record meanwhile is not as it should be."""
    try:
        yield
    except (ValueError, KeyError, RecursionError, FormatError) as error:
        words = f"without {error}" if isinstance(error, KeyError) else str(error)
        raise HostError(f"{path} is damaged: {words}", remedy) from None


def expect(wanted: str, data: dict[str, Any]) -> None:
    """Raise FormatError where the data is of another format."""
    if data["format"] != wanted:
        raise FormatError(f"its format is {data['format']!r:.60}, expected {wanted!r}")


def _run(head: dict[str, Any], events: Sequence[dict[str, Any]]) -> Run:
    expect(FORMAT, head)
    last: dict[str, Any] = next((event for event in reversed(events) if "finish" in event), {})
    begins = [event for event in events if "begin" in event]
    return Run(
        jsondata.number(head["run"]),
        jsondata.text(head["started"]),
        jsondata.text(head["user"]),
        jsondata.text(head["command"]),
        jsondata.text(head["config"]),
        tuple(document.action(action) for action in jsondata.items(head["actions"])),
        frozenset(jsondata.number(event["begin"]) for event in begins),
        {
            jsondata.number(event["end"]): jsondata.text(event["outcome"])
            for event in events
            if "end" in event
        },
        jsondata.text(last.get("finish", "")),
        jsondata.text(last.get("result", "")),
        _seen("before", events),
        _seen("after", events),
        {
            jsondata.number(event["begin"]): jsondata.text(event["thing"])
            for event in begins
            if "thing" in event
        },
    )


def _seen(when: str, events: Sequence[dict[str, Any]]) -> tuple[Seen, ...]:
    found = next((event for event in reversed(events) if event.get("images") == when), None)
    images = map(jsondata.mapping, jsondata.items(found["seen"])) if found else ()
    return tuple(jsondata.built(Seen, image) for image in images)


def base() -> Base:
    """What the runs that are no longer kept wrote; HostError when it is damaged."""
    for path in (PRIVATE_BASE, BASE):
        if record := text(path):
            with checked(path):
                return _base(jsondata.mapping(json.loads(record)))
    return Base()


def _base(data: dict[str, Any]) -> Base:
    expect(BASE_FORMAT, data)
    found: dict[Place[Any], tuple[LastApplied, ...]] = {}
    for entry in map(jsondata.mapping, jsondata.items(data["written"])):
        place = document.place(entry["place"])
        was = LastApplied(
            place.decoded(entry["original"]),
            tuple(map(place.decoded, jsondata.items(entry["values"]))),
            jsondata.text(entry["owner"]),
            jsondata.number(entry["run"]),
            jsondata.flag(entry["certain"]),
            jsondata.text(entry["config"]),
            jsondata.text(entry.get("thing", "")),
        )
        found[place] = (*found.get(place, ()), was)
    return Base(jsondata.number(data["through"]), found)


def veiled(of: Base) -> Base:
    """As everybody may read it."""
    entries = of.written.items()
    return Base(
        of.through,
        {place.redacted(): tuple(map(document.redacted_record, w)) for place, w in entries},
    )


def plain_base(of: Base) -> dict[str, Any]:
    """The JSON data that ``base`` reads."""
    entries = [
        {"place": document.plain_place(place), **document.plain_value(was)}
        for place, found in of.written.items()
        for was in found
    ]
    return {"format": BASE_FORMAT, "through": of.through, "written": entries}
