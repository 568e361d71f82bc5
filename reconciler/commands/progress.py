"""When long work that a person watches says how far it is; and Ctrl-C.

The words are made in report/progress.py; console.py draws the line that changes, and takes it away.
Ctrl-C ends the work after the running action: no other is begun.
"""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING, Any, Self

from reconciler.report import progress as progress_report

if TYPE_CHECKING:
    from types import FrameType

    from reconciler.console import Terminal
    from reconciler.engine.reporter import Progress


_PATIENCE = 1.0
"""Seconds that work may take without a word."""

_REDRAWN, _LINES, _SAME, _EVENTS = 0.1, 1.0, 10.0, 0.5
"""Seconds between two redrawings, two plain lines, two of one subject, two events."""


class ProgressView:
    """What ``going`` of run.apply is told, made into output: never more than can be read."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self.begin(0)

    def begin(self, number: int) -> None:
        """Action ``number`` begins."""
        self._number = number
        self._since = self._last = time.monotonic()
        self._subject = ""
        self._drawn = False

    def __call__(self, step: Progress) -> None:
        """It is that far."""
        if self._terminal.quiet:
            return
        if self._terminal.json:
            self._event(step)
        elif self._terminal.can_redraw:
            self._redraw(step)
        else:
            self._line(step)

    def end(self) -> None:
        """The action is over: what was drawn is taken away."""
        if self._drawn:
            self._terminal.redraw("")
            self._drawn = False

    def _due(self, seconds: float) -> bool:
        """Whether that long nothing was said; if so, it is now."""
        now = time.monotonic()
        if now - self._last < seconds:
            return False
        self._last = now
        return True

    def _redraw(self, step: Progress) -> None:
        seconds = time.monotonic() - self._since
        if seconds >= _PATIENCE and self._due(_REDRAWN):
            self._terminal.redraw(
                progress_report.line(step, seconds, self._terminal.width_beside - 1)
            )
            self._drawn = True

    def _line(self, step: Progress) -> None:
        if self._due(_SAME if step.subject == self._subject else _LINES):
            self._subject = step.subject
            self._terminal.progress(progress_report.begun(step))

    def _event(self, step: Progress) -> None:
        if not self._subject or self._due(_EVENTS):
            self._subject = step.subject
            self._terminal.event(
                "progress",
                number=self._number,
                subject=step.subject,
                doing=step.doing,
                done=step.done,
                size=step.size,
                item=step.number,
                items=step.of,
                all_done=step.all_done,
                all_size=step.all_size,
            )


_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupt:
    """While entered, ``asked`` becomes True instead of the process being ended."""

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[int, Any] = {}

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        self.asked = True

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._note) for number in _SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
