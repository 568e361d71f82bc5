"""``vmtune history``: what was done, by which configuration, when, by whom, and how it ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler import exit_codes
from reconciler.commands.load import guarded
from reconciler.linux import lock, machine, users
from reconciler.report import history as history_report
from reconciler.run import journal

if TYPE_CHECKING:
    from reconciler.console import Terminal


FORMAT = "vmtune.history/1"


def run(terminal: Terminal, number: int | None) -> int:
    """Print what each run changed, or one run with every action."""

    def command() -> int:
        is_at_work = lock.is_held()  # before the runs are read: who ends meanwhile has ended
        runs = journal.runs()
        last = runs[-1].number if runs else 0
        if number is not None:
            runs = (journal.run(number),)
        told = [
            history_report.plain(
                each, is_at_work=is_at_work and each.number == last, who=users.owner
            )
            for each in runs
        ]
        terminal.data({**machine.head(FORMAT), "runs": told})
        lines = (
            history_report.listed(runs, terminal.width, is_at_work=is_at_work, tilde=users.tilde)
            if number is None
            else history_report.whole(
                runs[0],
                terminal.width,
                is_at_work=is_at_work and number == last,
                who=users.owner,
                tilde=users.tilde,
            )
        )
        for line in lines:
            terminal.say(line)
        return exit_codes.DONE

    return guarded(terminal, command)
