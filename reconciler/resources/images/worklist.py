"""Which images below a directory are to be rewritten, and each of them rewritten in its turn."""

from __future__ import annotations

import json
import os
import resource
import time
from collections import deque
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from tempfile import SpooledTemporaryFile
from typing import TYPE_CHECKING, Any, Self

from reconciler.engine.reporter import Cancelled, Progress
from reconciler.errors import HostError, StillUsed
from reconciler.facts import condition
from reconciler.facts.images import is_stale_copy
from reconciler.formats.sizes import counted
from reconciler.linux import btrfs, files, filesystems, in_use, lease
from reconciler.linux.tree_walk import Walk, entries, named
from reconciler.resources.images import copy as images_copy
from reconciler.resources.images import rewrite, scan
from reconciler.resources.images.places import Image, OneImage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from reconciler.engine.reporter import Reporter
    from reconciler.linux.tree_walk import Entry
    from reconciler.resources.images.places import Images


_TOLD = 10
"""Images that are left as they are, and said why; the rest is counted."""

_HELD = 512
"""Images exchanged and not yet given up at once, with three descriptors each, if so many may be."""

_SPARE = 32
"""Descriptors for all else: a dozen are open."""


def put(place: Images | Image, have: Any, want: Any, watch: Reporter) -> None:
    """Rewrite each image that is not as wanted; HostError names those that had to be left.

    Cancelled once asked to end: the image that was under way is as it was.
    """
    del want
    names = have.named if isinstance(place, OneImage) else None
    with Todo(place, names) as todo, lease.unharmed(), images_copy.Copier() as copier:
        work = _Work(place, watch, copier, todo.count, todo.size, _most())
        with suppress(images_copy.Halted):  # it is remembered, and no further image is begun
            try:
                for entry in todo.entries(work.give_up_due):
                    work.one(entry)
            finally:
                work.settle_all()
        if work.number:
            files.sync_filesystem(place.path)  # no old data comes back once success is claimed
        work.report()


@dataclass
class _Work:
    """One rewrite after the other; ``of`` images with ``all_size`` bytes in all."""

    place: Images | Image
    watch: Reporter
    copier: images_copy.Copier
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
    all_in_use: bool = True
    """Whether each of those that are left is so only because somebody uses it."""
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
        except (images_copy.NoRoom, OSError) as error:
            if not images_copy.is_full(error):
                raise
        self.settle_all()
        files.sync_filesystem(self.place.path)
        return rewrite.copy(entry, self.place.aim, self.copier, self._going(entry))

    def _still_whole(self, fd: int) -> None:
        """HostError where a device is missing by now, or the like: asked anew after a second."""
        if time.monotonic() < self.whole_until:
            return
        if unsafe := condition.rewriting(btrfs.condition(fd), btrfs.data_profiles(fd)):
            raise HostError(unsafe.text, unsafe.hint)
        self.whole_until = time.monotonic() + 1.0

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
            raise Cancelled(
                f"{path} is as it was; {counted(self.of - self.number + 1, 'file')} left"
            )
        done = min(done, size)
        whole = (self.behind + done, self.all_size)
        self.watch.tell(Progress(path, "copying", done, size, self.number, self.of, *whole))

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
            except images_copy.Halted as error:
                halted = error
        if halted:
            raise halted

    def _give_up_next(self) -> None:
        entry, changed = self.held.popleft()
        time.sleep(max(0, changed.due - time.monotonic()))
        with self._leaving(entry):
            if changed.beside in self.durable:
                rewrite.finish(changed, durable=True)
                return
            folder = os.fstat(changed.within).st_ino
            rewrite.finish(changed)  # which syncs the directory, for all that wait there
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
        except Cancelled:
            raise
        except Exception as error:
            if isinstance(error, images_copy.Halted) and self.is_halted:
                raise  # it ends this one too, but was another's
            self._leave(entry, images_copy.reason_of(error, self.place.path))
            if isinstance(error, images_copy.Halted):
                self.is_halted = True
                raise

    def _leave(self, entry: Entry, why: images_copy.Left) -> None:
        self.left_count += 1
        self.all_as_before &= why.is_as_it_was
        self.all_in_use &= isinstance(why, images_copy.InUse)
        if why.hint:
            self.remedies[why.hint] = why.code
        if len(self.left) >= _TOLD:
            return
        text = _with_names(entry, why) if isinstance(why, images_copy.InUse) else why.message
        self.left.append(f"{entry.path}: {text}{f'   {why.code}' if why.code else ''}")

    def report(self) -> None:
        """HostError where some were left; StillUsed where nothing but a use was in the way."""
        if not self.left:
            return
        more = self.left_count - len(self.left)
        lines = [*self.left, *([f"and {counted(more, 'more file')}"] if more else [])]
        if self.is_halted:
            lines.append("no further file was begun")
        state = "left as it was" if self.all_as_before else "not done as planned"
        first = f"{self.left_count} of {counted(self.of, 'file')} {state}:"
        hints = [f"{code}: {text}" if code else text for text, code in self.remedies.items()]
        if len(hints) == 1:
            hints = [*self.remedies]
        error = StillUsed if self.all_in_use else HostError
        raise error("\n  ".join([first, *lines]), "\n    ".join(hints))


def _most() -> int:
    """How many images may be held: three descriptors for each."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = max(soft, _SPARE + 3 * _HELD)
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return min(_HELD, max(1, (most - _SPARE) // 3))


def _with_names(entry: Entry, why: images_copy.InUse) -> str:
    """With who has it open, if they can be seen: a look at every process."""
    if isinstance(why, images_copy.InUseElsewhere):
        return why.message
    names = " and ".join(in_use.holders(entry.status))
    if not names:
        return why.message
    return f"in use by {names}" if why.message == "in use" else f"{why.message} ({names})"


class Todo:
    """The files that are to be rewritten, found before the first is.

    While an image waits to be given up, no walk over a million others may keep its opener.
    """

    def __init__(self, place: Images | Image, names: Sequence[str] | None = None) -> None:
        """Prepare the list; ``names`` are the only files, relative, that may be on it."""
        self._place = place
        self._only = (place.name,) if isinstance(place, Image) else names
        self._spared = frozenset(() if isinstance(place, Image) else place.spared)
        self._mounted = frozenset(mount.target for mount in filesystems.mounts())
        self.count = self.size = 0
        """How many, and the bytes that they have on disk."""

    def __enter__(self) -> Self:
        # More than a MiB of names is in a file, as there may be a million.
        self._names = SpooledTemporaryFile(1 << 20)
        top, walk = self._place.path, self._walk()
        for entry in entries(top, walk) if self._only is None else named(top, self._only, walk):
            if self._is_one(entry):
                self._names.write(json.dumps(entry.path).encode("ascii") + b"\n")
                self.count += 1
                self.size += entry.status.st_blocks * 512
        return self

    def __exit__(self, *_: object) -> None:
        self._names.close()

    def entries(self, before_each: Callable[[], None]) -> Iterator[Entry]:
        """Those that are still there and still so, each open."""
        self._names.seek(0)

        def names() -> Iterator[str]:
            for line in self._names:
                before_each()
                yield json.loads(line)

        return filter(self._is_one, named(self._place.path, names(), self._walk()))

    def _walk(self) -> Walk:
        apart = () if isinstance(self._place, Image) else self._place.apart
        return Walk(frozenset(apart), self._mounted)

    def _is_one(self, entry: Entry) -> bool:
        if is_stale_copy(os.path.basename(entry.path)) or entry.path in self._spared:
            return False
        return scan.differs(entry.fd, entry.status, self._place.aim)
