"""``vmtune show``: a saved plan, also one that is stale or applied already."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from reconciler import exit_codes
from reconciler.commands import choose
from reconciler.commands.load import host_title
from reconciler.commands.plan import show_rows
from reconciler.engine import document
from reconciler.engine.place import numbered
from reconciler.errors import HostError
from reconciler.linux import machine, users
from reconciler.report import text
from reconciler.report.history import when
from reconciler.run import planfile

if TYPE_CHECKING:
    from reconciler.console import Chosen
    from reconciler.engine.document import Document


def run(chosen: Chosen, plan: str) -> int:
    """Print it as it was when it was made; looks at no host."""
    saved = _load(plan)
    world = saved.world
    # Another machine has other people behind the numbers, and facts of its own.
    is_here = world.machine == machine.identity()
    who = users.owner if is_here else numbered
    parts = (
        f"host {host_title(world.host) if is_here else world.host}",
        f"config {world.config}",
        text.allowed(world.allow),
        f"planned {when(saved.created)}",
    )
    show_rows(chosen.terminal, parts, saved.plan, who=who)
    chosen.terminal.data(document.plain(saved, who))
    return exit_codes.DONE


def _load(file: str) -> Document:
    """Read a saved plan; HostError with the plan whose name is near where there is no such file."""
    try:
        return planfile.load(file)
    except HostError as error:
        if error.hint or os.path.lexists(file):
            raise
        near = choose.near_plans(choose.word_of(file))
        meant = f"did you mean {' or '.join(near)}?" if near else ""
        raise HostError(error.message, meant) from None
