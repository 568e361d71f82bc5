"""Making a path a subvolume, whatever it is now: the Subvolume place."""

from __future__ import annotations

import os
import stat
from contextlib import ExitStack
from typing import TYPE_CHECKING

from reconciler.core.subvolume import DIRECTORY, MISSING, SUBVOLUME
from reconciler.host.in_use import guard
from reconciler.host.kernel import btrfs, inode, lease, subvolume
from reconciler.host.refused import Refused
from reconciler.host.subvolumes import oldtree, subtree, turn
from reconciler.host.subvolumes.stillness import Watched

if TYPE_CHECKING:
    from reconciler.core.subvolume import Subvolume
    from reconciler.core.watch import Watch


def put(place: Subvolume, have: str, want: str, watch: Watch) -> None:
    """Make it, turn a directory into it, finish that, or remove it where it is empty."""
    if want == MISSING:
        _remove(place.path)
    elif want != SUBVOLUME:
        raise Refused(f"{place.path} stays a subvolume: nothing turns it into a directory")
    elif have == MISSING:
        _make(place)
    elif have == DIRECTORY:
        turn.turn(place.path, watch)
    else:
        _finish(place.path)


def _remove(path: str) -> None:
    parent, name = os.path.split(path)
    with inode.directory(parent) as within:
        guard.leave(name, within, path)
        os.rmdir(name, dir_fd=within)  # takes an empty subvolume, since Linux 4.18
        os.fsync(within)


def _make(place: Subvolume) -> None:
    parent, name = os.path.split(place.path)
    with inode.directory(parent) as within, inode.acting_as(place.uid, place.gid):
        subvolume.create(within, name, place.mode)
        with inode.opened(name, within, os.O_DIRECTORY) as fd:
            subvolume.is_new(fd, place.path)
            if os.fstat(fd).st_gid != place.gid:
                os.fchown(fd, place.uid, place.gid)
            if stat.S_IMODE(os.fstat(fd).st_mode) != place.mode:
                os.fchmod(fd, place.mode)
            inode.clear_compression(fd)  # inherited from the subvolume that it is in
            os.fsync(fd)
        os.fsync(within)


def _finish(path: str) -> None:
    """Remove the directory that a path was before it became a subvolume; Refused if it changed."""
    parent, name = os.path.split(path)
    with ExitStack() as stack:
        within = stack.enter_context(inode.directory(parent))
        target = turn.opened(stack, name, within)
        beside = subvolume.old(within, name)
        source = turn.opened(stack, beside, within)
        os.fsync(within)  # who was killed may have exchanged the two and no more
        stack.enter_context(lease.unharmed())
        old = Watched(source, subtree.survey(source))
        stack.callback(old.release)
        stack.enter_context(turn.many_descriptors(old.found.files))
        _approve(old, target, f"{parent}/{beside}")
        turn.accept(target)
        oldtree.remove(old, btrfs.created(target), f"{parent}/{beside}")
        os.rmdir(beside, dir_fd=within)
        os.fsync(within)


def _approve(old: Watched, target: int, shown: str) -> None:
    """Mark it as gone, where nothing is lost with it; asked again where it was marked before.

    Between two runs nobody holds its files, and who opened one then may have written to it.
    """
    done, number = subvolume.mark(old.top, subvolume.DONE), os.fstat(old.top).st_ino
    if not (done or subvolume.is_turning(target, number, back=True)):
        raise Refused(f"{shown} is nothing that vmtune put there: move it away")
    oldtree.hold(old, shown)
    old.found = subtree.survey(old.top)  # under the leases: whoever wrote before shows in it
    oldtree.unchanged_since(old, target, btrfs.created(target), shown)
    if not done:
        turn.approve(old.top)
