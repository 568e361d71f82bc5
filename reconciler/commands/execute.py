"""Having actions done: journalled, told as they happen, read back at the end."""

from __future__ import annotations

import os

from reconciler import exits
from reconciler.commands import looking
from reconciler.commands.interrupt import Interrupt
from reconciler.commands.progress import Progress
from reconciler.core import codec
from reconciler.core.images import Images
from reconciler.core.model import Swap
from reconciler.core.snapshot import Hidden
from reconciler.host import writers
from reconciler.host.refused import Refused
from reconciler.render import runs, text
from reconciler.render.layout import wrapped
from reconciler.run import apply as running
from reconciler.run import journal, measured
from reconciler.run.record import Recorder
from reconciler.value import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from reconciler.core.model import Action
    from reconciler.core.snapshot import Snapshot
    from reconciler.run.apply import Result
    from reconciler.terminal import Terminal

_RESULTS = {exits.DONE: "done", exits.INTERRUPTED: "interrupted"}


def execute(
    terminal: Terminal,
    actions: Sequence[Action],
    command: str,
    config: str,
    after: Callable[[], int] = lambda: exits.DONE,
) -> int:
    """Do them in order, under the lock; 0 when each was read back as wanted, else 1, 3 or 130.

    ``after`` has the last word when all went well: a signal does not end it either.
    """
    writers.sweep()
    recorder = Recorder(command, config, actions)
    with Interrupt() as interrupt:
        # The work goes on where nobody listens any more: a pager that ends is no reason to stop.
        told = replace(terminal, lenient=True)
        return _journalled(told, actions, recorder, interrupt) or after()


def _journalled(
    terminal: Terminal, actions: Sequence[Action], recorder: Recorder, interrupt: Interrupt
) -> int:
    begun, going = 0, Progress(terminal)
    ends: list[Result] = []

    def started(action: Action) -> None:
        nonlocal begun
        recorder.begin(begun + 1)
        begun += 1
        terminal.progress(f"  [{begun}/{len(actions)}] {text.action(action)}")
        terminal.event("begin", number=begun, action=codec.plain_action(action))
        going.begin(begun)

    def ended(result: Result) -> None:
        ends.append(result)
        going.end()
        terminal.say(text.result(result.outcome.value, result.action, begun, len(actions)))
        terminal.event("end", number=begun, outcome=result.outcome.value, why=result.why)
        recorder.end(begun, result.outcome.value, result.why)

    terminal.say()
    try:
        recorder.images("before", measured.seen(actions))
        results = running.apply(actions, started, ended, stop=lambda: interrupt.asked, going=going)
        see = looking.look(terminal)
        code = _judge(terminal, results, interrupt) or _read_back(terminal, actions, see)
        recorder.images("after", measured.seen(actions, see))
        recorder.finish(_RESULTS.get(code, "part way"))
        if any(isinstance(action, Swap) and isinstance(action.place, Images) for action in actions):
            _tell_images(terminal, recorder.number)
    except Refused as refused:  # the journal cannot be written, so nothing more is done
        terminal.complain(refused.message, refused.hint)
        return exits.PART_WAY if begun else exits.ERROR
    except Exception as error:
        recorder.give_up()
        if not begun or os.environ.get("VMTUNE_DEBUG"):
            raise
        return _broken_off(terminal, error, actions, ends)
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
    return exits.PART_WAY


def _judge(terminal: Terminal, results: Sequence[Result], interrupt: Interrupt) -> int:
    bad = next((r for r in results if r.outcome in running.BAD), None)
    undone = [r.action for r in results if r.outcome is running.Outcome.SKIPPED]
    if bad:
        terminal.complain(f"{text.action(bad.action)}: {bad.why}", bad.hint)
    for action in undone:
        terminal.report(f"  not done: {text.action(action)}")
    if not bad and not undone:
        return exits.DONE
    terminal.complain(
        "stopped part way", "what was done stays; running it again goes on from there"
    )
    return exits.INTERRUPTED if interrupt.asked and not bad else exits.PART_WAY


def _tell_images(terminal: Terminal, number: int) -> None:
    """What became of the images that were rewritten, as the journal keeps it."""
    if told := runs.rewritten(journal.run(number)):
        for line in wrapped(told, terminal.width, 0):
            terminal.say(line)


def _read_back(terminal: Terminal, actions: Sequence[Action], see: Snapshot) -> int:
    """Look at every place afresh, once all of it is on disk."""
    swaps = [action for action in actions if isinstance(action, Swap)]
    writers.settle(swap.place for swap in swaps)
    lost = []
    for swap in swaps:
        try:
            if see(swap.place) != swap.want:
                lost.append(swap)
        except Hidden:
            lost.append(swap)
    held = len(swaps) - len(lost)
    terminal.say()
    terminal.say(f"verified: {held} of {len(swaps)} read back as planned")
    terminal.event("verified", held=held, of=len(swaps))
    for swap in lost:
        terminal.report(f"  is not so any more: {text.action(swap)}")
    return exits.PART_WAY if lost else exits.DONE
