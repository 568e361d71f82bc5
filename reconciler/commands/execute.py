"""Having actions done: journalled, told as they happen, read back at the end."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from reconciler import exit_codes
from reconciler.commands import host_view
from reconciler.commands.progress import Interrupt, ProgressView
from reconciler.engine import document
from reconciler.engine.model import Notify
from reconciler.engine.order import Needs, Steps
from reconciler.engine.place import Swap
from reconciler.errors import HostError
from reconciler.facts.diagnostics import Op
from reconciler.facts.host import NeedsReload
from reconciler.facts.host_view import NotVisible
from reconciler.formats.sizes import counted
from reconciler.linux import lock, selinux, users
from reconciler.report import history as history_report
from reconciler.report import text
from reconciler.report.wrap import wrapped
from reconciler.resources import writes
from reconciler.resources.images.places import Image, Images, MachineImages
from reconciler.run import apply as running
from reconciler.run import journal
from reconciler.run.record import Recorder
from reconciler.value import Value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from contextlib import AbstractContextManager

    from reconciler.console import Terminal
    from reconciler.engine.model import Action, Change, Plan
    from reconciler.facts.host_view import HostView
    from reconciler.run.apply import Result


_RESULTS = {
    exit_codes.DONE: "done",
    exit_codes.UNSEEN: "done",
    exit_codes.INTERRUPTED: "interrupted",
}

_UNVERIFIED = (
    "`findmnt --verify` says what is wrong; /var/lib/vmtune/fstab.before is the file as it was"
)


@dataclass(eq=False, repr=False)
class Tally:
    """How far a command is, also one that does its changes in several runs: it has one count."""

    steps: Steps
    is_of_more: bool = False
    """Whether further runs follow: then what was read back is told only behind the last."""
    begun: int = 0
    """Actions that were begun in the runs before."""
    results: list[Result] = field(default_factory=list)
    left_out: list[Action] = field(default_factory=list)
    """What was waited for and is not done by this command any more."""
    sure: list[Action] = field(default_factory=list)
    """Actions of which what they were to bring was read back."""

    @property
    def tried(self) -> list[Action]:
        """All that nothing more is done for."""
        return [*(result.action for result in self.results), *self.left_out]


class Work(Value):
    """What is to be done: the actions, the rows that they are of, and for whom.

    With a ``tally`` it is a part of more: numbers go on from there, and what was read back is
    added to it and not told.
    """

    actions: Sequence[Action]
    changes: Sequence[Change]
    command: str
    config: str
    tally: Tally | None = None


def execute(
    terminal: Terminal, work: Work, after: Callable[[], int] = lambda: exit_codes.DONE
) -> int:
    """Do the actions in order, under the lock; return 0 when each was read back, else 1, 3 or 130.

    6: each was read back, but one was not verified by the program that is asked for that.

    ``after`` has the last word when all went well: a signal does not end it either.
    """
    writes.sweep()
    recorder = Recorder(work.command, work.config, work.actions)
    with Interrupt() as interrupt:
        # The work goes on where nobody listens any more: a pager that ends is no reason to stop.
        told = replace(terminal, lenient=True)
        code = _journalled(told, work, recorder, interrupt)
        return code if code not in {exit_codes.DONE, exit_codes.UNSEEN} else after() or code


class _Telling:
    """Tell the terminal and the journal of each action as it begins and as it ends.

    People are told how many rows of the plan it is by now, of how many, as they were asked;
    programs, and the journal, the number of the action, and programs the row that it is of.
    """

    def __init__(
        self, terminal: Terminal, recorder: Recorder, tally: Tally, actions: Sequence[Action]
    ) -> None:
        self._terminal, self._recorder, self._tally = terminal, recorder, tally
        self._actions, self._which = actions, ""
        self._total = len(tally.steps.rows)
        self.going = ProgressView(terminal)
        self.under_way = 0
        """The number of the action that was begun, and has no end in the journal; else 0."""
        self.ends: list[Result] = []

    def started(self, number: int, action: Action) -> None:
        self._recorder.begin(number)
        self.under_way = number
        tried = [*self._tally.tried, *self._actions[: number - 1]]
        self._which = f"[{self._tally.steps.reached(tried)}/{self._total}]"
        width = self._terminal.width_beside
        self._terminal.progress("\n".join(text.begun(action, self._which, width, users.owner)))
        self._event("begin", number, action=document.plain_action(action), **self._of(action))
        self.going.begin(number)

    def stepped(self, number: int, subject: str, doing: str) -> None:
        """Tell of a step of an action, which is on record first."""
        self._recorder.step(number, doing)
        self._terminal.progress(f"      {doing}: {subject}")
        self._event("step", number, subject=subject, doing=doing)

    def ended(self, number: int, result: Result) -> None:
        self.ends.append(result)
        outcome, action = result.outcome.value, result.action
        self._recorder.end(number, outcome, result.why)
        self.under_way = 0
        self.going.end()
        width = self._terminal.width
        told = text.result(outcome, action, self._which, width, users.owner)
        self._terminal.say("\n".join(told))
        self._event("end", number, outcome=outcome, why=result.why, **self._of(action))

    def _event(self, name: str, number: int, **fields: Any) -> None:
        self._terminal.event(name, number=number + self._tally.begun, **fields)

    @property
    def is_begun(self) -> bool:
        """Whether any action was begun."""
        return bool(self.ends or self.under_way)

    def _of(self, action: Action) -> dict[str, Any]:
        """The row that an action is of: its number of how many, its kind, name and path."""
        row = self._tally.steps.row(action)
        return {
            "step": self._tally.steps.number(action),
            "steps": self._total,
            "kind": row.kind if row else "",
            "entry": row.name if row else "",
            "path": (row.about or None) if row else None,
        }


def _journalled(terminal: Terminal, work: Work, recorder: Recorder, interrupt: Interrupt) -> int:
    actions, tally = work.actions, work.tally or Tally(Steps(work.changes, work.actions))
    telling = _Telling(terminal, recorder, tally, actions)
    terminal.say()
    try:
        recorder.images("before", running.seen(actions))
        results = running.apply(
            actions,
            Needs(work.changes),
            telling.started,
            telling.ended,
            stop=lambda: interrupt.asked,
            going=telling.going,
            step=telling.stepped,
            run=recorder.number,
        )
        host = host_view.look(terminal)
        code = _judged(terminal, results, interrupt, host, tally)
        recorder.images("after", running.seen(actions, host))
        recorder.finish(_RESULTS.get(code, "part way"))
        places = (each.place for each in actions if isinstance(each, Swap))
        if any(isinstance(place, Images | Image | MachineImages) for place in places):
            # What became of the images that were rewritten, as the journal keeps it.
            told = history_report.trend(journal.run(recorder.number))
            terminal.tell(wrapped(told, terminal.width, 0) if told else ())
    except HostError as refused:  # the journal cannot be written, so nothing more is done
        terminal.complain(refused.message, refused.hint or selinux.hint(refused.message))
        return exit_codes.PART_WAY if telling.is_begun else exit_codes.ERROR
    except Exception as error:
        if telling.under_way:
            with suppress(HostError):
                why = f"{type(error).__name__}: {error}"
                recorder.end(telling.under_way, running.Outcome.FAILED.value, why)
        recorder.give_up()
        if not telling.is_begun or os.environ.get("VMTUNE_DEBUG"):
            raise
        return _broken_off(terminal, error, actions, telling.ends)
    return code


def _broken_off(
    terminal: Terminal, error: Exception, actions: Sequence[Action], ends: Sequence[Result]
) -> int:
    """A fault of vmtune in the middle: whoever it happens to is told how far it came."""
    for result in ends:
        terminal.report(f"  {result.outcome.value}: {text.action(result.action)}")
    for action in actions[len(ends) :]:
        terminal.report(f"  not done, or not known to be: {text.action(action)}")
    terminal.complain(
        f"stopped part way by a fault of vmtune: {type(error).__name__}: {error}",
        "running it again goes on from there; VMTUNE_DEBUG=1 shows where, please report it",
    )
    return exit_codes.PART_WAY


def tell_verified(terminal: Terminal, tally: Tally) -> None:
    """Say how many rows were read back as planned, unless nothing was done, which is told."""
    swaps = any(isinstance(result.action, Swap) for result in tally.results)
    if (swaps or not tally.results) and not _put(tally.results):
        return
    held, total = tally.steps.count(tally.sure), len(tally.steps.rows)
    terminal.say()
    terminal.say(f"verified: {held} of {total} read back as planned")
    terminal.event("verified", held=held, of=total)


def read_again(tally: Tally, host: HostView) -> None:
    """Look at all that the count is of as it is by now: several runs did it, or somebody else."""
    swaps = [swap for row in tally.steps.rows for swap in row.swaps]
    notified = [row.notify for row in tally.steps.rows if row.notify and _is_loaded(swaps, host)]
    tally.sure = [*(swap for swap in swaps if _holds(swap, host)), *notified]


def _put(results: Iterable[Result]) -> list[Swap]:
    """Return the places that were put, or held already what was wanted."""
    return [
        result.action
        for result in results
        if isinstance(result.action, Swap) and result.outcome in running.GOOD
    ]


def _judged(
    terminal: Terminal,
    results: Sequence[Result],
    interrupt: Interrupt,
    host: HostView,
    tally: Tally,
) -> int:
    """Tell what failed, what was left out and why; read back the rest. Return 0, 3 or 130."""
    before = tally.begun
    tally.begun += len(results)
    tally.results += results
    bad = [result for result in results if result.outcome in running.BAD]
    undone = [result for result in results if result.outcome is running.Outcome.SKIPPED]
    for result in bad:
        terminal.complain(f"{text.action(result.action)}: {result.why}", result.hint)
    for number, result in enumerate(results, before + 1):
        if result.outcome is not running.Outcome.SKIPPED:
            continue
        because = ""
        if result.because:
            why = f"{text.action(result.because)} failed"
            because = f", because {why}"
            terminal.event("skipped", number=number, why=why)
        terminal.report(f"  not done{because}: {text.action(result.action)}")
    is_stopped = interrupt.asked and any(not result.because for result in undone)
    held = exit_codes.DONE if is_stopped else _read_back(terminal, results, host, tally)
    if not bad and not undone:
        return held
    # Of more runs the caller tells of an end, and tries again what only somebody's use stopped.
    is_over = not is_stopped and (undone or not all(result.used for result in bad))
    if is_over or not tally.is_of_more:
        _tell_count(terminal, tally)
    return exit_codes.INTERRUPTED if is_stopped else exit_codes.PART_WAY


def _tell_count(terminal: Terminal, tally: Tally) -> None:
    """Say of how many rows all was done, of how many something failed, and how many are left.

    What is waited for is among what is left.
    """
    steps, total = tally.steps, len(tally.steps.rows)
    rows = [(steps.number(result.action), result.outcome) for result in tally.results]
    bad = {number for number, outcome in rows if outcome in running.BAD}
    skipped = {number for number, outcome in rows if outcome is running.Outcome.SKIPPED}
    left = (skipped | set(range(1, total + 1)) - {number for number, _ in rows}) - bad
    told = [f"{total - len(bad) - len(left)} of {counted(total, 'change')} done"]
    told += [f"{len(bad)} failed"] * bool(bad) + [f"{len(left)} left"] * bool(left)
    stays = "what was done stays; " if any(end in running.GOOD for _, end in rows) else ""
    first = "see to what failed, then " if bad else ""
    terminal.complain(", ".join(told), f"{stays}{first}run it again to do the rest")


def _read_back(terminal: Terminal, results: Sequence[Result], host: HostView, tally: Tally) -> int:
    """Look at every place that was put afresh, once all of it is on disk.

    systemd is asked whether it has read the unit files of these places again.
    """
    put = _put(results)
    writes.settle(swap.place for swap in put)
    notified: list[Action] = [
        result.action
        for result in results
        if isinstance(result.action, Notify) and result.outcome in running.GOOD
    ]
    lost: list[Action] = [swap for swap in put if not _holds(swap, host)]
    lost += [each for each in notified if not _is_loaded(put, host)]
    untold = [r for r in results if r.unverified and r.action not in lost]
    unsure = [*lost, *(result.action for result in untold)]
    tally.sure += [each for each in (*put, *notified) if each not in unsure]
    if not tally.is_of_more:
        tell_verified(terminal, tally)
    for action in lost:
        terminal.report(f"  no longer as planned: {text.action(action)}")
    for result in untold:
        words = f"written and read back, but not verified: {result.unverified}"
        terminal.complain(f"{text.where(result.action)}: {words}", _UNVERIFIED)
    return exit_codes.PART_WAY if lost else exit_codes.UNSEEN if untold else exit_codes.DONE


def _holds(swap: Swap, host: HostView) -> bool:
    """Whether a place that was put holds what it should; not where that cannot be seen."""
    try:
        return bool(host(swap.place) == swap.want)
    except NotVisible:
        return False


def _is_loaded(put: Sequence[Swap], host: HostView) -> bool:
    """Whether systemd has read the units of what was put as they are now."""
    units = {unit for swap in put for unit in swap.place.units()}
    try:
        return not any(host(NeedsReload(unit)) for unit in sorted(units))
    except NotVisible:
        return False


def remaining(
    terminal: Terminal,
    plan: Plan,
    *,
    is_told: bool = False,
    what: str = "Not all is as declared",
) -> int:
    """All that could be done is done: 0, or 7 or 6 with a last line that says why.

    ``is_told``: the plan was shown, and its last line said so.
    """
    code = document.exit_code(replace(plan, actions=()))
    op = {exit_codes.REFUSED: Op.BLOCKED, exit_codes.UNSEEN: Op.UNKNOWN}.get(code)
    if op:
        rows = [row for row in plan.changes if row.op is op and row.applicable]
        told = [document.plain_change(row, users.owner) for row in rows]
        terminal.event("left", changes=told)
        for line in () if is_told and not terminal.hushed else text.left(plan, what):
            terminal.say(line, wrong=True)
    return code


def locked(terminal: Terminal) -> AbstractContextManager[None]:
    """Hold the lock; the user is told whose run is waited for, once for each holder."""

    def tell(holder: str, seconds: float) -> None:
        terminal.progress(
            f"waiting for another vmtune to end ({holder}), for up to {seconds:.0f} seconds"
        )
        terminal.event("waiting", holder=holder, seconds=round(seconds))

    return lock.held(tell)
