"""``vmtune show``: a saved plan, also one that is stale or applied already."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler import exit_codes
from reconciler.commands.load import guarded
from reconciler.engine import document
from reconciler.report import text
from reconciler.run import planfile

if TYPE_CHECKING:
    from reconciler.console import Terminal


def run(terminal: Terminal, file: str) -> int:
    """Print it as it was when it was made; looks at no host."""

    def command() -> int:
        saved = planfile.load(file)
        world = saved.world
        head = f"host {world.host}   config {world.config}{text.allowed(world.allow)}"
        for line in text.header(head, f"planned {saved.created}", terminal.width):
            terminal.say(line)
        terminal.say()
        for line in text.plan(saved.plan, terminal.width, terminal.paint, verbose=terminal.verbose):
            terminal.say(line)
        if more := text.more(saved.plan):
            terminal.say(more)
        terminal.data(document.plain(saved))
        return exit_codes.DONE

    return guarded(terminal, command)
