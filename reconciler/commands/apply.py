"""``vmtune apply``: show, ask, become root, lock, look again, do, read back."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from reconciler import exits
from reconciler.commands import choose, looking, permission, waiting
from reconciler.commands import plan as planning
from reconciler.commands.execute import Work, execute
from reconciler.commands.load import guarded, load, load_chosen
from reconciler.core import document, former, rests, shown
from reconciler.core.model import Op, Swap
from reconciler.core.origin import Problems
from reconciler.core.sizes import counted
from reconciler.host import lock
from reconciler.host.people import caller, configfile
from reconciler.host.refused import Refused
from reconciler.render import text
from reconciler.render.layout import printable
from reconciler.run import claims
from reconciler.value import replace

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from reconciler.commands.load import Loaded
    from reconciler.console import Terminal
    from reconciler.core.model import Action, Plan
    from reconciler.core.rests import Fact
    from reconciler.core.snapshot import Snapshot

_STALE = "the plan is stale, and nothing was changed"


def run(  # noqa: PLR0913 - one per option
    terminal: Terminal,
    config: str | None,
    host: str | None,
    words: Sequence[str],
    *,
    allow: Sequence[str] = (),
    yes: bool,
    approved: str,
) -> int:
    """The exit code as in exits; ``approved`` is the token of a plan that was said yes to."""

    def command() -> int:
        if host and host.lower() != configfile.short_hostname():
            raise Refused(f"--host {host} is for looking at another host's plan, not for apply")
        file = words[0] if choose.is_saved_plan(words) else ""
        if file and allow:
            raise Refused(
                "--allow belongs to `vmtune plan`: a saved plan is done as it was made",
                f"vmtune plan {' '.join(f'--allow {risk}' for risk in allow)} -o {file}",
            )
        if file:
            return _saved(terminal, file, yes=yes, approved=approved)
        loaded = load_chosen(config, host, allow, words)
        return _fresh(terminal, loaded, yes=yes, approved=approved)

    return guarded(terminal, command)


def _fresh(terminal: Terminal, loaded: Loaded, *, yes: bool, approved: str) -> int:
    see = looking.look(terminal)
    plan = planning.make(loaded, see)
    seen, token = permission.given(approved), permission.token(plan)
    if token != seen:
        if terminal.json:
            made = planning.document_of(loaded, plan, see)
            terminal.event("plan", document=document.plain(made))
        planning.show(terminal, loaded, plan, "")
    facts = rests.by_action(plan.actions, see)
    if not plan.actions and not permission.worth_root(terminal, plan, yes=yes):
        if plan.claims and caller.is_root():  # to note that alone nobody need be asked
            with lock.held(waiting.telling(terminal)):
                _note(planning.make(loaded, looking.look(terminal)))
        return remaining(terminal, plan)
    if not permission.granted(terminal, plan.actions, seen, yes=yes):
        return exits.ERROR
    if not caller.is_root():
        words = [*["--yes"] * yes, *loaded.allow_words, "--approved", str(token)]
        return _as_root(terminal, loaded, [*words, *loaded.entry_words])
    with lock.held(waiting.telling(terminal)):
        return _locked(terminal, loaded, plan, facts, yes=yes)


def _note(plan: Plan) -> None:
    """Put on record what the configuration declares now, where that is not on record."""
    if plan.claims:
        claims.note(plan.claims)


def _locked(
    terminal: Terminal,
    loaded: Loaded,
    then: Plan,
    facts: Mapping[Action, Sequence[Fact]],
    *,
    yes: bool,
) -> int:
    """The person may have thought for an hour: nothing is done that was not shown."""
    now, see = waiting.settled(terminal, loaded, then)
    left = [shown.twin(action, then.actions) for action in now.actions]
    if other := tuple(rests.changed((f for each in left if each for f in facts[each]), see)):
        return _stale(terminal, _STALE, other)
    if shown.unseen(then, now):
        if not yes:
            what = "the host changed since the plan was shown; nothing was changed"
            return _stale(terminal, what, shown.moved(then, now))
        # Nobody said yes to the one plan rather than to the other, but the answer shows both.
        planning.show(terminal, loaded, now, "the host changed meanwhile: this is done now")
    for action in then.actions:
        if not shown.twin(action, now.actions):
            terminal.say(f"done meanwhile, or not needed any more: {text.where(action)}")
    for row in shown.opened(then, now):
        terminal.report(f"  left out: {row.name}: {row.text}")
    _note(now)
    if not now.actions:
        terminal.say("nothing is left to do")
        return remaining(terminal, now)
    command = " ".join(["apply", *loaded.allow_words, *loaded.entry_words])
    after = lambda: _left(terminal, loaded)  # noqa: E731
    return execute(terminal, Work(now.actions, now.changes, command, loaded.file), after)


def _left(terminal: Terminal, loaded: Loaded) -> int:
    """Say what is still to do, or refused, now that all of a plan is done: a saved one, too."""
    if loaded.choice:  # what is done has no row any more
        loaded = replace(loaded, choice=loaded.choice.again())
    again = planning.make(loaded, looking.look(terminal))
    _note(again)
    for action in again.actions:
        terminal.report(f"  still differs: {text.action(action)}")
    return exits.PART_WAY if again.actions else remaining(terminal, again)


def _as_root(terminal: Terminal, loaded: Loaded, words: list[str]) -> int:
    from reconciler.commands import elevate  # noqa: PLC0415 - root is root already

    return elevate.become_root(terminal, loaded, "apply", words)


def _saved(terminal: Terminal, file: str, *, yes: bool, approved: str) -> int:
    """Exactly the saved plan, where the world it rests on is still there."""
    from reconciler.run import planfile  # noqa: PLC0415 - most runs have none

    saved = planfile.load(file)
    try:
        loaded = load(saved.world.config, None, saved.world.allow)
    except Problems as problems:  # there were none when the plan was made
        return _stale(terminal, _STALE, map(str, problems.problems))
    final = tuple(filter(former.is_final, saved.plan.actions))
    if not yes and not _agreed(terminal, final, permission.given(approved)):
        return exits.ERROR
    if not caller.is_root():
        said = str(permission.Token(permission.digest(final), ""))
        words = [os.path.abspath(file), *["--yes"] * yes, *["--approved", said] * bool(final)]
        return _as_root(terminal, loaded, words)
    with lock.held(waiting.telling(terminal)):
        now, see = waiting.settled(terminal, loaded, saved.plan)
        checked = planfile.check(saved, planning.world(loaded), now, see)
        if checked.stale:
            return _stale(terminal, _STALE, checked.stale)
        _note(now)
        if not checked.todo:
            terminal.say("nothing to do: all of the plan is done already")
            return _left(terminal, loaded)
        work = Work(checked.todo, saved.plan.changes, f"apply {file}", loaded.file)
        return execute(terminal, work, lambda: _left(terminal, loaded))


def _agreed(terminal: Terminal, final: Sequence[Action], seen: permission.Token) -> bool:
    """Whether a person says yes to what no revert takes back; to all else the plan was the yes."""
    see = looking.look(terminal) if final and permission.digest(final) != seen.actions else None
    left = [each for each in final if see and not _is_done(each, see)]
    for action in left:
        terminal.report(f"  revert cannot take it back: {text.action(action)}")
    what = counted(len(left), "change")
    ask = f"Make {what} that revert cannot take back, and the others of the plan?"
    return permission.granted(terminal, left, seen, yes=False, ask=ask)


def _is_done(action: Action, see: Snapshot) -> bool:
    return isinstance(action, Swap) and see.maybe(action.place) == action.want


def _stale(terminal: Terminal, what: str, lines: Iterable[str]) -> int:
    """Every fact, planned and found, for people and for programs."""
    shown = [printable(line.strip()) for line in lines]
    terminal.report("\n".join([f"vmtune: {what}", *(f"  {line}" for line in shown)]))
    terminal.fail([{"message": line, "hint": what} for line in shown])
    return exits.STALE


def remaining(terminal: Terminal, plan: Plan) -> int:
    """All that could be done is done: 0, or 7 or 6 with a last line that says why."""
    code = planning.exit_code(replace(plan, actions=()))
    op = {exits.REFUSED: Op.BLOCKED, exits.UNSEEN: Op.UNKNOWN}.get(code)
    if op:
        rows = [row for row in plan.changes if row.op is op and row.applicable]
        terminal.event("left", changes=[document.plain_change(row) for row in rows])
        for line in text.counted_rows(plan, op, terminal.width):
            terminal.say(line)
    return code
