"""``vmtune status``: is the host as declared, place by place. No root, no lock, no change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reconciler import __version__
from reconciler.commands import plan as planning
from reconciler.commands.load import guarded, load
from reconciler.core import codec, document
from reconciler.core.plan import declare, make_plan
from reconciler.core.status import standings
from reconciler.host import clock, readers
from reconciler.render import status as lines
from reconciler.render import text
from reconciler.resources.registry import KINDS
from reconciler.run import journal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.commands.load import Loaded
    from reconciler.core.model import Plan
    from reconciler.core.status import Standing
    from reconciler.terminal import Terminal

FORMAT = "vmtune.status/1"


def run(terminal: Terminal, config: str | None, host: str | None) -> int:
    """0 in sync, 2 when something differs, 6 when only root could tell; silent when quiet."""

    def command() -> int:
        loaded = load(config, host)
        see, written = readers.look(), journal.written()
        declared = declare(loaded.items, KINDS)
        plan = make_plan(declared, KINDS, see, written, loaded.path)
        found = standings(declared, see, written)
        if not terminal.quiet:
            _show(terminal, loaded, plan, found)
        code = planning.exit_code(plan, detailed=True)
        terminal.data(_plain(loaded, plan, found, code))
        return code

    return guarded(terminal, command)


def _show(terminal: Terminal, loaded: Loaded, plan: Plan, found: Sequence[Standing]) -> None:
    head = f"host {loaded.host}   config {loaded.shown}"
    for line in text.header(head, "read only: nothing was changed", terminal.width):
        terminal.say(line)
    terminal.say()
    for line in lines.status(plan, found, terminal.width, terminal.paint):
        terminal.say(line)


def _plain(loaded: Loaded, plan: Plan, found: Sequence[Standing], code: int) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "version": __version__,
        "created": clock.now(),
        "host": loaded.host,
        "config": loaded.path,
        "exit": code,
        "changes": [document.plain_change(change) for change in plan.changes],
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
            }
            for standing in found
        ],
    }
