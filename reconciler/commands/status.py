"""``vmtune status``: is the host as declared, and what to do next. No root, no lock, no change."""

from __future__ import annotations

import shlex
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from reconciler import exit_codes
from reconciler.commands import approval, host_view
from reconciler.commands import plan as planning
from reconciler.commands.load import heading, host_title, load, tell
from reconciler.engine import document, last_applied
from reconciler.engine.last_applied import latest
from reconciler.engine.ownership import Ownership
from reconciler.engine.plan import declare, make_plan
from reconciler.facts.diagnostics import Op
from reconciler.linux import files, machine, users
from reconciler.report import bar as bars
from reconciler.report import standing, text, verdict, wrap
from reconciler.report import status as status_report
from reconciler.report.standing import Effect, Report, place_statuses
from reconciler.resources.registry import KINDS
from reconciler.run import claims, journal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.commands.load import Loaded
    from reconciler.console import Chosen, Terminal
    from reconciler.engine.claims import History
    from reconciler.engine.model import Plan
    from reconciler.engine.resource import Declared
    from reconciler.facts.host_view import HostView


def run(chosen: Chosen, html: str | None, *, short: bool) -> int:
    """0 in sync, 2 differs, 7 only refused rows, 6 when only root could tell; silent when quiet.

    ``html`` names the file that gets the same as a page. ``short`` prints one line, for a prompt
    or a login script, and looks at no image for it.
    """
    terminal = chosen.terminal
    page = _Page(html) if html is not None else None
    loaded = load(chosen)
    tell(terminal, loaded)
    view = host_view.look(terminal)
    history = claims.history(loaded.file, view)
    declared = tuple(Ownership(history, view).recalled(declare(loaded.items, KINDS)))
    plan = planning.at_home(make_plan(declared, KINDS, view, history))
    code = document.exit_code(plan)
    if terminal.quiet and not terminal.json and not page:
        return code
    brief = short and not terminal.json
    if brief and not page:  # no image is opened for a prompt
        made = Report(plan, (), Effect(schedules=tuple(standing.schedules(declared, view))))
    else:
        made = _whole(declared, view, history, plan)
    commands = _commands(loaded, chosen)
    made = replace(made, steps=tuple(verdict.steps(plan, made.effect.schedules, commands)))
    if page:  # before the answer: where it cannot be, that is the only one
        page.write(loaded, made)
    if brief and not terminal.quiet:
        terminal.say(verdict.short(plan, made.effect.schedules, commands), as_is=True)
    elif not terminal.quiet:
        _show(terminal, loaded, made, code)
    terminal.data(_plain(loaded, made, code))
    if page and not terminal.quiet:
        terminal.report(f"written to {page.path}")
    return code


def _whole(declared: Sequence[Declared], view: HostView, history: History, plan: Plan) -> Report:
    """Look at all that the answer tells beside the plan."""
    runs = journal.runs()
    tried = last_applied.last_try(runs, journal.whys)
    found = place_statuses(declared, view, latest(history.written), tried)
    effect = standing.effect(declared, view, journal.seen())
    return Report(plan, found, effect, runs=tuple(runs), who=users.owner)


def _commands(loaded: Loaded, chosen: Chosen) -> verdict.Commands:
    """What to type next, with the options that were given."""
    given = (("--config", chosen.config), ("--host", chosen.host))
    named = [word for option, value in given if value for word in (option, value)]
    return verdict.Commands(
        shlex.join(("vmtune", *named, "apply")),
        shlex.join(("vmtune", *named, "status")),
        "" if users.is_root() else approval.root_line(loaded, "status"),
    )


def _show(terminal: Terminal, loaded: Loaded, report: Report, code: int) -> None:
    heading(terminal, (f"host {host_title(loaded.host)}", f"config {loaded.shown}", "read only"))
    style = bars.style(terminal.paint, unicode=terminal.unicode)
    terminal.tell(
        status_report.status(
            report, terminal.width, terminal.paint, style, verbose=terminal.verbose
        )
    )
    more = text.more(report.plan)
    beside = [more] * bool(more)
    if not users.is_root() and _root_sees(report):
        lead = "What only root can see: "
        beside += wrap.command(approval.root_line(loaded, "status"), terminal.width, 0, lead)
    if beside:
        terminal.tell(["", *beside])
    if code == exit_codes.REFUSED:  # the last line says what is refused, and so why it is 7
        terminal.tell(text.counted_rows(report.plan, Op.BLOCKED, terminal.width))


def _root_sees(report: Report) -> bool:
    """Whether root sees more of what it brought; of a row that is not seen, a step tells it."""
    seen = any(path.layouts for path in report.effect.paths)
    return report.effect.before.is_hidden and seen and not report.plan.count(Op.UNKNOWN)


class _Page:
    """The page that is written beside the answer: its place is refused before a long look."""

    def __init__(self, path: str) -> None:
        from reconciler.report import html  # noqa: PLC0415 - most answers have none

        self._make = html.page
        self._sort = files.Sort(html.MARK, "page that vmtune wrote")
        self.path = files.checked_output(path, "--html", self._sort)

    def write(self, loaded: Loaded, report: Report) -> None:
        page = self._make(report, host_title(loaded.host), loaded.shown, machine.now())
        data = page.encode("utf-8", "backslashreplace")
        files.replace_output(self.path, data, "--html", self._sort)


def _plain(loaded: Loaded, report: Report, code: int) -> dict[str, Any]:
    return {
        **machine.head("vmtune.status/1"),
        "host": loaded.host,
        "config": loaded.path,
        "exit": code,
        "verdict": verdict.verdict(report.plan),
        "headline": verdict.headline(report.effect),
        "next": [{"what": step.what, "do": step.do, "code": step.code} for step in report.steps],
        "changes": [document.plain_change(change) for change in report.plan.changes],
        "places": [
            {
                **document.plain_place(standing.place),
                "owner": standing.owner,
                "wanted": document.plain_value(standing.wanted),
                "there": document.plain_value(standing.there),
                "written": standing.written
                and {
                    "value": document.plain_value(standing.written.values[-1]),
                    "run": standing.written.run,
                },
                "drift": standing.is_drift,
                "tried": standing.tried
                and {
                    "run": standing.tried.run,
                    "outcome": standing.tried.outcome,
                    "why": standing.tried.why,
                },
            }
            for standing in report.standings
        ],
        "effect": standing.plain(report.effect),
    }
