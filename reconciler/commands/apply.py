"""``vmtune apply``: show, ask, become root, lock, look again, do, read back."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from reconciler import exits
from reconciler.commands import elevate, permission
from reconciler.commands import plan as planning
from reconciler.commands.execute import execute
from reconciler.commands.load import guarded, load
from reconciler.core import document
from reconciler.core.model import Op
from reconciler.core.origin import Problems
from reconciler.host import configfile, lock, readers
from reconciler.host.refused import Refused
from reconciler.render import text
from reconciler.render.layout import printable
from reconciler.run import planfile

if TYPE_CHECKING:
    from collections.abc import Iterable

    from reconciler.commands.load import Loaded
    from reconciler.core.document import Document
    from reconciler.core.model import Plan
    from reconciler.terminal import Terminal

_STALE = "the plan is stale, and nothing was changed"


def run(  # noqa: PLR0913 - one per option
    terminal: Terminal,
    config: str | None,
    host: str | None,
    file: str | None,
    *,
    yes: bool,
    approved: str,
) -> int:
    """The exit code as in exits; ``approved`` is the token of a plan that was said yes to."""

    def command() -> int:
        if host and host.lower() != configfile.short_hostname():
            raise Refused(f"--host {host} is for looking at another host's plan, not for apply")
        if file:
            return _saved(terminal, planfile.load(file), file)
        return _fresh(terminal, load(config, host), yes=yes, approved=approved)

    code = guarded(terminal, command)
    terminal.event("exit", code=code)
    return code


def _fresh(terminal: Terminal, loaded: Loaded, *, yes: bool, approved: str) -> int:
    plan = planning.make(loaded)
    seen, token = permission.given(approved), permission.token(plan)
    if token != seen:
        terminal.event("plan", document=document.plain(planning.document_of(loaded, plan)))
        planning.show(terminal, loaded, plan, "")
    if not plan.actions and not permission.worth_root(terminal, plan, yes=yes):
        return remaining(plan)
    if not permission.granted(terminal, plan.actions, seen, yes=yes):
        return exits.ERROR
    if not permission.is_root():
        elevate.become_root(terminal, loaded, "apply", [*["--yes"] * yes, "--approved", str(token)])
    with lock.held():
        return _locked(terminal, loaded, plan)


def _locked(terminal: Terminal, loaded: Loaded, shown: Plan) -> int:
    """The person may have thought for an hour: nothing is done that was not shown."""
    now = planning.make(loaded)
    if not set(now.actions) <= set(shown.actions):
        what = "the host changed since the plan was shown; nothing was changed"
        return _stale(terminal, what, text.moved(shown, now))
    if not now.actions:
        terminal.say("done meanwhile by another hand: nothing is left to do")
        return remaining(now)
    after = lambda: _left(terminal, planning.make(loaded))  # noqa: E731
    return execute(terminal, now.actions, "apply", loaded.path, after)


def _left(terminal: Terminal, again: Plan) -> int:
    for action in again.actions:
        terminal.report(f"  still differs: {text.action(action)}")
    return exits.PART_WAY if again.actions else remaining(again)


def _saved(terminal: Terminal, saved: Document, file: str) -> int:
    """Exactly the saved plan, where the world it rests on is still there."""
    try:
        loaded = load(saved.world.config, None)
    except Problems as problems:  # there were none when the plan was made
        return _stale(terminal, _STALE, map(str, problems.problems))
    if not permission.is_root():
        elevate.become_root(terminal, loaded, "apply", [os.path.abspath(file)])
    with lock.held():
        see = readers.look()
        now = planning.make(loaded, see)
        checked = planfile.check(saved, planning.world(loaded), now, see)
        if checked.stale:
            return _stale(terminal, _STALE, checked.stale)
        if not checked.todo:
            terminal.say("nothing to do: all of the plan is done already")
            return exits.DONE
        return execute(terminal, checked.todo, f"apply {file}", loaded.path)


def _stale(terminal: Terminal, what: str, lines: Iterable[str]) -> int:
    """Every fact, planned and found, for people and for programs."""
    shown = [printable(line.strip()) for line in lines]
    terminal.report("\n".join([f"vmtune: {what}", *(f"  {line}" for line in shown)]))
    terminal.fail([{"message": line, "hint": what} for line in shown])
    return exits.STALE


def remaining(plan: Plan) -> int:
    """Nothing left to do: 0, unless something is refused or could not be seen."""
    if plan.count(Op.BLOCKED):
        return exits.ERROR
    return exits.UNSEEN if plan.count(Op.UNKNOWN) else exits.DONE
