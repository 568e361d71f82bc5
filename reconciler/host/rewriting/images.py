"""Have the images below a directory rewritten, one after the other."""

from __future__ import annotations

import os
import resource
import time
from collections import deque
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from reconciler.core import wholeness
from reconciler.core.sizes import counted
from reconciler.core.watch import Step, Stopped
from reconciler.host import files
from reconciler.host.in_use import look
from reconciler.host.kernel import btrfs, lease
from reconciler.host.kernel import wholeness as condition
from reconciler.host.refused import Refused
from reconciler.host.rewriting import copying, reasons, rewrite
from reconciler.host.rewriting.todo import Todo
from reconciler.value import dataclass, field

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from reconciler.core.images import Images
    from reconciler.core.standing import Standing
    from reconciler.core.watch import Watch
    from reconciler.host.directories.tree import Entry

_TOLD = 10
"""Images that are left as they are, and said why; the rest is counted."""
_HELD = 512
"""Images exchanged and not yet given up at once, with three descriptors each, if so many may be."""
_SPARE = 32
"""Descriptors for all else: a dozen are open."""

_WHOLE = 1.0
"""Seconds for which the filesystem counts as whole once it was seen to be."""


def put(place: Images, have: Standing, want: Standing, watch: Watch) -> None:
    """Rewrite each image that is not as wanted; Refused names those that had to be left.

    Stopped once asked to end: the image that was under way is as it was.
    """
    del have, want
    with Todo(place) as todo, lease.unharmed(), copying.Copier() as copier:
        work = _Work(place, watch, copier, todo.count, todo.size, _most())
        with suppress(reasons.Halted):  # it is remembered, and no further image is begun
            try:
                for entry in todo.entries(work.give_up_due):
                    work.one(entry)
            finally:
                work.settle_all()
        if work.number:
            files.sync_filesystem(place.path)  # no old data comes back once success is claimed
        work.report()


@dataclass(slots=True)
class _Work:
    """One rewrite after the other; ``of`` images with ``all_size`` bytes in all."""

    place: Images
    watch: Watch
    copier: copying.Copier
    of: int
    all_size: int
    most_held: int
    number: int = 0
    behind: int = 0
    """Bytes of the images before the one under way."""
    held: deque[tuple[Entry, rewrite.Changed]] = field(default_factory=deque)
    """Exchanged, and their old data not yet given up; the one that waits longest is first."""
    durable: set[str] = field(default_factory=set)
    """Of those the ones whose directory was synced since they were exchanged."""
    left: list[str] = field(default_factory=list)
    left_count: int = 0
    whole_until: float = 0.0
    """When the state of the filesystem is asked for again (time.monotonic)."""
    remedies: dict[str, str] = field(default_factory=dict)
    """What to do, each with the code of its reason."""
    all_as_before: bool = True
    """Whether each of those that are left is as it was."""
    is_halted: bool = False

    def one(self, entry: Entry) -> None:
        """Rewrite it, or remember why not."""
        self.number += 1
        size = entry.status.st_blocks * 512
        with self._leaving(entry):
            self._tell(entry.path, 0, size)
            self.held.append((entry, rewrite.exchange(self._copy(entry))))
        self.behind += size
        while len(self.held) > self.most_held:
            self._give_up_next()

    def _copy(self, entry: Entry) -> rewrite.Changed:
        """Copy it; where room was missing, once more when what this run has freed is free.

        Btrfs gives the space of a removed file back only when the transaction is committed.
        """
        self._still_whole(entry.fd)
        try:
            return rewrite.copy(entry, self.place.aim, self.copier, self._going(entry))
        except (reasons.NoRoom, OSError) as error:
            if not reasons.is_full(error):
                raise
        self.settle_all()
        files.sync_filesystem(self.place.path)
        return rewrite.copy(entry, self.place.aim, self.copier, self._going(entry))

    def _still_whole(self, fd: int) -> None:
        """Refused where a device is missing by now, or the like: asked anew after a while."""
        if time.monotonic() < self.whole_until:
            return
        if unsafe := wholeness.refusal(condition.now(fd), btrfs.data_profiles(fd)):
            raise Refused(unsafe.text, unsafe.hint)
        self.whole_until = time.monotonic() + _WHOLE

    def _going(self, entry: Entry) -> Callable[[int], None]:
        done = 0

        def going(more: int) -> None:
            nonlocal done
            done += more
            if more:
                self._tell(entry.path, done, entry.status.st_blocks * 512)
            self.give_up_due()

        return going

    def _tell(self, path: str, done: int, size: int) -> None:
        if self.watch.stop():
            raise Stopped(f"{path} is as it was; {counted(self.of - self.number + 1, 'file')} left")
        done = min(done, size)
        whole = (self.behind + done, self.all_size)
        self.watch.tell(Step(path, "copying", done, size, self.number, self.of, *whole))

    def give_up_due(self) -> None:
        """Give up the old data of those that have waited long enough."""
        while self.held and self.held[0][1].due <= time.monotonic():
            self._give_up_next()

    def settle_all(self) -> None:
        """Wait for all that are held, and give up their old data; Halted only behind the last."""
        halted = None
        while self.held:
            try:
                self._give_up_next()
            except reasons.Halted as error:
                halted = error
        if halted:
            raise halted

    def _give_up_next(self) -> None:
        entry, changed = self.held.popleft()
        time.sleep(max(0, changed.due - time.monotonic()))
        with self._leaving(entry):
            if changed.beside in self.durable:
                rewrite.finish(changed, durable=True)
            else:
                self._settle(changed)

    def _settle(self, changed: rewrite.Changed) -> None:
        """Sync its directory, for all that wait there; and give up its own old data."""
        folder = os.fstat(changed.within).st_ino
        rewrite.finish(changed)
        there = [other for _, other in self.held if os.fstat(other.within).st_ino == folder]
        self.durable = {other.beside for other in there}

    @contextmanager
    def _leaving(self, entry: Entry) -> Iterator[None]:
        """What stands in the way of one is remembered, and is not in the way of the others.

        Whatever the exception: by then that image is undone. Only a Halted says that it is not,
        and ends the run.
        """
        try:
            yield
        except Stopped:
            raise
        except Exception as error:
            if isinstance(error, reasons.Halted) and self.is_halted:
                raise  # it ends this one too, but was another's
            self._leave(entry, reasons.of(error, self.place.path))
            if isinstance(error, reasons.Halted):
                self.is_halted = True
                raise

    def _leave(self, entry: Entry, why: reasons.Left) -> None:
        self.left_count += 1
        self.all_as_before &= why.is_as_it_was
        if why.hint:
            self.remedies[why.hint] = why.code
        if len(self.left) >= _TOLD:
            return
        text = _with_names(entry, why) if isinstance(why, reasons.InUse) else why.message
        self.left.append(f"{entry.path}: {text}{f'   {why.code}' if why.code else ''}")

    def report(self) -> None:
        """Refused where some were left."""
        if not self.left:
            return
        more = self.left_count - len(self.left)
        lines = [*self.left, *([f"and {counted(more, 'more file')}"] if more else [])]
        if self.is_halted:
            lines.append("no further file was begun")
        state = "left as it was" if self.all_as_before else "not done as planned"
        first = f"{self.left_count} of {counted(self.of, 'file')} {state}:"
        raise Refused("\n  ".join([first, *lines]), self._hint())

    def _hint(self) -> str:
        """Each reason that there was has its own remedy."""
        if len(self.remedies) == 1:
            return next(iter(self.remedies))
        rows = [f"{code}: {text}" if code else text for text, code in self.remedies.items()]
        return "\n    ".join(rows)


def _most() -> int:
    """How many images may be held: three descriptors for each."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = max(soft, _SPARE + 3 * _HELD)
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return min(_HELD, max(1, (most - _SPARE) // 3))


def _with_names(entry: Entry, why: reasons.InUse) -> str:
    """With who has it open, if they can be seen: a look at every process."""
    if isinstance(why, reasons.InUseElsewhere):
        return why.message
    number = look.inode_of(entry.status)
    names = " and ".join(look.holders(entry.status).get(number, ()))
    if not names:
        return why.message
    return f"in use by {names}" if why.message == "in use" else f"{why.message} ({names})"
