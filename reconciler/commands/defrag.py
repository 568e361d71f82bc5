"""``vmtune defrag``: put together what lies in pieces below a path, now.

What is left as it is, and why: resources/defrag/ranges.py.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from reconciler import exit_codes
from reconciler.commands.progress import Interrupt, ProgressView
from reconciler.engine.reporter import Reporter
from reconciler.errors import HostError
from reconciler.formats.sizes import binary, span
from reconciler.linux import machine, users
from reconciler.report import defrag as defrag_report
from reconciler.resources.defrag.now import Defragmentation, look, place

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.console import Chosen, Terminal
    from reconciler.resources.defrag.now import Target
    from reconciler.resources.defrag.ranges import Found, Outcome


def run(chosen: Chosen, paths: Sequence[str], allow: Sequence[str], *, scheduled: bool) -> int:
    """Return 0 when all is as good as can be, 1 when some is left, 6 when some is not to be seen.

    ``scheduled``: what is left for a reason that is excused (Why), or held by somebody at that
    moment, is named, and no failure: the next run comes.
    """
    terminal, may_unshare = chosen.terminal, "snapshots" in allow
    places = [place(path) for path in paths]
    known: set[tuple[int, int]] = set()
    found = [look(each, may_unshare, known, len(places) > 1) for each in places]
    for each in found:
        terminal.tell(defrag_report.found(each, terminal.width, as_root=users.is_root()))
    _fits(places, found)
    since = time.monotonic()
    going = ProgressView(replace(terminal, lenient=True))
    going.begin(1)
    with Interrupt() as interrupt:
        work = Defragmentation(found, may_unshare, Reporter(going, lambda: interrupt.asked))
        outcomes = [work.run(at, of) for at, of in zip(places, found, strict=True)]
        going.end()
    _tell(terminal, found, outcomes, time.monotonic() - since)
    if work.problem:
        raise work.problem
    if interrupt.asked:
        terminal.complain("interrupted", "what was done stays; running it again goes on from there")
        return exit_codes.INTERRUPTED
    left = (each for of, end in zip(found, outcomes, strict=True) for each in (*of.left, *end.left))
    if any(not (scheduled and each.why.is_excused) for each in left):
        return exit_codes.ERROR
    is_hidden = any(each.unseen.count for each in found) and not scheduled
    return exit_codes.UNSEEN if is_hidden else exit_codes.DONE


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


def _tell(
    terminal: Terminal, found: Sequence[Found], outcomes: Sequence[Outcome], seconds: float
) -> None:
    """Say what became of the files, and what is left."""
    if any(each.files for each in found):
        terminal.say()
        for each in outcomes:
            terminal.tell(defrag_report.outcome(each, terminal.width))
        terminal.tell(defrag_report.total(outcomes, span(seconds), terminal.width))
    terminal.tell(defrag_report.not_done(found, outcomes, terminal.width))
    paths = [_path(of, end) for of, end in zip(found, outcomes, strict=True)]
    head = {**machine.head("vmtune.defrag/1"), "kernel": machine.kernel()}
    terminal.event("result", document={**head, "seconds": seconds, "paths": paths})


def _path(of: Found, end: Outcome) -> dict[str, Any]:
    return {
        "path": of.path,
        "compression": of.compression,
        "whole": of.whole,
        "to_do": len(of.files),
        "files": [vars(each) for each in end.ended],
        "left": [vars(each) for each in (*of.left, *end.left)],
        "subvolumes": list(of.subvolumes),
        "mounts": list(of.mounts),
        "unseen": list(of.unseen.named),
        "unseen_count": of.unseen.count,
    }
