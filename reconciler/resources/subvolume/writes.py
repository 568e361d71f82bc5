"""A path made a subvolume, whatever it is now: at every instant whole under its own name."""

from __future__ import annotations

import os
import resource
import stat
import time
from contextlib import ExitStack, contextmanager, suppress
from shlex import quote
from typing import TYPE_CHECKING

from reconciler.engine.directory import MOST_ENTRIES, Subvolume
from reconciler.engine.reporter import Cancelled, Progress
from reconciler.errors import HostError
from reconciler.facts.host import DIRECTORY, MISSING, SUBVOLUME
from reconciler.linux import btrfs, files, in_use, inode, lease, selinux, subvolumes, syscalls
from reconciler.resources.subvolume import clone_tree, inventory, remove_old
from reconciler.resources.subvolume.remove_old import Watched

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from reconciler.engine.place import Writes
    from reconciler.engine.reporter import Reporter
    from reconciler.resources.subvolume.inventory import Entry, Survey


def put(place: Subvolume, have: str, want: str, watch: Reporter) -> None:
    """Make it, turn a directory into it, finish that, or remove it where it is empty."""
    if want == MISSING:
        _remove(place.path)
    elif want != SUBVOLUME:
        raise HostError(f"{place.path} stays a subvolume: nothing turns it into a directory")
    elif have == MISSING:
        _make(place)
    elif have == DIRECTORY:
        turn(place.path, watch)
    else:
        _finish(place.path)


def _remove(path: str) -> None:
    parent, name = os.path.split(path)
    with inode.directory(parent) as within:
        in_use.refuse_if_used(name, within, path)
        os.rmdir(name, dir_fd=within)  # takes an empty subvolume, since Linux 4.18
        os.fsync(within)


def _make(place: Subvolume) -> None:
    parent, name = os.path.split(place.path)
    with inode.directory(parent) as within, inode.acting_as(place.uid, place.gid):
        subvolumes.create(within, name, place.mode)
        with inode.opened(name, within, os.O_DIRECTORY) as fd:
            subvolumes.is_new(fd, place.path)
            if os.fstat(fd).st_gid != place.gid:
                os.fchown(fd, place.uid, place.gid)
            if stat.S_IMODE(os.fstat(fd).st_mode) != place.mode:
                os.fchmod(fd, place.mode)
            inode.clear_compression(fd)  # inherited from the subvolume that it is in
            selinux.relabel(fd, place.path)
            os.fsync(fd)
        os.fsync(within)


def _finish(path: str) -> None:
    """Remove the directory that a path was before it became one; HostError if it changed."""
    parent, name = os.path.split(path)
    with ExitStack() as stack:
        within = stack.enter_context(inode.directory(parent))
        target = opened(stack, name, within)
        beside = subvolumes.old(within, name)
        source = opened(stack, beside, within)
        os.fsync(within)  # who was killed may have exchanged the two and no more
        stack.enter_context(lease.unharmed())
        old = Watched(source, inventory.survey(source))
        stack.callback(old.release)
        stack.enter_context(many_descriptors(old.found.files))
        _approve(old, target, f"{parent}/{beside}")
        accept(target)
        remove_old.remove(old, btrfs.subvolume(target).created, f"{parent}/{beside}")
        os.rmdir(beside, dir_fd=within)
        os.fsync(within)


def _approve(old: Watched, target: int, shown: str) -> None:
    """Mark it as gone, where nothing is lost with it; asked again where it was marked before.

    Between two runs nobody holds its files, and who opened one then may have written to it.
    """
    done, number = subvolumes.mark(old.top, subvolumes.DONE), os.fstat(old.top).st_ino
    if not (done or subvolumes.is_turning(target, number, back=True)):
        raise HostError(f"{shown} is nothing that vmtune put there: move it away")
    remove_old.hold(old, shown)
    old.found = inventory.survey(old.top)  # under the leases: whoever wrote before shows in it
    remove_old.unchanged_since(old, target, btrfs.subvolume(target).created, shown)
    if not done:
        approve(old.top)


HOLD = 0.25
"""Seconds between exchange and giving up: an opener may sit between finding a name and opening."""

_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_NOATIME | os.O_CLOEXEC

_SPARE_DESCRIPTORS = 1000


def turn(path: str, watch: Reporter) -> None:
    """Make the directory a subvolume with the same in it; on an error it is as was.

    Root only. A failure after the exchange leaves a subvolume that is whole, and
    beside it the directory that it was.
    """
    parent, name = os.path.split(path)
    with ExitStack() as stack:
        within = stack.enter_context(inode.directory(parent))
        source = opened(stack, name, within)
        if subvolumes.mark(source, subvolumes.DONE):  # one that was changed back
            os.removexattr(source, subvolumes.DONE)
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
    """What is in the directory; HostError where the plan would have refused it, had it seen it."""
    status = os.fstat(source)
    if status.st_dev != os.fstat(within).st_dev or status.st_ino == btrfs.FIRST_INODE:
        raise HostError(f"{path} is a mount point or a subvolume by now")
    found = inventory.survey(source)
    if found.count > MOST_ENTRIES:
        raise HostError(f"{path} has more than {MOST_ENTRIES:,} files and directories by now")
    for what, names in (
        ("another subvolume", found.subvolumes),
        ("not readable", found.unseen),
        ("a file with names outside it too", found.outside()),
        ("a socket, FIFO or device", found.special()),
    ):
        if names:
            raise HostError(f"{path} cannot become a subvolume: {names[0]} is {what}")
    if why := inventory.used(found, source):
        raise HostError(f"{path} cannot become a subvolume: {why}", "end that, then run this again")
    return found


@contextmanager
def many_descriptors(number: int) -> Iterator[None]:
    """Two for each file, and some (setrlimit(2)); root may raise its own limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = 2 * number + _SPARE_DESCRIPTORS
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, needed), max(hard, needed)))
    except (OSError, ValueError):
        raise HostError(
            f"{needed:,} open files are needed, and no more than {hard:,} may be had here",
            "raise that (ulimit -Hn; in a container, from outside), then run this again",
        ) from None
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, max(hard, needed)))


def approve(source: int) -> None:
    """The subvolume counts from here on, and the directory that it was is to go."""
    os.setxattr(source, subvolumes.DONE, b"1")
    os.fsync(source)


def accept(target: int) -> None:
    """It is a subvolume like any other."""
    if subvolumes.mark(target, subvolumes.TURNING):
        os.removexattr(target, subvolumes.TURNING)
        os.fsync(target)


class _Turn:
    """One directory on its way."""

    def __init__(self, path: str, within: int, old: Watched, watch: Reporter) -> None:
        self._path, self._within, self._old, self._watch = path, within, old, watch
        self._name = os.path.basename(path)
        self._number = os.fstat(old.top).st_ino
        self._beside = subvolumes.sibling(self._name, self._number)
        self._shown = f"{os.path.dirname(path)}/{self._beside}"

    def run(self) -> None:
        self._sweep()
        with ExitStack() as stack:
            new = self._created(stack)
            with ExitStack() as undo:
                undo.callback(self._destroy, new.top)
                self._fill(new)
                syscalls.exchange(self._within, self._name, self._beside)
                undo.pop_all()
            os.fsync(self._within)
            time.sleep(HOLD)
            if why := self._old.used():
                raise self._backed_out(new, why)
            approve(self._old.top)
            new.release()
            accept(new.top)
            remove_old.remove(self._old, btrfs.subvolume(new.top).created, self._shown)
            os.rmdir(self._beside, dir_fd=self._within)
            os.fsync(self._within)

    def _sweep(self) -> None:
        """What a run that was killed left: clones, and nothing else."""
        with suppress(FileNotFoundError), ExitStack() as stack:
            left = opened(stack, self._beside, self._within)
            if subvolumes.is_turning(left, self._number):
                subvolumes.destroy(self._within, btrfs.subvolume(left).identifier)
            elif subvolumes.left(self._within, self._name, self._number):
                raise HostError(
                    f"{self._shown} is a subvolume that an earlier run left beside {self._path}",
                    f"keep what you need of it, then: btrfs subvolume delete {quote(self._shown)}",
                )
            else:  # killed before it was marked: empty
                os.rmdir(self._beside, dir_fd=self._within)
            os.fsync(self._within)

    def _created(self, stack: ExitStack) -> Watched:
        subvolumes.create(self._within, self._beside, 0o700)
        fd = opened(stack, self._beside, self._within)
        subvolumes.is_new(fd, self._shown)
        try:
            os.setxattr(fd, subvolumes.TURNING, str(self._number).encode())
        except OSError:
            self._destroy(fd)
            raise
        new = Watched(fd, inventory.survey(fd))
        stack.callback(new.release)
        return new

    def _fill(self, new: Watched) -> None:
        try:
            clone_tree.carry(self._old, new, self._going())
        except HostError as refused:
            raise HostError(f"{self._path}/{refused.message}", refused.hint) from None
        files.sync(new.top)
        new.found = inventory.survey(new.top)
        if why := self._old.used():
            raise self._as_before(why)

    def _as_before(self, why: str) -> HostError:
        return HostError(
            f"{self._path} was used while it was being turned: {why}",
            "it is a directory as before; end what uses it, then run this again",
        )

    def _going(self) -> Callable[[str, Entry], None]:
        found = self._old.found
        size, of, done, number = found.size, found.count, 0, 0

        def going(path: str, entry: Entry) -> None:
            nonlocal done, number
            if self._watch.stop():
                raise Cancelled(f"{self._path} is a directory as before")
            number += 1
            mine = entry.size if stat.S_ISREG(entry.format) else 0
            done += mine
            subject = f"{self._path}/{path}"
            self._watch.tell(Progress(subject, "moving", mine, mine, number, of, done, size))

        return going

    def _backed_out(self, new: Watched, why: str) -> HostError:
        """The names changed back, unless that would lose what was written to the new one."""
        what = f"{self._path} was used while it became a subvolume: {why}"
        kept = f"what was written at that moment may be in {self._shown}"
        if not self._are_in_place(self._name, new.top) or new.used():
            return HostError(
                what, f"{kept}: move what you want to keep out of it, then run this again"
            )
        subvolumes.turn_back(new.top, self._number)  # killed from here on, nothing removes it
        syscalls.exchange(self._within, self._name, self._beside)
        os.fsync(self._within)
        if new.used():
            return HostError(
                what,
                f"{kept}, a subvolume: copy what you want to keep into {self._path}, then: "
                f"btrfs subvolume delete {quote(self._shown)}",
            )
        self._destroy(new.top)
        return self._as_before(why)

    def _destroy(self, target: int) -> None:
        if self._are_in_place(self._beside, target):
            subvolumes.destroy(self._within, btrfs.subvolume(target).identifier)
            os.fsync(self._within)

    def _are_in_place(self, name: str, fd: int) -> bool:
        """Whether a name is that of an open directory: others may rename, where they own it."""
        return os.path.samestat(os.lstat(name, dir_fd=self._within), os.fstat(fd))


WRITES: Writes = {Subvolume: put}
