"""How far long work is, in one line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.formats.sizes import binary
from reconciler.report.wrap import columns, printable

if TYPE_CHECKING:
    from reconciler.engine.reporter import Progress


_BAR = 20

_NAME = 14
"""Columns that a name takes at least: fewer tell no images apart."""

_FROM = 100
"""Columns from which there is room for a bar."""


def line(step: Progress, seconds: float, width: int) -> str:
    """Of the work as a whole, that took ``seconds`` so far: never wider than ``width``."""
    part = step.all_done / step.all_size if step.all_size else 1.0
    words = [f"{part:4.0%}", f"{binary(step.all_done)} of {binary(step.all_size)}"]
    if step.all_done and seconds > 0:
        rate = step.all_done / seconds
        words += [
            f"{binary(int(rate))}/s",
            f"{duration((step.all_size - step.all_done) / rate)} left",
        ]
    filled = int(part * _BAR)
    bar = [f"[{'#' * filled}{'.' * (_BAR - filled)}]"] if width >= _FROM else []
    head = "  " + "  ".join([*bar, *words])
    return f"{head}  {_shortened(subject(step), width - len(head) - 2)}".rstrip()[:width]


def subject(step: Progress) -> str:
    """Which it is, of how many, and how far that one is."""
    own = f" ({step.done / step.size:.0%})" if step.size and step.of > 1 else ""
    which = f"{step.number:,} of {step.of:,}{own}: " if step.of > 1 else ""
    return printable(f"{which}{step.subject}")


def begun(step: Progress) -> str:
    """Where there is no terminal, a line for one that is begun or goes on."""
    return f"      {step.doing} {subject(step)}, {binary(step.done)} of {binary(step.size)}"


def looking(path: str, seconds: float, width: int) -> str:
    """What is looked at, and for how long: never wider than ``width``."""
    head, tail = "  looking below ", f"  {duration(seconds)}"
    return f"{head}{_shortened(printable(path), width - len(head) - len(tail))}{tail}"


def waits_until(time: str) -> str:
    """Say how a wait ends, once at its beginning."""
    ends = f"for up to {time}" if time else "until all is done"
    return f"waits for what is in use, {ends}; Ctrl-C ends the wait, and what was done stays"


def awaited(subject: str, why: str, count: int) -> str:
    """Say what is waited for, and who is in the way; of several the first."""
    return printable(f"  waiting for {subject}: {_after(why, count, None)}")


def awaited_for(subject: str, why: str, count: int, seconds: int | None, width: int) -> str:
    """Say the same on a line of a terminal, with the time that is left: never wider than it.

    Of a long path the end is kept: it tells images apart, and who is in the way is to be read.
    Where there is no room for both, the time goes first, then the others, then who it is.
    """
    head, name = "  waiting for ", printable(subject)
    for said in (_after(why, count, seconds), _after(why, count, None), why, ""):
        tail = printable(f": {said}") if said else ""
        room = width - len(head) - len(tail)
        if room >= min(len(name), _NAME):
            break
    return f"{head}{_shortened(name, room)}{tail}"[:width]


def _after(why: str, count: int, seconds: int | None) -> str:
    more = f"; {count - 1:,} more" if count > 1 else ""
    return why + more + ("" if seconds is None else f"; {_minutes(seconds)} left")


def _minutes(seconds: int) -> str:
    """1:58 h, 12 min, 40 s: who waits for hours reads no seconds."""
    if seconds < 60:  # noqa: PLR2004
        return f"{seconds} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02} h"  # noqa: PLR2004


def duration(seconds: float) -> str:
    """0:05, 12:30, 1:02:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _shortened(text: str, width: int) -> str:
    """Its end is what tells images apart."""
    if columns(text) <= width:
        return text
    if width <= 10:  # noqa: PLR2004 - nothing to read
        return ""
    end = text[3 - width :]
    while columns(end) > width - 3:
        end = end[1:]
    return f"...{end}"
