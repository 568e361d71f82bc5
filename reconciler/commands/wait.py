"""``vmtune apply --wait``: all else is done; what is in use is done once it is let go.

While nothing can be done nothing is held: no lock, no lease, no open file. The kernel tells when a
file is closed or a mount goes. What the kernel does not tell of is looked for now and then: the
longer a look takes, the more seldom. Before each change the configuration is read again and the
host is looked at again, under the lock, and nothing is done that was not shown.
"""

from __future__ import annotations

import math
import re
import signal
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from reconciler import exit_codes
from reconciler.commands import host_view
from reconciler.commands import plan as planning
from reconciler.commands.execute import (
    Tally,
    Work,
    execute,
    locked,
    read_again,
    remaining,
    tell_verified,
)
from reconciler.commands.load import load
from reconciler.console import Chosen
from reconciler.engine import planned_state, shown
from reconciler.engine.order import Steps
from reconciler.engine.place import Swap
from reconciler.errors import ConfigErrors, Held, HostError, Misused
from reconciler.facts.diagnostics import Op
from reconciler.linux import in_use, syscalls
from reconciler.report import progress as progress_report
from reconciler.report import text
from reconciler.run import apply as running
from reconciler.run import claims
from reconciler.value import Value

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from reconciler.commands.load import Loaded
    from reconciler.console import Terminal
    from reconciler.engine.model import Action, Change, Plan
    from reconciler.facts.host_view import HostView


_UNITS = {"d": 86400, "h": 3600, "m": 60, "s": 1}

_SPAN = re.compile(r"(?:[0-9]{1,6}[dhms])+")


class Patience(Value):
    """For how long something is waited for, in seconds; ``text`` as it was given, "" for no end."""

    seconds: float
    text: str

    @staticmethod
    def read(text: str | None) -> Patience:
        """Return what an option says, None for no end; raise Misused where that is no time."""
        if text is None:
            return Patience(math.inf, "")
        if not _SPAN.fullmatch(text):
            raise Misused(f"--wait-for {text!r} is no time", "write 2h, 90m, 30s or 1h30m")
        parts = re.findall(r"(\d+)([dhms])", text)
        return Patience(float(sum(int(count) * _UNITS[unit] for count, unit in parts)), text)

    @property
    def words(self) -> list[str]:
        """Return the option for another run."""
        return ["--wait-for", self.text] if self.text else ["--wait"]


_LEAST, _MOST = 5.0, 60.0
"""Seconds between two looks that no event asked for, however short or long a look takes."""

_SHARE = 200
"""A look may take 1/200 of the time of one CPU, and ten times that where events ask for looks."""

_AGAIN = 2.0
"""Seconds until something is tried again that failed because somebody came, doubled each time."""

_LONGEST = 600.0
"""Seconds between two tries of a change before which somebody comes each time."""


@dataclass(eq=False, repr=False)
class _Pending:
    """A change that is waited for, and when it may be tried again (time.monotonic)."""

    swap: Swap
    why: str
    paths: tuple[str, ...]
    seen: str | None = None
    """How it was used at the last look, "" for free; None before the first look."""
    tries: int = 0
    not_before: float = 0.0

    @property
    def subject(self) -> str:
        return text.where(self.swap)

    @property
    def words(self) -> str:
        """Name it, and how it is used as far as it is: by now it may be free."""
        return self.subject if self.seen == "" else f"{self.subject}, {self.why}"

    def look(self, used: Mapping[str, str]) -> None:
        """Note how it is used; why it waits is told anew only where that changed."""
        words = next((used[path] for path in self.paths if path in used), "")
        if words and self.seen not in {None, words}:
            self.why = words
        self.seen = words

    @property
    def is_due(self) -> bool:
        return not self.seen and time.monotonic() >= self.not_before

    def later(self, seconds: float) -> None:
        self.not_before = time.monotonic() + seconds


class _View:
    """When it is told what is waited for: where that changes.

    The words are made in report/progress.py; on a terminal console.py draws one line again.
    """

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._told: dict[str, str] = {}
        self._line = ""
        self._is_drawn = False

    def tell(self, pending: Sequence[_Pending], seconds: float) -> None:
        """Tell what is waited for; ``seconds`` are left, or math.inf."""
        left = None if math.isinf(seconds) else max(0, round(seconds))
        for each in pending:
            if self._told.get(each.subject) != each.why:
                self._told[each.subject] = each.why
                fields = {"why": each.why, "left": len(pending), "seconds": left}
                self._terminal.event("awaits", subject=each.subject, **fields)
        if self._terminal.quiet or self._terminal.json:
            return
        first = next((each for each in pending if each.seen), pending[0])
        said = first.subject, first.why, len(pending)
        if self._terminal.can_redraw:
            columns = self._terminal.width - 1
            self._terminal.redraw(progress_report.awaited_for(*said, left, columns))
            self._is_drawn = True
        elif (line := progress_report.awaited(*said)) != self._line:
            self._line = line
            self._terminal.progress(line)

    def end(self) -> None:
        """Take the line away that was drawn."""
        if self._is_drawn:
            self._terminal.redraw("")
            self._is_drawn = False


class Course:
    """One ``apply --wait`` from its first change to its last."""

    def __init__(self, terminal: Terminal, loaded: Loaded, patience: Patience) -> None:
        # Who started it may have gone: that is no reason to stop.
        self._terminal = replace(terminal, lenient=True)
        self._loaded, self._patience = loaded, patience
        self._view = _View(self._terminal)
        self._tally = Tally(Steps((), ()), is_of_more=True)
        self._shown: Plan | None = None
        self._pending: list[_Pending] = []
        self._has_failed = self._is_unverified = False

    def begin(self, now: Plan, whole: Plan) -> int:
        """Do what can be done ``now``, under the lock; the rest of ``whole`` is for ``run``."""
        self._tally = Tally(Steps(whole.changes, whole.actions), is_of_more=True)
        self._shown = whole
        if not now.actions:
            return exit_codes.DONE
        return execute(self._terminal, self._work(now.actions, now.changes))

    def run(self, code: int) -> int:
        """Wait until all is done, the time is up or somebody ends it; return the exit code.

        ``code`` is how the part ended that waits for nothing.
        """
        if code == exit_codes.INTERRUPTED:
            return self._interrupted()
        if self._shown is None or code not in _GOES_ON:
            return code
        self._is_unverified = code == exit_codes.UNSEEN
        try:
            with _interruptible():
                self._pending = self._awaited(self._shown)
                is_over = self._wait()
                return self._ended(is_over=is_over)
        except KeyboardInterrupt:
            return self._interrupted()
        except (HostError, ConfigErrors):
            self._view.end()
            if self._pending:
                self._terminal.report(f"no longer waiting; {self._left()}")
            raise

    def _interrupted(self) -> int:
        """Say what was read back of all that was asked for, and what is left."""
        self._view.end()
        self._look()
        self._verified(host_view.look(self._terminal))
        left = f"; {self._left()}" if self._pending else ""
        is_some = any(result.outcome in running.GOOD for result in self._tally.results)
        stays = "what was done stays; " if is_some else ""
        self._terminal.complain(f"interrupted{left}", f"{stays}running it again does the rest")
        return exit_codes.INTERRUPTED

    def _work(self, actions: Sequence[Action], changes: Sequence[Change]) -> Work:
        loaded = self._loaded
        words = ["apply", *loaded.allow_words, *self._patience.words, *loaded.choice.for_all]
        return Work(actions, changes, " ".join(words), loaded.file, self._tally)

    def _planned(self) -> tuple[Plan, HostView]:
        """Read the configuration again, look at the host again, and plan."""
        old = self._loaded
        if old.path:
            chosen = Chosen(self._terminal, old.path, old.host)
            self._loaded = replace(load(chosen, old.allowed), choice=old.choice.again())
        host = host_view.look(self._terminal)
        return planning.make(self._loaded, host), host

    def _awaited(self, whole: Plan) -> list[_Pending]:
        """Return what is to be waited for: nothing that was not shown.

        What failed only because somebody came in between is tried again, too.
        """
        now, host = self._planned()
        still = {wait.swap.place: wait for wait in planned_state.awaited(now)}
        found = []
        for then in planned_state.awaited(whole):  # also what is free by now, which is done at once
            wait = still.get(then.swap.place, then)
            if host.maybe(wait.swap.place) != wait.swap.want:
                found.append(_Pending(wait.swap, wait.why, wait.paths))
        used = [result for result in self._tally.results if result.used]
        for action in now.actions:
            failed = next((each for each in used if shown.twin(each.action, [action])), None)
            if failed and isinstance(action, Swap):
                found.append(_Pending(action, failed.why.splitlines()[-1].strip(), ()))
                found[-1].later(_AGAIN)
        self._has_failed = any(
            result.outcome in running.BAD and not result.used for result in self._tally.results
        )
        return found

    def _wait(self) -> bool:
        """Do each change as it becomes possible; return whether the time was up before the last."""
        end = time.monotonic() + self._patience.seconds
        if self._pending:
            self._terminal.progress(progress_report.waits_until(self._patience.text))
        while self._pending:
            if not self._until_one_is_due(end):
                return True
            self._view.end()
            self._one()
        return False

    def _until_one_is_due(self, end: float) -> bool:
        """Wait until something may be done; return False where the time is up before."""
        with syscalls.watching(path for each in self._pending for path in each.paths) as wait:
            while True:
                begun = time.process_time()
                self._look()
                cost = time.process_time() - begun
                if any(each.is_due for each in self._pending):
                    return True
                now = time.monotonic()
                if now >= end:
                    return False
                self._view.tell(self._pending, end - now)
                free = [each.not_before - now for each in self._pending if not each.seen]
                most = min(_pause(cost), end - now, *free)
                wait(cost * _SHARE / 10, most)

    def _look(self) -> None:
        used = in_use.used(path for each in self._pending for path in each.paths)
        for each in self._pending:
            each.look(used)

    def _one(self) -> None:
        """Do one change that is due, under the lock, unless the host says otherwise by now."""
        try:
            with locked(self._terminal):
                begun = time.process_time()
                now, host = self._planned()
                if now.claims:
                    claims.note(now.claims)
                pause = _pause(time.process_time() - begun)
                for each in [each for each in self._pending if each.is_due]:
                    if self._is_ready(each, now, host, pause):
                        self._do(each, now, host)
                        return
        except Held as held:  # for longer than a run waits: its work goes on, and so does this wait
            self._terminal.progress(str(held))
            for each in self._pending:
                each.later(_LEAST)

    def _is_ready(self, each: _Pending, now: Plan, host: HostView, pause: float) -> bool:
        """Tell whether a change may begin; what will never come is told and left out."""
        swap = each.swap
        waits = {wait.swap.place: wait for wait in planned_state.awaited(now)}
        if swap.place in waits:
            each.why, each.paths = waits[swap.place].why, waits[swap.place].paths
            each.later(pause)
            return False
        if host.maybe(swap.place) == swap.want:
            self._leave(each, "done meanwhile")
            return False
        if shown.is_among(swap, now.actions):
            return True
        rows = [row for row in now.changes if row.op in {Op.BLOCKED, Op.UNKNOWN}]
        row = next((row for row in rows if shown.is_about(row, swap)), None)
        if row and row.op is Op.UNKNOWN:  # as by a lease of a file server, which ends
            each.why = row.text
            each.later(pause)
            return False
        if row:
            self._leave(each, f"left out: {row.text}")
        elif host.maybe(swap.place) == swap.place.nothing != swap.have:
            self._leave(each, "left out: it is gone")
        else:
            self._leave(each, "left out: not declared any more")
        return False

    def _leave(self, each: _Pending, why: str) -> None:
        self._pending.remove(each)
        self._tally.begun += 1
        self._tally.left_out.append(each.swap)
        self._terminal.event("left_out", subject=each.subject, why=why.removeprefix("left out: "))
        self._terminal.say(f"  {why}: {each.subject}")

    def _do(self, each: _Pending, now: Plan, host: HostView) -> None:
        self._terminal.event("released", subject=each.subject)
        before, results = self._tally.begun, len(self._tally.results)
        swap = replace(each.swap, have=host(each.swap.place))
        code = execute(self._terminal, self._work([swap], now.changes))
        if code == exit_codes.INTERRUPTED:
            raise KeyboardInterrupt
        if any(result.used for result in self._tally.results[results:]):
            # Somebody came again: the same change is tried anew, under the same number.
            self._tally.begun = before
            del self._tally.results[results:]
            each.tries += 1
            each.later(min(_LONGEST, _AGAIN ** min(each.tries, 20)))
            return
        self._pending.remove(each)
        self._has_failed |= code not in {exit_codes.DONE, exit_codes.UNSEEN}
        self._is_unverified |= code == exit_codes.UNSEEN

    def _ended(self, *, is_over: bool) -> int:
        """Say what is left, and return the first exit code that holds of 3, 7, 6, 0."""
        self._view.end()
        now, host = self._planned()
        self._verified(host)
        mine = [each.swap for each in self._pending]
        differs = [each for each in now.actions if not shown.is_among(each, mine)]
        for action in differs:
            self._terminal.report(f"  still differs: {text.action(action)}")
        rows = [row for row in now.changes if not (is_over and row.op is Op.BLOCKED and row.waits)]
        code = remaining(self._terminal, replace(now, changes=tuple(rows)))
        if is_over:
            left = [{"subject": each.subject, "why": each.why} for each in self._pending]
            self._terminal.event("time_up", left=left)
            self._terminal.say(f"time is up after {self._patience.text}; {self._left()}")
            code = exit_codes.REFUSED
        if differs or self._has_failed:
            return exit_codes.PART_WAY
        return code or exit_codes.UNSEEN * self._is_unverified

    def _verified(self, host: HostView) -> None:
        read_again(self._tally, host)
        tell_verified(self._terminal, self._tally)

    def _left(self) -> str:
        return text.awaited([each.words for each in self._pending])


_GOES_ON = frozenset({exit_codes.DONE, exit_codes.UNSEEN, exit_codes.PART_WAY})
"""How the first part may end for the rest to be waited for."""


def _pause(cost: float) -> float:
    """Return the seconds until the next look, where a look took ``cost`` seconds of the CPU."""
    return min(max(cost * _SHARE, _LEAST), _MOST)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Have SIGTERM and SIGHUP end the wait as Ctrl-C does, but for what was told to ignore them."""
    before = {
        number: signal.signal(number, signal.default_int_handler)
        for number in (signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(number) != signal.SIG_IGN
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
