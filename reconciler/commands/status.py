"""``vmtune status``: is the host as declared, and what to do next. No root, no lock, no change."""

from __future__ import annotations

import shlex
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from reconciler.commands import host_view, root
from reconciler.commands import plan as planning
from reconciler.commands.load import guarded, load, tell
from reconciler.engine import codec, document, tries
from reconciler.engine.last_applied import latest
from reconciler.engine.ownership import Ownership
from reconciler.engine.plan import declare, make_plan
from reconciler.facts.diagnostics import Op
from reconciler.linux import machine, output_file, users
from reconciler.report import bar as bars
from reconciler.report import standing, text, verdict, wrap
from reconciler.report import status as status_report
from reconciler.report.standing import Effect, Report, place_statuses
from reconciler.resources.registry import KINDS
from reconciler.run import claims, journal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.commands.load import Loaded
    from reconciler.console import Terminal
    from reconciler.engine.claims import History
    from reconciler.engine.model import Plan
    from reconciler.engine.resource import Declared
    from reconciler.facts.host_view import HostView


FORMAT = "vmtune.status/1"

_PAGE = "page that vmtune wrote"


def run(
    terminal: Terminal,
    config: str | None,
    host: str | None,
    html: str | None = None,
    *,
    short: bool = False,
) -> int:
    """0 in sync, 2 differs, 7 only refused rows, 6 when only root could tell; silent when quiet.

    ``html`` names the file that gets the same as a page. ``short`` prints one line, for a prompt
    or a login script, and looks at no image for it.
    """

    def command() -> int:
        page = None if html is None else _free(html)
        loaded = load(config, host)
        tell(terminal, loaded)
        view = host_view.look(terminal)
        history = claims.history(loaded.file, view)
        declared = tuple(Ownership(history, view).recalled(declare(loaded.items, KINDS)))
        plan = planning.at_home(make_plan(declared, KINDS, view, history))
        code = planning.exit_code(plan)
        if terminal.quiet and not terminal.json and not page:
            return code
        brief = short and not terminal.json
        made = (_brief if brief and not page else _whole)(declared, view, history, plan)
        commands = _commands(loaded, config, host)
        made = replace(made, steps=tuple(verdict.steps(plan, made.effect.schedules, commands)))
        if page:  # before the answer: where it cannot be, that is the only one
            _write(loaded, made, page)
        if not terminal.quiet:
            one_line = verdict.short(plan, made.effect.schedules, commands)
            terminal.say(one_line, as_is=True) if brief else _show(terminal, loaded, made, code)
        terminal.data(_plain(loaded, made, code))
        if page and not terminal.quiet:
            terminal.report(f"written to {page}")
        return code

    return guarded(terminal, command)


def _brief(declared: Sequence[Declared], view: HostView, _history: History, plan: Plan) -> Report:
    """Look at no more than one line tells: no image is opened for a prompt."""
    return Report(plan, (), Effect(schedules=tuple(standing.schedules(declared, view))))


def _whole(declared: Sequence[Declared], view: HostView, history: History, plan: Plan) -> Report:
    """Look at all that the answer tells beside the plan."""
    runs = journal.runs()
    tried = tries.last(runs, journal.whys)
    found = place_statuses(declared, view, latest(history.written), tried)
    effect = standing.effect(declared, view, journal.seen())
    return Report(plan, found, effect, runs=tuple(runs), who=users.owner)


def _commands(loaded: Loaded, config: str | None, host: str | None) -> verdict.Commands:
    """What to type next, with the options that were given."""
    named = (*(("--config", config) if config else ()), *(("--host", host) if host else ()))
    return verdict.Commands(
        shlex.join(("vmtune", *named, "apply")),
        shlex.join(("vmtune", *named, "status")),
        "" if users.is_root() else root.line(loaded, "status"),
    )


def _show(terminal: Terminal, loaded: Loaded, report: Report, code: int) -> None:
    parts = (f"host {loaded.host_title}", f"config {loaded.shown}", "read only")
    for line in text.heading(parts, terminal.width, terminal.dot):
        terminal.say(line)
    terminal.say()
    style = bars.style(terminal.paint, unicode=terminal.unicode)
    for line in status_report.status(
        report, terminal.width, terminal.paint, style, verbose=terminal.verbose
    ):
        terminal.say(line)
    more = text.more(report.plan)
    beside = [more] * bool(more)
    if not users.is_root() and _root_sees(report):
        lead = "What only root can see: "
        beside += wrap.command(root.line(loaded, "status"), terminal.width, 0, lead)
    if beside:
        terminal.say()
        terminal.say("\n".join(beside))
    planning.tell_refused(terminal, report.plan, code)


def _root_sees(report: Report) -> bool:
    """Whether root sees more of what it brought; of a row that is not seen, a step tells it."""
    seen = any(path.layouts for path in report.effect.paths)
    return report.effect.before.is_hidden and seen and not report.plan.count(Op.UNKNOWN)


def _free(path: str) -> str:
    from reconciler.report import html  # noqa: PLC0415

    return output_file.checked(path, "--html", output_file.Sort(html.MARK, _PAGE))


def _write(loaded: Loaded, report: Report, path: str) -> None:
    from reconciler.report import html  # noqa: PLC0415

    page = html.page(report, loaded.host_title, loaded.shown, machine.now())
    data = page.encode("utf-8", "backslashreplace")
    output_file.replace(path, data, "--html", output_file.Sort(html.MARK, _PAGE))


def _plain(loaded: Loaded, report: Report, code: int) -> dict[str, Any]:
    return {
        **machine.head(FORMAT),
        "host": loaded.host,
        "config": loaded.path,
        "exit": code,
        "verdict": verdict.verdict(report.plan),
        "headline": verdict.headline(report.effect),
        "next": [{"what": step.what, "do": step.do, "code": step.code} for step in report.steps],
        "changes": [document.plain_change(change) for change in report.plan.changes],
        "places": [
            {
                **codec.plain_place(standing.place),
                "owner": standing.owner,
                "wanted": codec.plain_value(standing.wanted),
                "there": codec.plain_value(standing.there),
                "written": standing.written
                and {
                    "value": codec.plain_value(standing.written.values[-1]),
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
