"""``vmtune defrag``: put together what lies in pieces below a path, now.

What is left as it is, and why: resources/defrag/ranges.py.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from reconciler import exit_codes
from reconciler.commands.load import guarded
from reconciler.commands.progress import Interrupt, ProgressView
from reconciler.engine.reporter import Reporter
from reconciler.errors import HostError
from reconciler.formats.sizes import binary, span
from reconciler.linux import machine, users
from reconciler.report import defrag as defrag_report
from reconciler.resources.defrag.now import Defragmentation, look, place

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.console import Terminal
    from reconciler.resources.defrag.now import Target
    from reconciler.resources.defrag.ranges import Ended, Found, Left, Outcome


FORMAT = "vmtune.defrag/1"


def run(
    terminal: Terminal, paths: Sequence[str], allow: Sequence[str], *, is_scheduled: bool = False
) -> int:
    """Return 0 when all is as good as can be, 1 when some is left, 6 when some is not to be seen.

    ``is_scheduled``: what is left for a reason that is excused (Why), or held by somebody at that
    moment, is named, and no failure: the next run comes.
    """
    allowed = "snapshots" in allow

    def command() -> int:
        places = [place(path) for path in paths]
        known: set[tuple[int, int]] = set()
        found = [look(each, allowed, known, len(places) > 1) for each in places]
        for each in found:
            for line in defrag_report.found(each, terminal.width, as_root=users.is_root()):
                terminal.say(line)
        _fits(places, found)
        return _done(terminal, places, found, allowed, is_scheduled)

    return guarded(terminal, command)


def _fits(places: Sequence[Target], found: Sequence[Found]) -> None:
    """HostError where what is shared now could not all be there twice."""
    for one in {each.uuid: each for each in places}.values():
        here = [of for at, of in zip(places, found, strict=True) if at.uuid == one.uuid]
        more = sum(file.lies.shared for of in here for file in of.files)
        if more > one.free:
            raise HostError(
                f"{one.path}: snapshots or clones share {binary(more)} of what would be rewritten, "
                f"which may stay in use beside it; {binary(one.free)} are free",
                "make room, or leave --allow snapshots away",
            )


def _done(
    terminal: Terminal,
    places: Sequence[Target],
    found: Sequence[Found],
    allowed: bool,
    is_scheduled: bool,
) -> int:
    since = time.monotonic()
    going = ProgressView(replace(terminal, lenient=True))
    going.begin(1)
    with Interrupt() as interrupt:
        work = Defragmentation(found, allowed, Reporter(going, lambda: interrupt.asked))
        outcomes = [work.run(at, of) for at, of in zip(places, found, strict=True)]
        going.end()
    seconds = time.monotonic() - since
    if any(each.files for each in found):
        _say(terminal, outcomes, span(seconds))
    for line in defrag_report.not_done(found, outcomes, terminal.width):
        terminal.say(line)
    terminal.event("result", document=_plain(found, outcomes, seconds))
    if work.problem:
        raise work.problem
    if interrupt.asked:
        terminal.complain("interrupted", "what was done stays; running it again goes on from there")
        return exit_codes.INTERRUPTED
    left = (each for of, end in zip(found, outcomes, strict=True) for each in (*of.left, *end.left))
    if any(not (is_scheduled and each.why.is_excused) for each in left):
        return exit_codes.ERROR
    is_hidden = any(each.unseen.count for each in found) and not is_scheduled
    return exit_codes.UNSEEN if is_hidden else exit_codes.DONE


def _say(terminal: Terminal, outcomes: Sequence[Outcome], took: str) -> None:
    terminal.say()
    for each in outcomes:
        for line in defrag_report.outcome(each, terminal.width):
            terminal.say(line)
    for line in defrag_report.total(outcomes, took, terminal.width):
        terminal.say(line)


def _plain(found: Sequence[Found], outcomes: Sequence[Outcome], seconds: float) -> dict[str, Any]:
    return {
        **machine.head(FORMAT),
        "kernel": machine.kernel(),
        "seconds": seconds,
        "paths": [_path(of, end) for of, end in zip(found, outcomes, strict=True)],
    }


def _path(of: Found, end: Outcome) -> dict[str, Any]:
    return {
        "path": of.path,
        "compression": of.compression,
        "whole": of.whole,
        "to_do": len(of.files),
        "files": [_ended(each) for each in end.ended],
        "left": [_left(each) for each in (*of.left, *end.left)],
        "subvolumes": list(of.subvolumes),
        "mounts": list(of.mounts),
        "unseen": list(of.unseen.named),
        "unseen_count": of.unseen.count,
    }


def _ended(of: Ended) -> dict[str, Any]:
    return {"path": of.path, "size": of.size, "before": of.before, "after": of.after}


def _left(of: Left) -> dict[str, Any]:
    return {"path": of.path, "why": of.why, "words": of.words, "size": of.size}
