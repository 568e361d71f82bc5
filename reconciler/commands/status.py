"""``vmtune status``: is the host as declared, place by place. No root, no lock, no change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reconciler import __version__
from reconciler.commands import host_view
from reconciler.commands import plan as planning
from reconciler.commands.load import guarded, load, tell
from reconciler.engine import codec, document, tries
from reconciler.engine.last_applied import latest
from reconciler.engine.ownership import Ownership
from reconciler.engine.plan import declare, make_plan
from reconciler.linux import machine
from reconciler.report import bar as bars
from reconciler.report import standing, text
from reconciler.report import status as status_report
from reconciler.report.standing import Report, place_statuses
from reconciler.resources.registry import KINDS
from reconciler.run import claims, journal

if TYPE_CHECKING:
    from reconciler.commands.load import Loaded
    from reconciler.console import Terminal


FORMAT = "vmtune.status/1"

_PAGE = "page that vmtune wrote"


def run(terminal: Terminal, config: str | None, host: str | None, html: str | None = None) -> int:
    """0 in sync, 2 differs, 7 only refused rows, 6 when only root could tell; silent when quiet.

    ``html`` names the file that gets the same as a page.
    """

    def command() -> int:
        page = None if html is None else _free(html)
        loaded = load(config, host)
        tell(terminal, loaded)
        view = host_view.look(terminal)
        history = claims.history(loaded.file, view)
        declared = Ownership(history, view).recalled(declare(loaded.items, KINDS))
        plan = make_plan(declared, KINDS, view, history)
        tried = tries.last(journal.runs(), journal.whys)
        found = place_statuses(declared, view, latest(history.written), tried)
        code = planning.exit_code(plan)
        if terminal.quiet and not terminal.json and not page:
            return code
        report = Report(plan, found, standing.effect(declared, view, journal.seen()))
        if page:  # before the answer: where it cannot be, that is the only one
            _write(loaded, report, page)
        if not terminal.quiet:
            _show(terminal, loaded, report)
            planning.tell_refused(terminal, plan, code)
        terminal.data(_plain(loaded, report, code))
        if page and not terminal.quiet:
            terminal.report(f"written to {page}")
        return code

    return guarded(terminal, command)


def _show(terminal: Terminal, loaded: Loaded, report: Report) -> None:
    head = f"host {loaded.host_title}   config {loaded.shown}"
    for line in text.header(head, "read only: nothing was changed", terminal.width):
        terminal.say(line)
    terminal.say()
    style = bars.style(terminal.tint, unicode=terminal.unicode)
    for line in status_report.status(report, terminal.width, terminal.paint, style):
        terminal.say(line)
    if more := text.more(report.plan):
        terminal.say(f"\n{more}")


def _free(path: str) -> str:
    from reconciler.linux import output_file  # noqa: PLC0415 - most look at the terminal
    from reconciler.report import html  # noqa: PLC0415

    return output_file.checked(path, "--html", output_file.Sort(html.MARK, _PAGE))


def _write(loaded: Loaded, report: Report, path: str) -> None:
    from reconciler.linux import output_file  # noqa: PLC0415
    from reconciler.report import html  # noqa: PLC0415

    page = html.page(report, loaded.host_title, loaded.shown, machine.now())
    data = page.encode("utf-8", "backslashreplace")
    output_file.replace(path, data, "--html", output_file.Sort(html.MARK, _PAGE))


def _plain(loaded: Loaded, report: Report, code: int) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "version": __version__,
        "created": machine.now(),
        "host": loaded.host,
        "config": loaded.path,
        "exit": code,
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
