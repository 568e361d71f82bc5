"""``vmtune history``: what was done, when, by whom, and how it ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler import exit_codes
from reconciler.commands.load import guarded
from reconciler.report import history as history_report
from reconciler.run import journal

if TYPE_CHECKING:
    from reconciler.console import Terminal


def run(terminal: Terminal, number: int | None) -> int:
    """All runs a line each, or one with every action."""

    def command() -> int:
        if number is None:
            for line in history_report.listed(journal.runs(), terminal.width):
                terminal.say(line)
        else:
            for line in history_report.whole(journal.run(number), terminal.width):
                terminal.say(line)
        return exit_codes.DONE

    return guarded(terminal, command)
