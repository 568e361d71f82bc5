"""``vmtune revert``: the inverse of a run, shown and asked like any other plan."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from reconciler import exit_codes
from reconciler.commands import approval, host_view
from reconciler.commands import plan as planning
from reconciler.commands.execute import Work, execute, locked, remaining
from reconciler.commands.load import Loaded
from reconciler.engine import document, shown
from reconciler.engine.last_applied import latest
from reconciler.engine.place import Swap
from reconciler.engine.revert import inverse
from reconciler.errors import HostError
from reconciler.facts.diagnostics import Op
from reconciler.linux import trusted_input, users
from reconciler.report import history as history_report
from reconciler.report.wrap import printable
from reconciler.run import claims, journal

if TYPE_CHECKING:
    from reconciler.console import Chosen, Terminal
    from reconciler.engine.claims import History
    from reconciler.engine.last_applied import Run
    from reconciler.engine.model import Plan
    from reconciler.facts.host_view import HostView


def run(chosen: Chosen, number: int | None, *, yes: bool, approved: str) -> int:
    """Take one run back: the last one that changed something and was no revert itself."""
    terminal = approval.hushed(chosen.terminal, yes=yes)
    of = _chosen(number)
    host = host_view.look(terminal)
    plan = _inverse(of, host)
    # A user may not read the names that root takes back: the yes is to as many of them.
    asked = replace(plan, actions=tuple(map(document.redacted, plan.actions)))
    token = approval.token(asked)
    if token != approved:
        _show(terminal, of, plan, claims.history("", host))
    if not plan.actions and not approval.worth_root(terminal, plan, yes=yes):
        return _remaining(terminal, plan, is_told=True)
    if not approval.granted(terminal, plan, asked.actions, approved, yes=yes):
        return exit_codes.ERROR
    if not users.is_root():
        words = [str(of.number), *["--yes"] * yes, "--approved", token]
        # What the run says of its configuration, which is not read again.
        loaded = Loaded((), of.config, of.config, trusted_input.short_hostname(), b"")
        return approval.become_root(terminal, loaded, "revert", words)
    return _locked(terminal, of, plan)


def _inverse(of: Run, host: HostView) -> Plan:
    return planning.at_home(inverse(of, host, latest(journal.written())))


def _show(terminal: Terminal, of: Run, plan: Plan, history: History) -> None:
    """Show the plan, what the next ``apply`` makes of it, and how to go further back."""
    parts = (
        f"host {trusted_input.short_hostname()}",
        f"what takes run {of.number} back",
        f"{of.command} by {of.user}, {history_report.when(of.started)}",
    )
    beside = [*_declared(plan, history), *_undeclared(of, plan, history), *_earlier(of, plan)]
    planning.show_rows(terminal, parts, plan, beside, needs_root=not users.is_root())


def _declared(plan: Plan, history: History) -> list[str]:
    """Say which file sets again what is taken back: it declared that when it was applied last."""
    places = {action.place for action in plan.actions if isinstance(action, Swap)}
    return [
        f"{printable(users.tilde(known.config))} declared this at its last `apply`. As long as the "
        "file declares it, the next `apply` sets it again."
        for known in history.others()
        if not places.isdisjoint(known.wanted)
    ]


def _undeclared(of: Run, plan: Plan, history: History) -> list[str]:
    """Say that what the run had taken back, since nobody declares it, will not last."""
    claimed = {place for known in history.others() for place in known.wanted}
    for row in plan.changes:
        comes = any(swap.want != swap.place.nothing for swap in row.swaps)
        if comes and claimed.isdisjoint(swap.place for swap in row.swaps):
            why = f"Run {of.number} took this back because no file declares it"
            return [f"{why}. Unless a file does, the next `apply` takes it back again."]
    return []


def _earlier(of: Run, plan: Plan) -> list[str]:
    """Name the run before where all of this one is taken back: one step further is a run more."""
    if plan.actions or any(row.op is not Op.SAME for row in plan.changes):
        return []
    numbers = [run.number for run in _revertible() if run.number < of.number]
    if not numbers:
        return []
    is_all = not any(row.notes for row in plan.changes)  # a note says what stays, and why
    left = "is taken back already" if is_all else "has nothing more that can be taken back"
    before = f"`vmtune revert {numbers[-1]}` takes back the run before it"
    return [f"Run {of.number} {left}; {before}."]


def _locked(terminal: Terminal, of: Run, then: Plan) -> int:
    with locked(terminal):
        now = _inverse(of, host_view.look(terminal))
        if shown.unseen(then, now):
            terminal.complain("the host changed since the plan was shown; nothing was changed")
            for line in shown.moved(then, now):
                terminal.report(f"  {printable(line)}")
            return exit_codes.STALE
        work = Work(now.actions, now.changes, f"revert {of.number}", of.config)
        code = execute(terminal, work) if now.actions else exit_codes.DONE
        return code or _remaining(terminal, now)


def _remaining(terminal: Terminal, plan: Plan, *, is_told: bool = False) -> int:
    """As for ``apply``, but 1 for 7: that code speaks of what is declared."""
    code = remaining(terminal, plan, is_told=is_told, what="Not all is taken back")
    return exit_codes.ERROR if code == exit_codes.REFUSED else code


def _chosen(number: int | None) -> Run:
    if number is not None:
        return journal.run(number)
    found = _revertible()
    if not found:
        raise HostError("nothing was done here yet, so there is nothing to take back")
    return found[-1]


def _revertible() -> list[Run]:
    """Return the runs that changed something and were no revert themselves, oldest first."""
    return [r for r in journal.runs() if r.changed() and not r.command.startswith("revert")]
