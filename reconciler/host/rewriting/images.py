"""Having the images below a directory rewritten, one after the other."""

from __future__ import annotations

import os
import resource
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial

from reconciler.core.images import CODES, ELSEWHERE
from reconciler.core.sizes import counted
from reconciler.core.watch import Step, Stopped
from reconciler.host import files
from reconciler.host.in_use import look
from reconciler.host.kernel import lease
from reconciler.host.refused import Refused
from reconciler.host.rewriting import copying, rewrite
from reconciler.host.rewriting.todo import Todo
from reconciler.value import dataclass, field

TYPE_CHECKING = False
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
_SMALL = 1 << 20
"""Bytes on disk up to which images wait for each other, to be synced at the same time."""
_TOGETHER, _AGE = 32, 0.05
"""How many of them at most, and how many seconds: whoever opens one waits for that too."""


def put(place: Images, have: Standing, want: Standing, watch: Watch) -> None:
    """Rewrite each image that is not as wanted; Refused names those that had to be left.

    Stopped once asked to end: the image that was under way is as it was.
    """
    del have, want
    with (
        Todo(place) as todo,
        lease.unharmed(),
        copying.Copier() as copier,
        ThreadPoolExecutor(_TOGETHER) as pool,
    ):
        work = _Work(place, watch, copier, pool, todo.count, todo.size, *_most())
        try:
            for entry in todo.entries(work.let_nobody_wait):
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
    pool: ThreadPoolExecutor
    of: int
    all_size: int
    most_copied: int
    most_held: int
    number: int = 0
    behind: int = 0
    """Bytes of the images before the one under way."""
    copied: deque[tuple[Entry, rewrite.Changed]] = field(default_factory=deque)
    """Not yet exchanged, the first of them since that time (time.monotonic)."""
    since: float = 0.0
    held: deque[tuple[Entry, rewrite.Changed]] = field(default_factory=deque)
    durable: set[str] = field(default_factory=set)
    """Of those the ones whose directory was synced since they were exchanged."""
    in_use: list[tuple[Entry, rewrite.InUse]] = field(default_factory=list)
    """Left, and nobody was asked yet who has them open."""
    left: list[str] = field(default_factory=list)
    left_count: int = 0
    hint: str = ""

    def one(self, entry: Entry) -> None:
        """Rewrite it, or remember why not."""
        self.number += 1
        size, done = entry.status.st_blocks * 512, 0

        def going(more: int) -> None:
            nonlocal done
            done += more
            if more:
                self._tell(entry.path, done, size)
            self.give_up_due()

        if size > _SMALL:
            self._exchange()
        with self._leaving(entry):
            self._tell(entry.path, 0, size)
            self._copy(entry, going)
        self._say_who()
        self.behind += size
        if size > _SMALL or len(self.copied) >= self.most_copied or self._is_old():
            self._exchange()

    def _copy(self, entry: Entry, going: Callable[[int], None]) -> None:
        try:
            changed = rewrite.copy(entry, self.place.aim, self.copier, going)
        except rewrite.NoRoom:
            self.settle_all()  # what was given up is free once it is committed
            files.sync_filesystem(self.place.path)
            changed = rewrite.copy(entry, self.place.aim, self.copier, going)
        if not self.copied:
            self.since = time.monotonic()
        self.copied.append((entry, changed))

    def _is_old(self) -> bool:
        return bool(self.copied) and time.monotonic() - self.since > _AGE

    def _exchange(self) -> None:
        """Have those that are copied synced, all at once, and exchanged."""
        self.give_up_due()
        self._drop_awaited()
        new = [changed.new for _, changed in self.copied]
        synced = [self._syncing(fd) for fd in new[1:]]
        # The first one here: where it is alone, it needs no other thread.
        for sync in [partial(os.fsync, fd) for fd in new[:1]] + synced:
            entry, changed = self.copied.popleft()
            with self._leaving(entry):
                self.held.append((entry, rewrite.exchange(changed, sync)))
        self._say_who()
        while len(self.held) > self.most_held:
            self._give_up_next()

    def _drop_awaited(self) -> None:
        """Whoever came for one meanwhile need not wait until the disk has all of them."""
        for entry, changed in [pair for pair in self.copied if not lease.held(pair[1].old)]:
            self.copied.remove((entry, changed))
            with self._leaving(entry):
                rewrite.exchange(changed, partial(_sync, changed))

    def _syncing(self, fd: int) -> Callable[[], object]:
        """What waits for its fsync(2): in a thread, or here where there may be no more of them."""
        try:
            return self.pool.submit(os.fsync, fd).result
        except RuntimeError:
            return partial(os.fsync, fd)

    def _tell(self, path: str, done: int, size: int) -> None:
        if self.watch.stop():
            raise Stopped(f"{path} is as it was; {counted(self.of - self.number + 1, 'file')} left")
        done = min(done, size)
        whole = (self.behind + done, self.all_size)
        self.watch.tell(Step(path, "copying", done, size, self.number, self.of, *whole))

    def let_nobody_wait(self) -> None:
        """Go on with those that were copied, or held, for long enough."""
        if self._is_old():
            self._exchange()
        self.give_up_due()

    def give_up_due(self) -> None:
        """Give up the old data of those that have waited long enough."""
        while self.held and self.held[0][1].due <= time.monotonic():
            self._give_up_next()

    def settle_all(self) -> None:
        """Exchange those that are copied, wait for them, and give up their old data too."""
        self._exchange()
        while self.held:
            self._give_up_next()

    def _give_up_next(self) -> None:
        entry, changed = self.held.popleft()
        time.sleep(max(0, changed.due - time.monotonic()))
        with self._leaving(entry):
            if changed.beside in self.durable:
                rewrite.finish(changed, durable=True)
            else:
                self._settle(changed)
        self._say_who()

    @contextmanager
    def _leaving(self, entry: Entry) -> Iterator[None]:
        """What stands in the way of one is remembered, and is not in the way of the others."""
        try:
            yield
        except rewrite.InUseElsewhere as refused:
            self._leave(entry, *_elsewhere(refused))
        except rewrite.InUse as refused:
            self.in_use.append((entry, refused))
        except Refused as refused:
            self._leave(entry, refused.message, refused.hint, _code(refused))
        except copying.Damaged as damaged:
            self._leave(entry, str(damaged), "is the disk failing? it is as it was")
        except OSError as error:
            self._leave(entry, rewrite.why(error), code=_code(error))

    def _settle(self, changed: rewrite.Changed) -> None:
        """Sync its directory, for all that wait there; and give up its own old data."""
        folder = os.fstat(changed.within).st_ino
        rewrite.finish(changed)
        there = [other for _, other in self.held if os.fstat(other.within).st_ino == folder]
        self.durable = {other.beside for other in there}

    def _say_who(self) -> None:
        """Ask for all of them at once, if they are told: it is a look at every process.

        Others wait meanwhile, but none of a batch for those that are left of it.
        """
        asked, self.in_use = self.in_use, []
        told = [entry.status for entry, _ in asked[: max(0, _TOLD - len(self.left))]]
        found = look.holders(*told) if told else {}
        for entry, refused in asked:
            who = found.get(look.inode_of(entry.status), ())
            self._leave(entry, _in_use(who, refused), code=CODES["open"])

    def _leave(self, entry: Entry, why: str, hint: str = "", code: str = "") -> None:
        self.left_count += 1
        self.hint = hint or self.hint
        if len(self.left) < _TOLD:
            self.left.append(f"{entry.path}: {why}{f'   {code}' if code else ''}")

    def report(self) -> None:
        """Refused where some were left."""
        if not self.left:
            return
        more = self.left_count - len(self.left)
        lines = [*self.left, *([f"and {counted(more, 'more file')}"] if more else [])]
        first = f"{self.left_count} of {counted(self.of, 'file')} left as it was:"
        raise Refused("\n  ".join([first, *lines]), self.hint or _HINT)


def _sync(image: rewrite.Changed) -> None:
    """Put a copy on disk, but not one that somebody came for: InUse, and they go on."""
    rewrite.undisturbed(image.old)
    os.fsync(image.new)


def _most() -> tuple[int, int]:
    """How many images may be copied, and how many held: three descriptors for each."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = max(soft, _SPARE + 3 * (_TOGETHER + _HELD))
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    images = max(2, (most - _SPARE) // 3)
    copied = min(_TOGETHER, images // 2)
    return copied, min(_HELD, images - copied)


_HINT = "the others are done; shut down or close what uses these, then apply again"


_SORTS: dict[type[Exception], str] = {
    rewrite.NoRoom: "room",
    rewrite.Linked: "links",
    rewrite.Protected: "protected",
}


def _code(error: Exception) -> str:
    """What `vmtune explain` knows the reason by, "" where it is none of those."""
    if isinstance(error, OSError):
        return CODES["room"] if error.errno in rewrite.FULL else ""
    return CODES.get(_SORTS.get(type(error), ""), "")


def _elsewhere(refused: rewrite.InUseElsewhere) -> tuple[str, str, str]:
    """Why an image is left that nobody has open: the reason, what to do, and the code."""
    return refused.message, ELSEWHERE[refused.sort], CODES[refused.sort]


def _in_use(who: tuple[str, ...], refused: Refused) -> str:
    """With names, if whoever has it open can be seen."""
    if not who:
        return refused.message
    names = " and ".join(who)
    return f"in use by {names}" if refused.message == "in use" else f"{refused.message} ({names})"
