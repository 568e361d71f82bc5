"""A directory turned into a subvolume, at every instant whole under its own name.

    prepare    a subvolume beside it, closed to all but root, filled with clones of the files,
               each of which is held by a write lease from before it is cloned
    compare    what is in the directory is what was copied, nobody stands in it, no lease broke,
               no mount shows it elsewhere
    exchange   the two names change places, in one step
    hold       who found the old directory before that may still be on the way into it: compare
               again, through the old descriptor; at a difference the names change back, unless
               the new one was used as well, whose files are under leases too: then both stay;
               it is marked first, so that no later run takes it for a mere copy
    give up    the old directory is marked as such, then removed, file by file

Killed before the exchange, the next run starts over; killed after it, it holds the old files,
compares by the times of change, since the subvolume was made, and goes on: each time, since nobody
held them between two runs. Marks, which root alone can set and see, tell it how far the last one
came: TURNING on the subvolume until it is approved, DONE on the old directory from then on, GOING
on a file in it of several names, once one of them is to be removed.
"""

from __future__ import annotations

import os
import resource
import stat
import time
from contextlib import ExitStack, contextmanager, suppress
from shlex import quote
from typing import TYPE_CHECKING

from reconciler.core.subvolume import MOST_ENTRIES
from reconciler.core.watch import Step, Stopped, Watch
from reconciler.host import files
from reconciler.host.kernel import btrfs, inode, lease, renaming, subvolume
from reconciler.host.refused import Refused
from reconciler.host.subvolumes import carry, oldtree, subtree
from reconciler.host.subvolumes.stillness import Watched

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from reconciler.host.subvolumes.subtree import Entry, Survey

HOLD = 0.25
"""Seconds between exchange and giving up: an opener may sit between finding a name and opening."""
_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_NOATIME | os.O_CLOEXEC
_SPARE_DESCRIPTORS = 1000


def turn(path: str, watch: Watch) -> None:
    """Make the directory a subvolume with the same in it; Refused, OSError, Stopped: it is as was.

    Root only. A failure after the exchange leaves a subvolume that is whole, and
    beside it the directory that it was.
    """
    parent, name = os.path.split(path)
    with ExitStack() as stack:
        within = stack.enter_context(inode.directory(parent))
        source = opened(stack, name, within)
        if subvolume.mark(source, subvolume.DONE):  # one that was changed back
            os.removexattr(source, subvolume.DONE)
        found = _fit(path, source, within)
        stack.enter_context(many_descriptors(found.files))
        stack.enter_context(lease.unharmed())
        old = Watched(source, found)
        stack.callback(old.release)
        _Turn(path, within, old, watch).run()


def opened(stack: ExitStack, name: str, within: int) -> int:
    fd = os.open(name, _OPEN, dir_fd=within)
    stack.callback(os.close, fd)
    return fd


def _fit(path: str, source: int, within: int) -> Survey:
    """What is in the directory; Refused where the plan would have refused it, had it seen it."""
    status = os.fstat(source)
    if status.st_dev != os.fstat(within).st_dev or status.st_ino == btrfs.FIRST_INODE:
        raise Refused(f"{path} is a mount point or a subvolume by now")
    found = subtree.survey(source)
    if found.count > MOST_ENTRIES:
        raise Refused(f"{path} has more than {MOST_ENTRIES:,} files and directories by now")
    for what, names in (
        ("another subvolume", found.subvolumes),
        ("not readable", found.unseen),
        ("a file with names outside it too", found.outside()),
        ("a socket, FIFO or device", found.special()),
    ):
        if names:
            raise Refused(f"{path} cannot become a subvolume: {names[0]} is {what}")
    if why := subtree.used(found, source):
        raise Refused(f"{path} cannot become a subvolume: {why}", "end that, then run this again")
    return found


@contextmanager
def many_descriptors(number: int) -> Iterator[None]:
    """Two for each file, and some (setrlimit(2)); root may raise its own limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = 2 * number + _SPARE_DESCRIPTORS
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, needed), max(hard, needed)))
    except (OSError, ValueError):
        raise Refused(
            f"{needed:,} open files are needed, and no more than {hard:,} may be had here",
            "raise that (ulimit -Hn; in a container, from outside), then run this again",
        ) from None
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, max(hard, needed)))


def approve(source: int) -> None:
    """The subvolume counts from here on, and the directory that it was is to go."""
    os.setxattr(source, subvolume.DONE, b"1")
    os.fsync(source)


def accept(target: int) -> None:
    """It is a subvolume like any other."""
    if subvolume.mark(target, subvolume.TURNING):
        os.removexattr(target, subvolume.TURNING)
        os.fsync(target)


class _Turn:
    """One directory on its way."""

    def __init__(self, path: str, within: int, old: Watched, watch: Watch) -> None:
        self._path, self._within, self._old, self._watch = path, within, old, watch
        self._name = os.path.basename(path)
        self._number = os.fstat(old.top).st_ino
        self._beside = subvolume.sibling(self._name, self._number)

    def run(self) -> None:
        self._sweep()
        with ExitStack() as stack:
            new = self._created(stack)
            with ExitStack() as undo:
                undo.callback(self._destroy, new.top)
                self._fill(new)
                renaming.exchange(self._within, self._name, self._beside)
                undo.pop_all()
            os.fsync(self._within)
            time.sleep(HOLD)
            if why := self._old.used():
                raise self._backed_out(new, why)
            approve(self._old.top)
            new.release()
            accept(new.top)
            oldtree.remove(self._old, btrfs.created(new.top), self._shown)
            os.rmdir(self._beside, dir_fd=self._within)
            os.fsync(self._within)

    @property
    def _shown(self) -> str:
        return f"{os.path.dirname(self._path)}/{self._beside}"

    def _sweep(self) -> None:
        """What a run that was killed left: clones, and nothing else."""
        with suppress(FileNotFoundError), ExitStack() as stack:
            left = opened(stack, self._beside, self._within)
            if subvolume.is_turning(left, self._number):
                subvolume.destroy(self._within, btrfs.subvolume(left).identifier)
            elif subvolume.left(self._within, self._name, self._number):
                raise Refused(
                    f"{self._shown} is a subvolume that an earlier run left beside {self._path}",
                    f"keep what you need of it, then: btrfs subvolume delete {quote(self._shown)}",
                )
            else:  # killed before it was marked: empty
                os.rmdir(self._beside, dir_fd=self._within)
            os.fsync(self._within)

    def _created(self, stack: ExitStack) -> Watched:
        subvolume.create(self._within, self._beside, 0o700)
        fd = opened(stack, self._beside, self._within)
        subvolume.is_new(fd, self._shown)
        try:
            os.setxattr(fd, subvolume.TURNING, str(self._number).encode())
        except OSError:
            self._destroy(fd)
            raise
        new = Watched(fd, subtree.survey(fd))
        stack.callback(new.release)
        return new

    def _fill(self, new: Watched) -> None:
        try:
            carry.carry(self._old, new, self._going())
        except Refused as refused:
            raise Refused(f"{self._path}/{refused.message}", refused.hint) from None
        files.sync(new.top)
        new.found = subtree.survey(new.top)
        if why := self._old.used():
            raise self._as_before(why)

    def _as_before(self, why: str) -> Refused:
        return Refused(
            f"{self._path} was used while it was being turned: {why}",
            "it is a directory as before; end what uses it, then run this again",
        )

    def _going(self) -> Callable[[str, Entry], None]:
        found = self._old.found
        size, of, done, number = found.size, found.count, 0, 0

        def going(path: str, entry: Entry) -> None:
            nonlocal done, number
            if self._watch.stop():
                raise Stopped(f"{self._path} is a directory as before")
            number += 1
            mine = entry.size if stat.S_ISREG(entry.format) else 0
            done += mine
            subject = f"{self._path}/{path}"
            self._watch.tell(Step(subject, "moving", mine, mine, number, of, done, size))

        return going

    def _backed_out(self, new: Watched, why: str) -> Refused:
        """The names changed back, unless that would lose what was written to the new one."""
        what = f"{self._path} was used while it became a subvolume: {why}"
        kept = f"what was written at that moment may be in {self._shown}"
        if not self._are_in_place(self._name, new.top) or new.used():
            return Refused(
                what, f"{kept}: move what you want to keep out of it, then run this again"
            )
        subvolume.turn_back(new.top, self._number)  # killed from here on, nothing removes it
        renaming.exchange(self._within, self._name, self._beside)
        os.fsync(self._within)
        if new.used():
            return Refused(
                what,
                f"{kept}, a subvolume: copy what you want to keep into {self._path}, then: "
                f"btrfs subvolume delete {quote(self._shown)}",
            )
        self._destroy(new.top)
        return self._as_before(why)

    def _destroy(self, target: int) -> None:
        if self._are_in_place(self._beside, target):
            subvolume.destroy(self._within, btrfs.subvolume(target).identifier)
            os.fsync(self._within)

    def _are_in_place(self, name: str, fd: int) -> bool:
        """Whether a name is that of an open directory: others may rename, where they own it."""
        return os.path.samestat(os.lstat(name, dir_fd=self._within), os.fstat(fd))
