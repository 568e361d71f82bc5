"""The journal as lines of text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.engine.model import Swap
from reconciler.formats.sizes import binary, counted
from reconciler.report import text
from reconciler.report.wrap import hanging, printable, wrapped
from reconciler.resources.images.places import Image, Images

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from reconciler.engine.last_applied import Run


_WHEN = 28
"""Columns that number and time take."""

_INDENT = 4

_NARROWEST = 20
"""Columns below which text is no longer read with ease."""


def listed(runs: Sequence[Run], width: int = 80) -> Iterator[str]:
    """A line a run, oldest first, and what it did to images."""
    if not runs:
        yield "nothing was done here yet"
    for run in runs:
        yield from _fitted(f"{run.number:>5}  {_when(run.started)}  ", _head(run), width)
        if brought := trend(run):
            yield from wrapped(brought, width, _WHEN if width >= 2 * _WHEN else _INDENT)


def whole(run: Run, width: int = 80) -> Iterator[str]:
    """One run with its actions and what became of each."""
    yield from _fitted(f"run {run.number}   ", _head(run), width)
    ended = f"ended {_when(run.finished) if run.finished else '-'}"
    yield from _fitted(f"started {_when(run.started)}   ", ended, width)
    yield f"config {printable(run.config)}"
    if brought := trend(run):
        yield from _fitted("images ", brought, width)
    yield ""
    for number, action in enumerate(run.actions, 1):
        yield from _fitted(f"  {_outcome(run, number):<12} ", text.action(action), width)


def _fitted(head: str, words: str, width: int) -> Iterator[str]:
    """Words behind the head; below it where there is no room for the longest beside it."""
    longest = max((len(word) for word in words.split()), default=0)
    beside = len(head) + max(longest, _NARROWEST) <= width
    return hanging(head, words, width, len(head) if beside else _INDENT)


def trend(of: Run) -> str:
    """What it did to the images that it saw both before and after; "" where it saw none."""
    then = {each.key: each for each in of.before}
    pairs = [(then[each.key], each) for each in of.after if each.key in then]
    if not pairs:
        return ""
    told = [f"{counted(len(pairs), 'image')} seen"]
    if count := _rewritten(of):
        anew = sum(was.inode != now.inode for was, now in pairs)
        told = [f"{anew} of {counted(len(pairs), 'image')} rewritten"]
        if count > len(of.before):  # only the largest are seen
            told = [f"of the {counted(len(pairs), 'largest image')} {anew} rewritten"]
    for name in ("fragments", "compressed", "shared"):
        was, now = (sum(getattr(each[side], name) for each in pairs) for side in (0, 1))
        show = "{:,}".format if name == "fragments" else binary
        if was != now:
            told.append(f"{name} {show(was)} -> {show(now)}")
        elif name == "fragments":
            told.append(f"{name} {show(now)} as before")
    return ", ".join(told)


def rewritten(of: Run) -> str:
    """The same of a run that rewrote images; "" of any other."""
    return trend(of) if _rewritten(of) else ""


def _rewritten(of: Run) -> int:
    """How many images it was to rewrite."""
    done = [swap for _, swap in of.done()]
    below = sum(swap.have.count for swap in done if isinstance(swap.place, Images))
    return int(below) + sum(isinstance(swap.place, Image) for swap in done)


def _head(run: Run) -> str:
    swaps = [n for n, action in enumerate(run.actions, 1) if isinstance(action, Swap)]
    done = sum(run.outcomes.get(number) == "done" for number in swaps)
    many = counted(len(swaps), "change")
    result = run.result or "cut off"
    return f"{printable(run.command)} by {printable(run.user)}: {result}, {done} of {many}"


def _outcome(run: Run, number: int) -> str:
    if number in run.outcomes:
        return run.outcomes[number]
    return "cut off" if number in run.begun else "not done"


def _when(time: str) -> str:
    return time.replace("T", " ")[:19]
