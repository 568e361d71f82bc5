"""``vmtune plan``: read, compare, show. Nothing it loads can change the host."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from reconciler import __version__, exits
from reconciler.commands import elevate, permission
from reconciler.commands.load import guarded, load
from reconciler.core import document
from reconciler.core.document import Document, World
from reconciler.core.model import Op
from reconciler.core.plan import declare, make_plan
from reconciler.host import clock, machine, readers
from reconciler.render import text
from reconciler.resources.registry import KINDS
from reconciler.run import journal, planfile

if TYPE_CHECKING:
    from reconciler.commands.load import Loaded
    from reconciler.core.model import Plan
    from reconciler.core.snapshot import Snapshot
    from reconciler.terminal import Terminal


def run(
    terminal: Terminal,
    config: str | None,
    host: str | None,
    output: str | None,
    *,
    detailed: bool,
) -> int:
    """Print the plan, save it where asked to; the exit code as in exits."""

    def command() -> int:
        loaded = load(config, host)
        plan = make(loaded)
        show(terminal, loaded, plan, "read only: nothing was changed")
        made = document_of(loaded, plan)
        if output:
            planfile.save(output, made)
            terminal.say(f"Saved: `{shlex.join(['vmtune', 'apply', output])}` does exactly this.")
        terminal.data(document.plain(made))
        return exit_code(plan, detailed=detailed)

    return guarded(terminal, command)


def make(loaded: Loaded, see: Snapshot | None = None) -> Plan:
    """The plan for this host as it is now."""
    declared = declare(loaded.items, KINDS)
    return make_plan(declared, KINDS, see or readers.look(), journal.written(), loaded.path)


def world(loaded: Loaded) -> World:
    """What a plan made now rests on, beside its places."""
    return World(loaded.host, machine.identity(), machine.kernel(), loaded.path, loaded.digest)


def document_of(loaded: Loaded, plan: Plan) -> Document:
    """The plan with all that it rests on, as it is saved and printed."""
    return Document(plan, world(loaded), clock.now(), __version__)


def show(terminal: Terminal, loaded: Loaded, plan: Plan, remark: str) -> None:
    """Which host and file, then the rows, then what to type to have it done."""
    head = f"host {loaded.host}   config {loaded.shown}"
    for line in text.header(head, remark, terminal.width):
        terminal.say(line)
    terminal.say()
    for line in text.plan(plan, terminal.width, terminal.paint, verbose=terminal.verbose):
        terminal.say(line)
    if plan.actions:
        needs = "" if permission.is_root() else "Needs root. "
        terminal.say(
            needs + ("One option waits for a fresh mount." if plan.waits else "No reboot.")
        )
    if plan.count(Op.UNKNOWN) and not permission.is_root():
        terminal.say(f"To see what is `?` here: {elevate.line(loaded, 'plan')}")


def exit_code(plan: Plan, *, detailed: bool) -> int:
    """Differences count only where asked for; what could not be seen is never 0."""
    if plan.actions or plan.count(Op.BLOCKED):
        return exits.DIFFERENCES if detailed else exits.DONE
    return exits.UNSEEN if plan.count(Op.UNKNOWN) else exits.DONE
