"""``vmtune history``: what was done, by which configuration, when, by whom, and how it ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler import exit_codes
from reconciler.linux import lock, machine, users
from reconciler.report import history as history_report
from reconciler.run import journal

if TYPE_CHECKING:
    from reconciler.console import Chosen


def run(chosen: Chosen, number: int | None) -> int:
    """Print what each run changed, or one run with every action."""
    terminal = chosen.terminal
    is_at_work = lock.is_held()  # before the runs are read: who ends meanwhile has ended
    runs = journal.runs()
    at_work = runs[-1].number if is_at_work and runs else 0
    if number is not None:
        runs = (journal.run(number),)
    told = [
        history_report.plain(each, is_at_work=each.number == at_work, who=users.owner)
        for each in runs
    ]
    terminal.data({**machine.head("vmtune.history/1"), "runs": told})
    if number is None:
        lines = history_report.listed(
            runs, terminal.width, is_at_work=is_at_work, tilde=users.tilde
        )
    else:
        lines = history_report.whole(
            runs[0],
            terminal.width,
            is_at_work=number == at_work,
            who=users.owner,
            tilde=users.tilde,
        )
    terminal.tell(lines)
    return exit_codes.DONE
