"""``vmtune apply``: show, ask, become root, lock, look again, do, read back."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from reconciler import exit_codes
from reconciler.commands import approval, choose, host_view
from reconciler.commands import plan as planning
from reconciler.commands.execute import Work, execute, locked, remaining
from reconciler.commands.load import load_chosen, tell
from reconciler.commands.wait import Course, Patience
from reconciler.console import Chosen
from reconciler.engine import document, planned_state, preconditions, restore, shown
from reconciler.engine.place import Swap
from reconciler.errors import ConfigErrors, HostError, Misused
from reconciler.facts.diagnostics import Op
from reconciler.formats.sizes import counted
from reconciler.linux import trusted_input, users
from reconciler.report import text
from reconciler.report.wrap import printable
from reconciler.run import claims, planfile

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from reconciler.commands.load import Loaded
    from reconciler.console import Terminal
    from reconciler.engine.document import Document
    from reconciler.engine.model import Action, Plan
    from reconciler.engine.preconditions import Precondition
    from reconciler.facts.host_view import HostView


_STALE = "the plan is stale, and nothing was changed"
_SAVE_ANEW = "`vmtune plan -o PLAN` saves a new plan"


def run(  # noqa: PLR0913 - one per option
    chosen: Chosen,
    words: Sequence[str],
    allow: Sequence[str],
    *,
    yes: bool,
    approved: str,
    wait: bool,
    wait_for: str | None,
) -> int:
    """Apply, and return the exit code; ``approved`` is the token of a plan that was said yes to.

    With ``wait`` changes are waited for that only a use hinders, with ``wait_for`` ("2h") for no
    longer than that.
    """
    host = chosen.host
    if host and trusted_input.short_name(host) != trusted_input.short_hostname():
        raise HostError(f"--host {host} is for looking at another host's plan, not for apply")
    file = words[0] if choose.is_saved_plan(words) else ""
    terminal = approval.hushed(chosen.terminal, yes=yes or bool(file))
    if file and allow:
        raise HostError(
            "--allow belongs to `vmtune plan`: a saved plan is done as it was made",
            f"vmtune plan {' '.join(f'--allow {risk}' for risk in allow)} -o {file}",
        )
    is_waited = wait or wait_for is not None
    if file and is_waited:
        raise Misused(
            "--wait plans again, and a saved plan is done as it was made",
            "leave PLAN out, or leave --wait out",
        )
    patience = Patience.read(wait_for) if is_waited else None
    if file:
        return _saved(terminal, file, yes=yes, approved=approved)
    loaded = load_chosen(chosen, allow, words, command="apply")
    if not approved:  # else they are told already
        tell(terminal, loaded)
    return _fresh(terminal, loaded, yes=yes, approved=approved, patience=patience)


def _fresh(
    terminal: Terminal, loaded: Loaded, *, yes: bool, approved: str, patience: Patience | None
) -> int:
    host = host_view.look(terminal)
    plan = planning.make(loaded, host)
    if patience:  # what is waited for is to be done, too
        plan = planned_state.expected(plan)
    token = approval.token(plan)
    if token != approved:
        if terminal.json:
            made = planning.document_of(loaded, plan, host)
            terminal.event("plan", document=document.plain(made, users.owner))
        planning.show(terminal, loaded, plan, "")
    facts = preconditions.by_action(plan.actions, host)
    is_passing = yes and shown.held(plan)  # by another run, maybe, which is waited for
    is_awaited = patience and is_passing
    if not plan.actions and not is_awaited and not approval.worth_root(terminal, plan, yes=yes):
        if users.is_root() and (plan.claims or is_passing):  # to note claims nobody need be asked
            with locked(terminal):
                now = planning.make(loaded, host_view.look(terminal))
                if now.actions and is_passing:
                    return _locked(terminal, loaded, plan, facts, yes=yes)
                _note(now)
                plan = now if is_passing else plan
        return remaining(terminal, plan, is_told=True)
    if not approval.granted(terminal, plan, plan.actions, approved, yes=yes):
        return exit_codes.ERROR
    if not users.is_root():
        words = [*["--yes"] * yes, *loaded.allow_words, "--approved", token]
        words += patience.words if patience else []
        return approval.become_root(terminal, loaded, "apply", [*words, *loaded.choice.as_words])
    course = Course(terminal, loaded, patience) if patience else None
    with locked(terminal):
        code = _locked(terminal, loaded, plan, facts, yes=yes, course=course)
    return course.run(code) if course else code


def _note(plan: Plan) -> None:
    """Put on record what the configuration declares now, where that is not on record."""
    if plan.claims:
        claims.note(plan.claims)


def _locked(  # noqa: PLR0913 - what was shown, and what is to come
    terminal: Terminal,
    loaded: Loaded,
    then: Plan,
    facts: Mapping[Action, Sequence[Precondition]],
    *,
    yes: bool,
    course: Course | None = None,
) -> int:
    """The person may have thought for an hour: nothing is done that was not shown.

    With a ``course`` what is waited for is left to that.
    """
    found, host = settled(terminal, loaded, then)
    now = planned_state.expected(found) if course else found
    # What another run has done meanwhile may rest on other facts since.
    left = [
        each for each in then.actions if shown.twin(each, now.actions) or _is_undone(each, host)
    ]
    if other := tuple(
        dict.fromkeys(preconditions.changed((f for each in left for f in facts[each]), host))
    ):
        return _stale(terminal, _STALE, other)
    if shown.unseen(then, now):
        if not yes:
            what = "the host changed since the plan was shown; nothing was changed"
            return _stale(terminal, what, shown.moved(then, now))
        # Nobody said yes to the one plan rather than to the other, but the answer shows both.
        planning.show(terminal, loaded, now, "the host changed meanwhile: this is done now")
    _tell_less(terminal, then, now)
    _note(now)
    if not now.actions:
        terminal.say("Nothing is left to do.")
        return remaining(terminal, now)
    if course:
        return course.begin(found, now)
    command = " ".join(["apply", *loaded.allow_words, *loaded.choice.for_all])
    after = lambda: _left(terminal, loaded, now)  # noqa: E731
    return execute(terminal, Work(now.actions, now.changes, command, loaded.file), after)


def _tell_less(terminal: Terminal, then: Plan, now: Plan) -> None:
    """Say why less is to be done than was shown: it is done, or it is refused by now."""
    kept_back = shown.kept_back(then, now)
    for action in then.actions:
        gone = not shown.is_among(action, now.actions)
        if gone and not any(shown.is_about(row, action) for row in kept_back):
            terminal.say(f"done meanwhile, or not needed any more: {text.where(action)}")
    for row in kept_back:
        terminal.report(f"  left out: {row.name}: {row.text}")


def _left(terminal: Terminal, loaded: Loaded, done: Plan) -> int:
    """Say what is still to do, or refused, now that all of a plan is done: a saved one, too.

    What was refused in the plan that is done, and is possible by now, differs as it did before.
    """
    loaded = replace(loaded, choice=loaded.choice.again())  # what is done has no row any more
    again = planning.make(loaded, host_view.look(terminal))
    if users.is_root():
        _note(again)
    refused = {f"{row.kind} {row.name}" for row in done.changes if row.op is Op.BLOCKED}
    for action in again.actions:
        was_refused = isinstance(action, Swap) and action.owner in refused
        said = "possible now, by another apply" if was_refused else "still differs"
        terminal.report(f"  {said}: {text.action(action)}")
    return exit_codes.PART_WAY if again.actions else remaining(terminal, again)


def _saved(terminal: Terminal, file: str, *, yes: bool, approved: str) -> int:
    """Exactly the saved plan, where the world it rests on is still there."""
    saved = planfile.load(file)
    try:
        world = saved.world
        loaded = load_chosen(Chosen(terminal, world.config or None), world.allow, world.entries)
    except ConfigErrors as problems:  # there were none when the plan was made
        lines = text.problems(problems.problems).splitlines()
        return _stale(terminal, _STALE, lines, _SAVE_ANEW)
    if not users.is_root():  # who sees that all is done already need not become root
        host = host_view.look(terminal)
        now = planning.make(loaded, host)
        checked = planfile.check(saved, planning.world(loaded), now, host)
        if not checked.stale and not checked.todo:
            return _all_done(terminal, loaded, saved)
    final = tuple(filter(restore.is_final, saved.plan.actions))
    if not yes and not _agreed(terminal, final, approved):
        return exit_codes.ERROR
    if not users.is_root():
        said = ["--approved", f"{approval.digest(final)}-"] * bool(final)
        words = [os.path.abspath(file), *["--yes"] * yes, *said]
        return approval.become_root(terminal, loaded, "apply", words)
    with locked(terminal):
        now, host = settled(terminal, loaded, saved.plan)
        checked = planfile.check(saved, planning.world(loaded), now, host)
        if checked.stale:
            return _stale(terminal, _STALE, checked.stale, _SAVE_ANEW)
        _note(now)
        if not checked.todo:
            return _all_done(terminal, loaded, saved)
        work = Work(checked.todo, saved.plan.changes, f"apply {file}", loaded.file)
        return execute(terminal, work, lambda: _left(terminal, loaded, saved.plan))


def _all_done(terminal: Terminal, loaded: Loaded, saved: Document) -> int:
    terminal.say("Nothing to do: all of the plan is done already.")
    return _left(terminal, loaded, saved.plan)


def _agreed(terminal: Terminal, final: Sequence[Action], approved: str) -> bool:
    """Whether a person says yes to what no revert takes back; to all else the plan was the yes."""
    left: list[Action] = []
    if final and not approval.is_of(approved, final):
        host = host_view.look(terminal)
        left = [each for each in final if _is_undone(each, host)]
    for action in left:
        terminal.report(f"  revert cannot take it back: {text.action(action)}")
    what = counted(len(left), "change")
    ask = f"Make {what} that revert cannot take back, and the others of the plan?"
    return approval.granted(terminal, None, left, approved, yes=False, ask=ask)


def _is_undone(action: Action, host: HostView) -> bool:
    return isinstance(action, Swap) and host.maybe(action.place) != action.want


_ANEW = "run `vmtune apply` again: it shows a new plan"


def _stale(terminal: Terminal, what: str, lines: Iterable[str], do: str = _ANEW) -> int:
    """Every fact, planned and found, for people and for programs; and what to ``do``."""
    shown = [printable(line.strip()) for line in lines]
    terminal.report("\n".join([f"vmtune: {what}", *(f"  {line}" for line in shown), f"    {do}"]))
    terminal.fail([{"message": line, "hint": what} for line in shown])
    return exit_codes.STALE


_PAUSES = (0.05, 0.1, 0.2, 0.3, 0.4)
"""Seconds between looks: who has an image open for longer than all of them is no passer-by."""


def settled(terminal: Terminal, loaded: Loaded, then: Plan) -> tuple[Plan, HostView]:
    """Plan again; look a second time where an image is open that nobody had open before.

    Backups, lsattr and other runs of vmtune open each image for a moment.
    """
    for pause in (*_PAUSES, None):
        host = host_view.look(terminal)
        now = planning.make(loaded, host)
        if pause is None or not shown.opened(then, now):
            break
        time.sleep(pause)
    return now, host
