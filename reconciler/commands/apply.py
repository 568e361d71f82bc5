"""``vmtune apply``: show, ask, become root, lock, look again, do, read back."""

from __future__ import annotations

import os

from reconciler import exits
from reconciler.commands import choose, looking, permission
from reconciler.commands import plan as planning
from reconciler.commands.execute import execute
from reconciler.commands.load import guarded, load, load_or_none
from reconciler.core import former, rests
from reconciler.core.model import Op, Swap
from reconciler.core.origin import Problems
from reconciler.core.sizes import counted
from reconciler.host import lock, readers
from reconciler.host.people import caller, configfile
from reconciler.host.refused import Refused
from reconciler.render import text
from reconciler.render.layout import printable
from reconciler.run import claims

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from reconciler.commands.choose import Choice
    from reconciler.commands.load import Loaded
    from reconciler.core.model import Action, Plan
    from reconciler.core.rests import Fact
    from reconciler.core.snapshot import Snapshot
    from reconciler.terminal import Terminal

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
        choice = choose.choice(words)
        loaded = load_or_none(config, host, allow) if choice else load(config, host, allow)
        return _fresh(terminal, loaded, choice, yes=yes, approved=approved)

    return guarded(terminal, command)


def _fresh(
    terminal: Terminal, loaded: Loaded, choice: Choice | None, *, yes: bool, approved: str
) -> int:
    see = looking.look(terminal)
    plan = planning.make(loaded, see, choice)
    seen, token = permission.given(approved), permission.token(plan)
    if token != seen:
        if terminal.json:
            from reconciler.core import document  # noqa: PLC0415 - for programs

            made = planning.document_of(loaded, plan, see)
            terminal.event("plan", document=document.plain(made))
        planning.show(terminal, loaded, plan, "")
    if not plan.actions and not permission.worth_root(terminal, plan, yes=yes):
        if plan.claims and caller.is_root():  # to note that alone nobody need be asked
            with lock.held():
                _note(loaded, choice, looking.look(terminal))
        return remaining(plan)
    if not permission.granted(terminal, plan.actions, seen, yes=yes):
        return exits.ERROR
    if not caller.is_root():
        words = [*["--yes"] * yes, *loaded.allow_words, "--approved", str(token)]
        return _as_root(terminal, loaded, [*words, *(choice.as_words if choice else ())])
    with lock.held():
        return _locked(terminal, loaded, choice, plan, rests.facts(plan.actions, see))


def _note(loaded: Loaded, choice: Choice | None, see: Snapshot) -> None:
    """Put on record what the configuration declares now, where that is not on record."""
    if found := planning.make(loaded, see, choice).claims:
        claims.note(found)


def _locked(
    terminal: Terminal, loaded: Loaded, choice: Choice | None, shown: Plan, facts: Iterable[Fact]
) -> int:
    """The person may have thought for an hour: nothing is done that was not shown."""
    see = looking.look(terminal)
    now = planning.make(loaded, see, choice)
    if other := tuple(rests.changed(facts, see)):
        return _stale(terminal, _STALE, other)
    if not set(now.actions) <= set(shown.actions):
        what = "the host changed since the plan was shown; nothing was changed"
        return _stale(terminal, what, text.moved(shown, now))
    if now.claims:
        claims.note(now.claims)
    if not now.actions:
        terminal.say("done meanwhile by another hand: nothing is left to do")
        return remaining(now)
    command = " ".join(["apply", *loaded.allow_words, *(choice.as_words if choice else ())])
    after = lambda: _left(terminal, loaded, choice)  # noqa: E731
    return execute(terminal, now.actions, command, loaded.file, after)


def _left(terminal: Terminal, loaded: Loaded, choice: Choice | None) -> int:
    see = looking.look(terminal)
    again = planning.make(loaded, see, None if choice is None else choice.again())
    if again.claims:
        claims.note(again.claims)
    for action in again.actions:
        terminal.report(f"  still differs: {text.action(action)}")
    return exits.PART_WAY if again.actions else remaining(again)


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
    with lock.held():
        see = looking.look(terminal)
        now = planning.make(loaded, see)
        checked = planfile.check(saved, planning.world(loaded), now, see)
        if checked.stale:
            return _stale(terminal, _STALE, checked.stale)
        if not checked.todo:
            if now.claims:
                claims.note(now.claims)
            terminal.say("nothing to do: all of the plan is done already")
            return exits.DONE
        if now.claims:
            claims.note(now.claims)
        after = lambda: _noted(loaded)  # noqa: E731
        return execute(terminal, checked.todo, f"apply {file}", loaded.file, after)


def _noted(loaded: Loaded) -> int:
    _note(loaded, None, readers.look())
    return exits.DONE


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


def remaining(plan: Plan) -> int:
    """Nothing left to do: 0, unless something is refused or could not be seen."""
    if plan.count(Op.BLOCKED):
        return exits.ERROR
    return exits.UNSEEN if plan.count(Op.UNKNOWN) else exits.DONE
