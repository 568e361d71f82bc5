"""Telling how far a long action is: a line redrawn on a terminal, plain lines, or events."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from reconciler.render import progress

if TYPE_CHECKING:
    from reconciler.console import Terminal
    from reconciler.core.watch import Step

_PATIENCE = 1.0
"""Seconds that work may take without a word."""
_REDRAWN, _LINES, _SAME, _EVENTS = 0.1, 1.0, 10.0, 0.5
"""Seconds between two redrawings, two plain lines, two of one subject, two events."""


class Progress:
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

    def __call__(self, step: Step) -> None:
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

    def _redraw(self, step: Step) -> None:
        seconds = time.monotonic() - self._since
        if seconds >= _PATIENCE and self._due(_REDRAWN):
            self._terminal.redraw(progress.line(step, seconds, self._terminal.width - 1))
            self._drawn = True

    def _line(self, step: Step) -> None:
        if self._due(_SAME if step.subject == self._subject else _LINES):
            self._subject = step.subject
            self._terminal.progress(progress.begun(step))

    def _event(self, step: Step) -> None:
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
