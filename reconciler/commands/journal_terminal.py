"""The journal of systemd in place of a terminal: for a service whose output the journal reads."""

from __future__ import annotations

import sys
from dataclasses import field
from typing import TYPE_CHECKING, Any

from reconciler.console import Terminal
from reconciler.linux import journald
from reconciler.report.journald import entries, problem

if TYPE_CHECKING:
    from collections.abc import Mapping


class JournalTerminal(Terminal):
    """One entry of the journal for each event, with fields, and no text."""

    begun: dict[int, Any] = field(default_factory=dict)
    """Actions that are under way, by their number."""

    def say(self, text: str = "", **_how: bool) -> None:
        """Print nothing: the events say the same."""

    def progress(self, text: str) -> None:
        """Print nothing: an entry says when an action begins, and when it ends."""

    def complain(self, text: str, hint: str = "") -> None:
        """Tell a problem, and what to do about it, in one entry."""
        self._tell(problem(text, hint))

    def data(self, document: Mapping[str, Any]) -> None:
        """Tell what a document or an event says."""
        for fields in entries(document, self.begun):
            self._tell(fields)

    def _tell(self, fields: Mapping[str, str]) -> None:
        """Send an entry; print its text where the journal does not take it."""
        if not journald.send(fields):
            self._write(sys.stdout, f"{fields['MESSAGE']}\n")
