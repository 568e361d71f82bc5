"""One image written anew, so that its data lies as wanted: the old file's name gets a new file.

At every instant the name holds one whole image. Before the first byte is read a write lease
says that nobody has the file open; it is kept until the old data is given up. Who opens the
image meanwhile waits, until the disk has done what it was asked to last (less than a second, if
it is not overloaded), and gets the file they asked for, unharmed. Only who opens it with
O_NONBLOCK does not wait, but gets EWOULDBLOCK:

    copy         the lease on the old file is broken: nothing was changed, drop the copy
    exchange     the copy is synced, then old and new name change places, both under leases
    hold         the exchange is made durable, for all images of a directory at once;
                 an opener that found the name before the exchange, and only now waits, breaks
                 the old file's lease: change back (nobody can have written to the new one)
    give up      the old file's name is removed, then the leases go
"""

from __future__ import annotations

import errno
import os
import stat
import time
from contextlib import AbstractContextManager, ExitStack, suppress

from reconciler.core.images import NOCOW, needed, second, stray
from reconciler.core.sizes import binary
from reconciler.host.in_use import guard
from reconciler.host.kernel import inode, lease, renaming
from reconciler.host.refused import Refused
from reconciler.host.rewriting import likeness
from reconciler.value import dataclass, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from reconciler.host.directories.tree import Entry
    from reconciler.host.rewriting.copying import Copier

HOLD = 0.25
"""Seconds between exchange and giving up: an opener may sit between finding a name and opening."""
FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_VERITY = 0x00100000  # FS_VERITY_FL
_UNFIT = {
    inode.IMMUTABLE: "immutable (chattr +i)",
    inode.APPEND: "append-only (chattr +a)",
    _VERITY: "sealed by fs-verity",
}


class InUse(Refused):
    """Somebody has the image open, or opened it meanwhile."""


class InUseElsewhere(InUse):
    """Somebody uses the image without opening it; ``sort`` is guard's word for how."""

    def __init__(self, sort: str, message: str) -> None:
        super().__init__(message)
        self.sort = sort


class NoRoom(Refused):
    """Another copy of the image does not fit, or not yet."""


class Linked(Refused):
    """It has other names, which would go on naming the old data."""


class Protected(Refused):
    """The kernel will not let its name go."""


@dataclass(frozen=True, slots=True)
class Changed:
    """An image under its name, and its old data beside it until ``due`` (time.monotonic)."""

    within: int
    name: str
    beside: str
    old: int
    new: int
    was: os.stat_result
    due: float = 0.0

    def close(self) -> None:
        """Whoever waits goes on."""
        for fd in (self.old, self.new, self.within):
            os.close(fd)


def copy(entry: Entry, aim: str, copier: Copier, going: Callable[[int], None]) -> Changed:
    """Copy a file that the entry alone has open, and name the copy beside it.

    Its descriptors are duplicated. ``going`` hears the bytes as they are done, 0 at the end,
    and may raise. Refused, OSError, Damaged: nothing is left of the copy.
    """
    with ExitStack() as undo:
        old = _kept(undo, os.dup(entry.fd))
        _fit(os.fstat(old), inode.flags(old))
        if not lease.take(old):
            raise InUse("in use")
        undo.callback(lease.release, old)  # first of all: who waits need not wait for the rest
        _unused_elsewhere(old)
        was = os.fstat(old)
        _has_room(old, was)
        folder = _kept(undo, os.dup(entry.within))
        new = _kept(undo, _blank(folder, was, aim))
        undo.callback(lease.release, old)

        def told(size: int) -> None:
            undisturbed(old)
            going(size)

        copier.copy(old, new, told)
        likeness.give(new, old, was)
        beside = stray(was.st_ino, os.fstat(new).st_ino, was.st_mtime_ns)
        name = os.path.basename(entry.path)
        changed = Changed(folder, name, beside, old, new, was)
        told(0)
        _link(changed)
        undo.pop_all()
        return changed


def exchange(image: Changed, sync: Callable[[], object]) -> Changed:
    """Let both names change places once ``sync`` has put the copy on disk, as fsync(2) does.

    Refused, OSError: the name holds the same data as before, and the copy is gone.
    """
    with ExitStack() as undo:
        undo.callback(image.close)
        undo.callback(lease.release, image.old)
        try:
            sync()  # its data, and on Btrfs its name: before it becomes the image
            _unchanged(image)
            with _as_owner(image.within, image.was):
                renaming.exchange(image.within, image.name, image.beside)
        except BaseException:
            _drop(image, image.new)
            raise
        try:
            _astray(image, image.new, image.old)
            _last_look(image)
        except (OSError, InUse):
            _back(image)
            raise
        undo.pop_all()
        return replace(image, due=time.monotonic() + HOLD)


def _kept(undo: ExitStack, fd: int) -> int:
    undo.callback(os.close, fd)
    return fd


def _fit(status: os.stat_result, flags: int) -> None:
    """Refused where its inode says that it cannot be rewritten."""
    if not stat.S_ISREG(status.st_mode):
        raise Refused("no regular file")
    if status.st_nlink > 1:
        raise Linked(f"{status.st_nlink} hard links: its other names would keep the old data")
    for flag, word in _UNFIT.items():
        if flags & flag:
            raise Protected(f"it is {word}")


def undisturbed(old: int) -> None:
    """InUse where somebody came for the image; they go on at once."""
    if not lease.held(old):
        lease.release(old)  # the copy is dropped: nobody need wait for what is under way of it
        raise InUse("opened by somebody while it was copied; it is as it was")


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
        if aim == NOCOW:
            inode.clear_compression(fd)  # inherited; next to it nocow is refused
        value = inode.flags(fd)
        wanted = value | inode.NOCOW if aim == NOCOW else value & ~inode.NOCOW
        if wanted != value and not inode.set_flags(fd, wanted):
            raise Refused("the kernel said yes to the attribute, but did not take it")  # noqa: TRY301
    except BaseException:
        os.close(fd)
        raise
    return fd


def _as_owner(within: int, was: os.stat_result) -> AbstractContextManager[None]:
    """As the user whose directory and file it is; as root where they are not one user's."""
    folder = os.fstat(within)
    return inode.acting_as(folder.st_uid if folder.st_uid == was.st_uid else 0, folder.st_gid)


def _link(image: Changed) -> None:
    if not lease.take(image.new):
        raise InUse("its copy was opened by somebody")
    with _as_owner(image.within, image.was):
        source = f"/proc/self/fd/{image.new}"
        os.link(source, image.beside, dst_dir_fd=image.within, follow_symlinks=True)


def _unchanged(image: Changed) -> None:
    """Nobody opened it, moved it, or changed its owner or the like while it was copied."""
    if not lease.kept(image.old):
        raise InUse("opened by somebody while it was copied; it is as it was")
    now = os.fstat(image.old)  # not before: who had it open until then may have written to it
    if not _is_at(image, image.name, image.old):
        raise Refused("moved or replaced while it was copied; nothing was changed")
    if (now.st_ctime_ns, now.st_nlink) != (image.was.st_ctime_ns, image.was.st_nlink):
        raise Refused("its owner, mode or links changed while it was copied; it is as it was")


def _last_look(image: Changed) -> None:
    if not lease.kept(image.old):
        raise InUse("opened by somebody as it was exchanged; it is as it was")
    now = os.fstat(image.old)
    if now.st_nlink != 1 or not likeness.alike(now, image.was):
        raise InUse("changed by somebody as it was exchanged; it is as it was")


def finish(image: Changed, *, durable: bool = False) -> None:
    """Give up the old data; InUse where someone came for it, and it has its name back.

    Before that the exchange is made durable, unless the directory was synced since it.
    """
    try:
        try:
            if not durable:
                os.fsync(image.within)
            _last_look(image)
            _unused_elsewhere(image.old, image.due - 0.8 * HOLD)
            _last_look(image)  # that took a while: nobody may have come for it since
        except (OSError, InUse):
            _back(image)
            raise
        _drop(image, image.old)
    finally:
        image.close()


def _back(image: Changed) -> None:
    """Undo the exchange; whoever opened the old file finds that what they write has its name."""
    _astray(image, image.new, image.old)
    with _as_owner(image.within, image.was):
        renaming.exchange(image.within, image.name, image.beside)
    _astray(image, image.old, image.new)
    lease.release(image.old)
    os.fsync(image.within)
    time.sleep(HOLD)  # as before giving up the other way round
    if not guard.use(image.new, time.monotonic()) and lease.kept(image.new):
        _drop(image, image.new)
        return
    kept = second(image.name, os.fstat(image.new).st_ino)
    renaming.move(image.within, image.beside, kept)
    raise Refused(
        f"opened twice in the moment when it was exchanged: one program has {image.name!r}, "
        f"the other {kept!r}, a copy of it from before",
        "stop both, keep the one that was written to, and remove the other",
    )


def _unused_elsewhere(fd: int, after: float | None = None) -> None:
    """InUseElsewhere where a mount, a handle or a client uses it: no lease tells of those."""
    if found := guard.use(fd, after):
        raise InUseElsewhere(found.sort, found.words)


def _drop(image: Changed, fd: int) -> None:
    """Remove the name beside the image, if it is that file's."""
    if not _is_at(image, image.beside, fd):
        raise _taken(image)
    with _as_owner(image.within, image.was):
        os.unlink(image.beside, dir_fd=image.within)


def _astray(image: Changed, named: int, beside: int) -> None:
    if not _is_at(image, image.name, named) or not _is_at(image, image.beside, beside):
        raise _taken(image)


def _taken(image: Changed) -> Refused:
    return Refused(
        f"somebody moved {image.name!r} or {image.beside!r}, its other copy, as they were "
        "exchanged; nothing was deleted",
        "keep the one that is whole, and remove the other by hand",
    )


def _is_at(image: Changed, name: str, fd: int) -> bool:
    with suppress(FileNotFoundError):
        there, wanted = os.lstat(name, dir_fd=image.within), os.fstat(fd)
        return (there.st_dev, there.st_ino) == (wanted.st_dev, wanted.st_ino)
    return False


def why(error: OSError) -> str:
    """What a system call's error means for one image."""
    if error.errno == errno.EROFS:
        return "its subvolume is read-only"
    if error.errno in FULL:
        return "not enough space (or quota) for its copy"
    return f"{error.strerror}; it is as it was"
