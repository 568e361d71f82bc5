"""Write one image anew, so that its data lies as wanted: a new file takes over the old one's name.

At every instant the name holds one whole image. A write lease on the old file says first that
nobody has the image open. It is turned into a read lease at once, and the read lease is kept until
the old data is given up. So who only reads the image (a backup, lsattr, a pool that is refreshed)
opens the image at any moment without a wait, and disturbs nothing. Who opens the image for
writing, or calls truncate(2), waits until the disk has done what it was asked to last (less than a
second, if the disk is not overloaded), and gets the file they asked for, unharmed; with O_NONBLOCK
they get EWOULDBLOCK instead of the wait. What happens then depends on how far the rewrite is:

    copy         a writer breaks the lease on the old file: nothing was changed, drop the copy
    exchange     the copy is synced, then old and new name change places; both files are under
                 read leases
    hold         the exchange is made durable, for all images of a directory at once; a writer that
                 found the name before the exchange, and only now opens the old file, breaks the
                 old file's lease: change the names back. A writer that opens the new file waits
                 until the old data is given up
    give up      the old file's name is removed, the old file is made immutable, the leases go

A reader that has the old file open when the old data is given up goes on reading the same bytes
from a file that has no name any more. Such a reader could open its descriptor once more for writing
(/proc/PID/fd), and what it wrote would be lost. So the nameless file is immutable: that open fails
with EPERM (inode_permission(9) refuses MAY_WRITE), and nothing is lost without a word.
"""

from __future__ import annotations

import os
import stat
import time
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from reconciler.errors import HostError
from reconciler.facts.images import copy_name, second
from reconciler.formats.sizes import binary
from reconciler.linux import btrfs, copy_metadata, in_use, inode, lease, syscalls
from reconciler.resources.images.copy import (
    Altered,
    Damaged,
    Halted,
    InUse,
    InUseElsewhere,
    Left,
    Linked,
    NoRoom,
    Protected,
    Remaining,
    Twice,
    Unlike,
    Unreadable,
)
from reconciler.resources.images.places import NOCOW, needed
from reconciler.value import Value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from reconciler.linux.tree_walk import Entry
    from reconciler.resources.images.copy import Copier


HOLD = 0.25
"""Seconds between exchange and giving up: an opener may sit between finding a name and opening."""

PASSING = 0.1
"""Seconds for which a program may have the image open that only looks at it in passing."""

_UNFIT = {
    inode.IMMUTABLE: ("immutable (chattr +i)", "`chattr -i` allows it"),
    inode.APPEND: ("append-only (chattr +a)", "`chattr -a` allows it"),
    inode.VERITY: ("sealed by fs-verity", "accept the image with `existing: keep`"),
}


class Changed(Value):
    """An image under its name, and its old data beside it until ``due`` (time.monotonic).

    ``old`` and ``new`` are open for reading only, each under a read lease. ``was`` is the old
    file's status from before the copy, ``since`` its time of change after the exchange.
    """

    within: int
    name: str
    beside: str
    old: int
    new: int
    was: os.stat_result
    since: int = 0
    due: float = 0.0

    def close(self) -> None:
        """Whoever waits goes on."""
        for fd in (self.old, self.new, self.within):
            os.close(fd)


def copy(entry: Entry, aim: str, copier: Copier, going: Callable[[int], None]) -> Changed:
    """Copy a file that the entry alone has open, and name the copy beside it.

    The entry's descriptors are duplicated. ``going`` hears the bytes as they are done, 0 at the
    end, and may raise. Left, OSError or any other exception: nothing is left of the copy.
    """
    with ExitStack() as undo:
        old = _kept(undo, os.dup(entry.fd))
        undo.callback(lease.release, old)
        _claim(old)
        _begin_check(entry, old)
        was = os.fstat(old)
        _has_room(old, was)
        folder = _kept(undo, os.dup(entry.within))
        new = _kept(undo, _blank(folder, was, aim))
        undo.callback(lease.release, old)  # first of all: who waits need not wait for the rest

        def told(size: int) -> None:
            undisturbed(old)
            going(size)

        try:
            copier.copy(old, new, told)
            _make_like(new, old, was)
        except (OSError, Damaged, Unreadable, Unlike):
            undisturbed(old)  # the signal of a lease break interrupts fallocate(2)
            _same_content(old, was)  # a reader may truncate (O_RDONLY | O_TRUNC), under any lease
            raise
        beside = copy_name(was.st_ino, os.fstat(new).st_ino, was.st_mtime_ns)
        name = os.path.basename(entry.path)
        changed = Changed(folder, name, beside, old, new, was)
        told(0)
        _link(changed)
        undo.pop_all()
        return changed


def exchange(image: Changed) -> Changed:
    """Sync the copy, and let both names change places.

    Left, OSError or any other exception: the name holds the same data as before, and the copy is
    gone. Halted: it could not be undone.
    """
    with ExitStack() as undo:
        undo.callback(image.close)
        undo.callback(lease.release, image.old)
        try:
            undisturbed(image.old)  # or who waits would wait for the disk too
            os.fsync(image.new)  # its data, and on Btrfs its name: before it becomes the image
            _unchanged(image)
            with _as_owner(image.within, image.was):
                syscalls.exchange(image.within, image.name, image.beside)
        except BaseException:
            with _undoing(image):
                _drop(image, image.new)
            raise
        try:
            _swapped(image)
            image = replace(image, since=os.fstat(image.old).st_ctime_ns)
            _last_look(image)
        except BaseException as error:
            _back(image, error)
            raise
        undo.pop_all()
        return replace(image, due=time.monotonic() + HOLD)


def finish(image: Changed, *, durable: bool = False) -> None:
    """Give up the old data; InUse where a writer came for the old file, which has its name back.

    Before that the exchange is made durable, unless the directory was synced since it.
    """
    try:
        try:
            if not durable:
                os.fsync(image.within)
            _last_look(image)
            # A look from after the exchange: who found the old file by its name is in it.
            _unused_elsewhere(image.old, image.due - 0.8 * HOLD)
            _last_look(image)  # the look took a while: a writer may have come since
        except BaseException as error:
            _back(image, error)
            raise
        _give_up(image)
    finally:
        image.close()


def _kept(undo: ExitStack, fd: int) -> int:
    undo.callback(os.close, fd)
    return fd


def _begin_check(entry: Entry, fd: int) -> None:
    """Ask, under the lease and before the first byte is read, whether the inode is fit for it."""
    status, flags = os.fstat(fd), inode.flags(fd)
    if not stat.S_ISREG(status.st_mode):
        raise Left("no regular file")
    if status.st_nlink > 1:
        others = ", ".join(btrfs.other_names(fd, entry.path))
        kept = f"its other name in the subvolume, {others}," if others else "its other names"
        raise Linked(f"{status.st_nlink} hard links: {kept} would keep the old data")
    for flag, (word, remedy) in _UNFIT.items():
        if flags & flag:
            raise Protected(f"it is {word}", remedy)
    _unused_elsewhere(fd)


def _claim(old: int) -> None:
    """Make sure that nobody has the image open, also for reading; then let readers come.

    Who has it open only in passing (lsattr, a look of vmtune) is waited for. Between the two
    leases an opener waits some microseconds, and no writer can come: the second lease is refused
    while one waits.
    """
    end = time.monotonic() + PASSING
    while not lease.take(old):
        if time.monotonic() > end:
            raise InUse("in use")
        time.sleep(PASSING / 20)
    if not lease.take(old, lease.READ):
        raise InUse("opened by somebody just now; it is as it was")


def _unused_elsewhere(fd: int, after: float | None = None) -> None:
    """InUseElsewhere where a mount, a handle or a client uses it: no lease tells of those.

    ``after`` (time.monotonic): the look at all mounts must be no older than that.
    """
    if found := in_use.use_unopened(fd, after):
        raise InUseElsewhere(*found)


def undisturbed(old: int) -> None:
    """InUse where a writer came for the image; the writer goes on at once."""
    if not lease.held(old, lease.READ):
        lease.release(old)  # the copy is dropped: nobody need wait for what is under way of it
        raise InUse("opened by somebody while it was copied; it is as it was")


def _same_content(old: int, was: os.stat_result) -> None:
    """Altered where the image's size or time of modification is another one by now."""
    if not copy_metadata.alike(os.fstat(old), was):
        raise Altered("changed by somebody while it was copied; it is as they made it")


def _make_like(new: int, old: int, was: os.stat_result) -> None:
    try:
        copy_metadata.give(new, old, was)
    except HostError as refused:
        raise Unlike(refused.message, refused.hint) from refused


def _has_room(fd: int, was: os.stat_result) -> None:
    """All that it has on disk, once more (st_blocks counts 512 bytes: inode(7))."""
    filesystem, need = os.fstatvfs(fd), was.st_blocks * 512
    free = filesystem.f_bavail * filesystem.f_frsize
    if free < needed(need):
        raise NoRoom(f"not enough space: it needs {binary(needed(need))}, {binary(free)} are free")


def _blank(within: int, was: os.stat_result, aim: str) -> int:
    """A new file without a name, which a kill leaves nothing of; readable by its maker alone."""
    with _as_owner(within, was):
        fd = os.open(".", os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600, dir_fd=within)
    try:
        if not inode.set_nocow(fd, on=aim == NOCOW):  # what is inherited may be otherwise
            raise Unlike("the kernel said yes to the attribute, but did not take it")  # noqa: TRY301
    except BaseException:
        os.close(fd)
        raise
    return fd


def _as_owner(within: int, was: os.stat_result) -> AbstractContextManager[None]:
    """As the user whose directory and file it is; as root where they are not one user's."""
    folder = os.fstat(within)
    return inode.acting_as(folder.st_uid if folder.st_uid == was.st_uid else 0, folder.st_gid)


def _link(image: Changed) -> None:
    """Give the copy its name, under a read lease: anybody may read it, and no writer gets in."""
    _close_for_writing(image.new)
    if not lease.take(image.new) or not lease.take(image.new, lease.READ):
        raise InUse("its copy was opened by somebody; it is as it was")
    with _as_owner(image.within, image.was):
        source = f"/proc/self/fd/{image.new}"
        os.link(source, image.beside, dst_dir_fd=image.within, follow_symlinks=True)


def _close_for_writing(fd: int) -> None:
    """Keep a descriptor's number and file, open for reading only: a read lease wants that."""
    reader = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.dup2(reader, fd, inheritable=False)
    finally:
        os.close(reader)


def _unchanged(image: Changed) -> None:
    """Make sure that no writer opened it, and nobody moved it or changed its owner or the like."""
    if not lease.kept(image.old, lease.READ):
        raise InUse("opened by somebody while it was copied; it is as it was")
    if not _is_at(image, image.name, image.old):
        raise Altered("moved or replaced while it was copied; nothing was changed")
    if not _is_same(image, image.was.st_ctime_ns):
        raise Altered("its owner, mode or links changed while it was copied; it is as they made it")


def _is_same(image: Changed, changed: int) -> bool:
    """Whether the old file is what the copy was made of; ``changed`` is its time of change.

    Another time of change alone says little: a reader that puts the time of access back has one.
    """
    now = os.fstat(image.old)
    if now.st_nlink != 1 or not copy_metadata.alike(now, image.was):
        return False
    return now.st_ctime_ns == changed or copy_metadata.same_attributes(image.new, image.old)


def _last_look(image: Changed) -> None:
    """Make sure that no writer came to the old file, and that it is what the copy was made of.

    That is asked after the exchange, and again right before the old data is given up.
    """
    if not lease.kept(image.old, lease.READ):
        raise InUse("opened by somebody as it was exchanged; it is as it was")
    if not _is_same(image, image.since):
        raise Altered("changed by somebody as it was exchanged; it is as they made it")


def _give_up(image: Changed) -> None:
    """Remove the old file's name; see to it that nobody can write to the file from then on.

    The file is made immutable only now: the kernel removes no name of an immutable file.
    """
    try:
        _drop(image, image.old)
    except OSError as error:
        raise Remaining(
            f"it is rewritten, but its old data, {image.beside!r}, cannot be removed: "
            f"{error.strerror}",
            "apply again: the old data is removed then",
        ) from error
    if not lease.kept(image.old, lease.READ):
        raise Remaining(
            "it is rewritten, but in the moment when its old data was given up a program opened "
            "that for writing, through a descriptor that it had: what it writes is lost",
            "end that program, and have it open the image by its name",
        )


@contextmanager
def _undoing(image: Changed) -> Iterator[None]:
    """Within it any failure but a Left is Halted: then nobody can tell what is where."""
    try:
        yield
    except Left:
        raise
    except Exception as error:
        words = getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"
        raise Halted(
            f"to undo its exchange failed ({words}); {image.name!r} and {image.beside!r} beside it "
            "hold the same image, if both are there"
        ) from error


def _back(image: Changed, cause: BaseException) -> None:
    """Undo the exchange; whoever opened the old file finds that what they write has its name."""
    with _undoing(image):
        if not _is_at(image, image.name, image.new):
            raise _taken(image)
        with _as_owner(image.within, image.was):  # whatever is beside it: also another's new file
            syscalls.exchange(image.within, image.name, image.beside)
        if not _is_at(image, image.beside, image.new):
            raise _taken(image)
        lease.release(image.old)
        os.fsync(image.within)
        time.sleep(HOLD)  # as before giving up the other way round
        if not in_use.use_unopened(image.new, time.monotonic()) and lease.kept(
            image.new, lease.READ
        ):
            _drop(image, image.new)
            return
        kept = second(image.name, os.fstat(image.new).st_ino)
        syscalls.move(image.within, image.beside, kept)
    raise Twice(
        f"opened twice in the moment when it was exchanged: one program has {image.name!r}, "
        f"the other {kept!r}, a copy of it from before",
        "stop both, keep the one that was written to, and remove the other",
    ) from cause


def _drop(image: Changed, fd: int) -> None:
    """Remove the name beside the image, if it is that file's; make the nameless file immutable.

    Who has that file open for reading, or only found it (O_PATH), may try to open it for writing
    later, through /proc/PID/fd: the kernel says EPERM then. It needs CAP_LINUX_IMMUTABLE.
    """
    if not _is_at(image, image.beside, fd):
        raise _taken(image)
    with _as_owner(image.within, image.was):
        os.unlink(image.beside, dir_fd=image.within)
    if not os.fstat(fd).st_nlink:
        with suppress(OSError):
            inode.set_flags(fd, inode.flags(fd) | inode.IMMUTABLE)


def _swapped(image: Changed) -> None:
    """Altered where a file was exchanged that somebody had renamed over the old one just now."""
    if not _is_at(image, image.name, image.new) or not _is_at(image, image.beside, image.old):
        raise Altered("moved or replaced as it was exchanged; it is as they made it")


def _taken(image: Changed) -> Altered:
    return Altered(
        f"somebody moved {image.name!r} or {image.beside!r}, its other copy, as they were "
        "exchanged; nothing was deleted",
        "keep the one that is whole, and remove the other by hand",
    )


def _is_at(image: Changed, name: str, fd: int) -> bool:
    with suppress(FileNotFoundError):
        return os.path.samestat(os.lstat(name, dir_fd=image.within), os.fstat(fd))
    return False
