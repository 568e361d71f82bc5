"""``vmtune doctor``: what the host lacks, or has against it. No root, no lock, no change."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from reconciler import exit_codes
from reconciler.commands import approval, host_view
from reconciler.commands.load import heading, host_title, load, tell
from reconciler.discovery import doctor as health
from reconciler.discovery import subjects
from reconciler.discovery.doctor import examine
from reconciler.engine.plan import declare, make_plan
from reconciler.errors import ConfigErrors
from reconciler.facts.discovered import Health
from reconciler.linux import machine, trusted_input, users
from reconciler.report import discovery as doctor_report
from reconciler.report import wrap
from reconciler.resources.registry import KINDS
from reconciler.run import claims

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.commands.load import Loaded
    from reconciler.console import Chosen, Terminal
    from reconciler.facts.discovered import Row
    from reconciler.facts.host_view import HostView


def run(chosen: Chosen) -> int:
    """1 when something fails; else 6 when only root could tell of something; else 0."""
    terminal = chosen.terminal
    loaded: Loaded | None = None
    with suppress(trusted_input.NoneFound):
        loaded = load(chosen)
        tell(terminal, loaded)
    view = host_view.look(terminal)
    looked = subjects.declared(loaded.items, view) if loaded else subjects.discovered(view)
    rows = _of_one_mind(examine(looked, view), loaded, view)
    healths = {row.health for row in rows}  # warnings count for nothing
    code = exit_codes.UNSEEN if Health.UNSEEN in healths else exit_codes.DONE
    if Health.FAIL in healths:
        code = exit_codes.ERROR
    here = trusted_input.short_hostname()
    host = loaded.host if loaded else here
    where = f"config {loaded.shown}" if loaded else "no vmtune.yaml: what init would find"
    heading(terminal, (f"host {host_title(host)}", where, "read only"))
    *told, counts = doctor_report.health(rows, terminal.width, terminal.paint)
    terminal.tell([*told, *_as_root(terminal, loaded, rows), counts])
    terminal.data(
        {
            **machine.head("vmtune.doctor/1"),
            "host": host,
            "config": loaded.path if loaded else None,
            "exit": code,
            "rows": [
                {**vars(row), "health": {"?": "unseen"}.get(row.health, str(row.health))}
                for row in rows
            ],
        }
    )
    return code


def _as_root(terminal: Terminal, loaded: Loaded | None, rows: Sequence[Row]) -> list[str]:
    """Name the command that shows what is not seen here."""
    if users.is_root() or not any(row.health is Health.UNSEEN for row in rows):
        return []
    lead = "To see what is `?` here: "
    lines = wrap.command(approval.root_line(loaded, "doctor"), terminal.width, 0, lead)
    return [terminal.paint(line, wrap.DIM) for line in lines]


def _of_one_mind(rows: tuple[Row, ...], loaded: Loaded | None, host: HostView) -> tuple[Row, ...]:
    """Return the rows with what the plan of the configuration refuses, and what one left behind."""
    history = claims.history(loaded.file if loaded else "", host)
    if not loaded and not history.gone:
        return rows
    try:
        plan = make_plan(declare(loaded.items if loaded else (), KINDS), KINDS, host, history)
    except ConfigErrors as problems:
        return (*rows, *health.contradictions(problems.problems))
    return health.joined(rows, plan)
