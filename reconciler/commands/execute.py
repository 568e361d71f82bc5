"""Having actions done: journalled, told as they happen, read back at the end."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from reconciler import exit_codes
from reconciler.commands import host_view
from reconciler.commands.progress import Interrupt, ProgressView
from reconciler.engine import codec
from reconciler.engine.model import Swap
from reconciler.engine.order import Needs
from reconciler.errors import HostError
from reconciler.facts.host_view import NotVisible
from reconciler.formats.sizes import counted
from reconciler.report import history as history_report
from reconciler.report import text
from reconciler.report.wrap import wrapped
from reconciler.resources import writes
from reconciler.resources.images.places import Image, Images
from reconciler.run import apply as running
from reconciler.run import journal
from reconciler.run.record import Recorder
from reconciler.value import dataclass, field, replace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from reconciler.console import Terminal
    from reconciler.engine.model import Action, Change
    from reconciler.facts.host_view import HostView
    from reconciler.run.apply import Result


_RESULTS = {
    exit_codes.DONE: "done",
    exit_codes.UNSEEN: "done",
    exit_codes.INTERRUPTED: "interrupted",
}

_UNVERIFIED = "`findmnt --verify` tells of the file; /var/lib/vmtune/fstab.before is what was there"


@dataclass(slots=True)
class Tally:
    """How far a command is that does its changes in several runs: ``total`` is its one count."""

    total: int
    swaps: int
    """How many of them are read back at the end."""
    is_of_more: bool = False
    """Whether further runs follow: then what was read back is told only behind the last."""
    begun: int = 0
    held: int = 0
    results: list[Result] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Work:
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
    """Tell the terminal and the journal of each action as it begins and as it ends."""

    def __init__(self, terminal: Terminal, recorder: Recorder, total: int, before: int = 0) -> None:
        self._terminal, self._recorder, self._total = terminal, recorder, total
        self._before = before
        self.going = ProgressView(terminal)
        self.begun = 0
        """How many were begun."""
        self.under_way = 0
        """The number of the action that was begun, and has no end in the journal; else 0."""
        self.ends: list[Result] = []

    def started(self, number: int, action: Action) -> None:
        self._recorder.begin(number)
        self.begun, self.under_way = self.begun + 1, number
        number += self._before
        self._terminal.progress(f"  [{number}/{self._total}] {text.action(action)}")
        self._terminal.event("begin", number=number, action=codec.plain_action(action))
        self.going.begin(number)

    def ended(self, number: int, result: Result) -> None:
        self.ends.append(result)
        self._recorder.end(number, result.outcome.value, result.why)
        self.under_way = 0
        self.going.end()
        number += self._before
        self._terminal.say(text.result(result.outcome.value, result.action, number, self._total))
        self._terminal.event("end", number=number, outcome=result.outcome.value, why=result.why)


def _journalled(terminal: Terminal, work: Work, recorder: Recorder, interrupt: Interrupt) -> int:
    actions, tally = work.actions, work.tally or counted_in_one(work.actions)
    telling = _Telling(terminal, recorder, tally.total, tally.begun)
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
        )
        host = host_view.look(terminal)
        code = _judged(terminal, results, interrupt, host, tally)
        recorder.images("after", running.seen(actions, host))
        recorder.finish(_RESULTS.get(code, "part way"))
        if any(
            isinstance(each, Swap) and isinstance(each.place, Images | Image) for each in actions
        ):
            _tell_images(terminal, recorder.number)
    except HostError as refused:  # the journal cannot be written, so nothing more is done
        terminal.complain(refused.message, refused.hint)
        return exit_codes.PART_WAY if telling.begun else exit_codes.ERROR
    except Exception as error:
        if telling.under_way:
            with suppress(HostError):
                why = f"{type(error).__name__}: {error}"
                recorder.end(telling.under_way, running.Outcome.FAILED.value, why)
        recorder.give_up()
        if not telling.begun or os.environ.get("VMTUNE_DEBUG"):
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


def counted_in_one(actions: Sequence[Action]) -> Tally:
    """Return the count of actions that are all done in one run."""
    return Tally(len(actions), sum(isinstance(action, Swap) for action in actions))


def tell_verified(terminal: Terminal, tally: Tally) -> None:
    """Say how many were read back as planned, unless nothing was done."""
    if tally.swaps and not _put(tally.results):
        return
    terminal.say()
    terminal.say(f"verified: {tally.held} of {tally.swaps} read back as planned")
    terminal.event("verified", held=tally.held, of=tally.swaps)


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
    told = [f"{len(results) - len(bad) - len(undone)} of {counted(len(results), 'change')} done"]
    told += [f"{len(bad)} failed"] * bool(bad) + [f"{len(undone)} left"] * bool(undone)
    stays = "what was done stays; " if len(bad) + len(undone) < len(results) else ""
    terminal.complain(", ".join(told), f"{stays}running it again does the rest, where it can be")
    return exit_codes.INTERRUPTED if is_stopped else exit_codes.PART_WAY


def _tell_images(terminal: Terminal, number: int) -> None:
    """What became of the images that were rewritten, as the journal keeps it."""
    if told := history_report.rewritten(journal.run(number)):
        for line in wrapped(told, terminal.width, 0):
            terminal.say(line)


def _read_back(terminal: Terminal, results: Sequence[Result], host: HostView, tally: Tally) -> int:
    """Look at every place that was put afresh, once all of it is on disk."""
    put = _put(results)
    writes.settle(swap.place for swap in put)
    lost = []
    for swap in put:
        try:
            if host(swap.place) != swap.want:
                lost.append(swap)
        except NotVisible:
            lost.append(swap)
    untold = [r for r in results if r.unverified and r.action not in lost]
    tally.held += len(put) - len(lost) - len(untold)
    if not tally.is_of_more:
        tell_verified(terminal, tally)
    for swap in lost:
        terminal.report(f"  is not so any more: {text.action(swap)}")
    for result in untold:
        words = f"written and read back, but not verified: {result.unverified}"
        terminal.complain(f"{text.where(result.action)}: {words}", _UNVERIFIED)
    return exit_codes.PART_WAY if lost else exit_codes.UNSEEN if untold else exit_codes.DONE
