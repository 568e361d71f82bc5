"""The data of one image into another file, each piece read back, and why that cannot be done.

Holes are kept. Each reason for which an image is left has its own remedy.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import heapq
import mmap
import os
import queue
from collections import deque
from concurrent.futures import ThreadPoolExecutor, wait
from shlex import quote
from threading import Barrier
from typing import TYPE_CHECKING, ClassVar, Self

from reconciler.errors import HostError
from reconciler.linux import btrfs, extents, inode, syscalls
from reconciler.resources.images.places import ELSEWHERE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future


Range = tuple[int, int]
"""Start and length, in bytes."""

PIECE = 512 << 10

IN_FLIGHT = 4
"""Pieces under way at once; each has two buffers.

What is under way is what a machine beside it waits for with each write. 2 MiB keep a disk busy;
with 32 MiB a write waited eight times as long as beside cp(1) (docs/performance.md).
"""

_libc = ctypes.CDLL(None, use_errno=True)  # releases the interpreter while it works

_libc.memcmp.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]


class _Buffer:
    """One piece, on page boundaries as O_DIRECT wants it."""

    def __init__(self) -> None:
        self.view = memoryview(mmap.mmap(-1, PIECE))
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(self.view))


class Copier:
    """Threads and buffers that copy one file after the other."""

    def __enter__(self) -> Self:
        self._pool = ThreadPoolExecutor(IN_FLIGHT)
        self._is_ready = False
        self._buffers: queue.SimpleQueue[tuple[_Buffer, _Buffer]] = queue.SimpleQueue()
        for _ in range(IN_FLIGHT):
            self._buffers.put((_Buffer(), _Buffer()))
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()

    def copy(self, source: int, target: int, going: Callable[[int], None]) -> None:
        """Copy all data and preallocated space of ``source`` into the empty file ``target``.

        ``going`` hears the bytes of each piece that is done, 0 while one takes long, and may
        raise to end the copy.
        OSError as read(2), write(2), fallocate(2); Unreadable, Damaged, TooLarge; HostError. When
        the copy ends, either way, nothing is under way any more. Nobody else may write to either.
        """
        status = os.fstat(source)
        block = max(status.st_blksize, mmap.PAGESIZE)
        if status.st_size > 2**63 - 1 - block:  # MAX_LFS_FILESIZE
            raise TooLarge(f"it has {status.st_size:,} bytes, nearly the most that there can be")
        for fd, more in ((source, os.O_NOATIME), (target, 0)):
            flags = fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_DIRECT | more
            fcntl.fcntl(fd, fcntl.F_SETFL, flags)
        # In whole blocks, as O_DIRECT writes: and below the end many may write at once.
        os.ftruncate(target, -(-status.st_size // block) * block)
        ranges = _ranges(source, target, status.st_size, block)
        self._pieces(ranges, source, target, block, going)
        os.ftruncate(target, status.st_size)  # which frees what is behind the end
        for start, length in extents.preallocated_ranges(source):
            if start + length > status.st_size:
                _fallocate(target, start, length)

    def _pieces(
        self,
        ranges: Iterator[Range],
        source: int,
        target: int,
        block: int,
        going: Callable[[int], None],
    ) -> None:
        under_way: deque[Future[int]] = deque()

        def one(at: int, size: int) -> int:
            return self._piece(source, target, at, size, block)

        try:
            for number, (at, size) in enumerate(_cut(ranges)):
                if not number:
                    going(one(at, size))  # a small file needs no other thread
                    continue
                self._ready()
                if len(under_way) == 2 * IN_FLIGHT:
                    going(_awaited(under_way.popleft(), going))
                under_way.append(self._pool.submit(one, at, size))
            while under_way:
                going(_awaited(under_way.popleft(), going))
        finally:
            for piece in under_way:
                piece.cancel()
            for piece in under_way:
                piece.exception() if not piece.cancelled() else None

    def _ready(self) -> None:
        """Have all threads, before they get a piece.

        One that cannot be started would leave its piece behind, to be done when its
        descriptors may be those of other files.
        """
        if not self._is_ready:
            together = Barrier(IN_FLIGHT)
            try:
                for _ in range(IN_FLIGHT):
                    self._pool.submit(together.wait)
            except RuntimeError:
                together.abort()
                raise HostError(
                    "the system allows no more threads",
                    "see `ulimit -u`, and pids.max of the control group",
                ) from None
            self._is_ready = True

    def _piece(self, source: int, target: int, at: int, size: int, block: int) -> int:
        """Read, write, read back, compare: ``size`` bytes, but the last block in whole."""
        pair = self._buffers.get()
        try:
            first, second = pair
            whole = -(-size // block) * block
            _read_source(source, first, at, size, block)
            first.view[size:whole] = bytes(whole - size)
            _write(target, first, at, whole)
            _read(target, second, at, whole, whole)
            if _libc.memcmp(first.address, second.address, whole):
                raise Damaged(f"what was written at byte {at:,} reads back as something else")
        finally:
            self._buffers.put(pair)
        return size


def _awaited(piece: Future[int], going: Callable[[int], None]) -> int:
    while not wait([piece], 0.1).done:  # a slow disk takes longer for one
        going(0)
    return piece.result()


def _ranges(source: int, target: int, size: int, block: int) -> Iterator[Range]:
    """Where data is, each range with its space made sure of: it lies better, and cannot fail.

    Space that was never written comes along with the data beside it: qemu preallocates what is
    around each write to a qcow2 image, and apart from that every write would be a fragment.
    """
    spaces, end = _spaces(source, size, block), 0
    for start, length in _data(source, size):
        while end <= start:
            at, more = next(spaces, (start, length))
            _fallocate(target, at, more)
            end = at + more
        yield start, length
    for at, more in spaces:
        _fallocate(target, at, more)


def _spaces(fd: int, size: int, block: int) -> Iterator[Range]:
    """Data and preallocated space in order, in whole blocks, neighbours as one."""
    begin = end = 0
    for start, length in heapq.merge(_data(fd, size), extents.preallocated_ranges(fd)):
        if start > end:
            if end > begin:
                yield begin, end - begin
            begin = start
        end = -(-(start + length) // block) * block
    if end > begin:
        yield begin, end - begin


def _data(fd: int, size: int) -> Iterator[Range]:
    """Byte ranges of a file that hold data (lseek(2), SEEK_DATA), up to its end."""
    at = 0
    while at < size:
        try:
            start = os.lseek(fd, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return
            raise
        at = min(os.lseek(fd, start, os.SEEK_HOLE), size)
        yield start, at - start


def _cut(ranges: Iterator[Range]) -> Iterator[Range]:
    for start, length in ranges:
        end = start + length
        for at in range(start, end, PIECE):
            yield at, min(PIECE, end - at)


def _fallocate(fd: int, start: int, length: int) -> None:
    """Space that is the file's, without a change of its size (fallocate(2))."""
    keep_size = 0x01
    offsets = (ctypes.c_int64(start), ctypes.c_int64(length))
    syscalls.checked(_libc.fallocate64(fd, keep_size, *offsets))


def _read_source(fd: int, buffer: _Buffer, at: int, size: int, block: int) -> None:
    """Read a piece of the image; Unreadable names the first byte that the disk does not give.

    A large read says only that something in it is damaged, so each block is asked for then.
    Where every block can be read after all, the first answer stands: such a disk is not trusted.
    """
    try:
        _read(fd, buffer, at, size, -(-size // block) * block)
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        for start in range(at, at + size, block):
            try:
                os.preadv(fd, [buffer.view[:block]], start)
            except OSError as again:
                if again.errno != errno.EIO:
                    raise
                raise Unreadable(
                    f"cannot be read at byte {start:,}: the data on disk is damaged (its checksum "
                    "does not match, or the disk does not read it)"
                ) from None
        raise


def _read(fd: int, buffer: _Buffer, at: int, size: int, whole: int) -> None:
    """At least ``size`` bytes; the file may end there, within the last of ``whole`` blocks."""
    done = 0
    while done < size:
        got = os.preadv(fd, [buffer.view[done:whole]], at + done)
        if not got:
            raise Damaged(f"the file ends at byte {at + done:,}, and should not")
        done += got


def _write(fd: int, buffer: _Buffer, at: int, size: int) -> None:
    done = 0
    while done < size:
        done += os.pwritev(fd, [buffer.view[done:size]], at + done)


class Left(HostError):
    """One image that is left as it was; the message says why, the hint what to do about it."""

    code: str = ""
    """What `vmtune explain` knows the reason by; "" where there is none."""
    remedy: ClassVar[str] = ""
    is_as_it_was: ClassVar[bool] = True

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint or self.remedy)


class InUse(Left):
    """Somebody has the image open, or opened the image for writing meanwhile."""

    code = "V702"
    remedy = "shut down or close what uses the image, then apply again"


class InUseElsewhere(InUse):
    """Somebody uses the image without opening it; ``sort`` is a word of ELSEWHERE."""

    def __init__(self, sort: str, message: str) -> None:
        super().__init__(message, ELSEWHERE[sort])
        codes = {"open": "V702", "mounted": "V713", "exported": "V714", "unseen": "V715"}
        self.code = codes[sort]


class Linked(Left):
    """The image has other names, which would go on naming the old data."""

    code = "V703"
    remedy = "keep one name, or accept the image with `existing: keep`"


class Protected(Left):
    """The kernel does not let the image's name go."""

    code = "V704"


class NoRoom(Left):
    """Another copy of the image does not fit, or not yet."""

    code = "V706"
    remedy = "make room, or move the image to another disk"


class NoQuota(Left):
    """A quota does not allow another copy of the image."""

    code = "V717"


class Unreadable(Left):
    """The disk does not give the image's data, or data that fails its checksum."""

    code = "V716"
    remedy = "restore it from a backup, or accept it: `existing: keep`"


class Damaged(Left):
    """What was read back is not what was written, or the disk failed in another way."""

    code = "V718"
    remedy = "look at what the kernel says of the disk (dmesg), then apply again"


class Altered(Left):
    """The image was moved, or its owner, mode, links or content changed, meanwhile."""

    code = "V719"
    remedy = "apply again once nothing changes the image any more"


class Unlike(Left):
    """Another file cannot be made like the image."""

    code = "V721"
    remedy = "accept the image with `existing: keep`"


class TooLarge(Left):
    """The image ends so near to the largest size there is that no whole block fits behind it."""

    code = "V722"
    remedy = "accept the image with `existing: keep`, or make it smaller (truncate(1))"


class Twice(Left):
    """Two programs opened the two files to write: both stay, under different names."""

    code = "V711"
    is_as_it_was = False


class Remaining(Left):
    """The image is rewritten, but its old data is not simply gone."""

    code = "V724"
    is_as_it_was = False


class Halted(Left):
    """Undoing failed: two names hold the image, and no further image is begun."""

    code = "V724"
    is_as_it_was = False
    remedy = "compare the two (cmp), keep one under the image's name, and remove the other"


class _Fault(Left):
    code = "V723"
    remedy = "report it with these words; the image can stay as it is with `existing: keep`"


def is_full(error: Exception) -> bool:
    """Tell whether room was missing, so that another try may go well once room is free."""
    is_refused = isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}
    return isinstance(error, NoRoom) or is_refused


def reason_of(error: Exception, below: str) -> Left:
    """Name the reason of any exception that a rewrite ended with; ``below`` is the place's path."""
    if isinstance(error, Left):
        return error
    if isinstance(error, HostError):
        return Left(error.message, error.hint)
    if not isinstance(error, OSError):
        words = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        return _Fault(f"{words}; it is as it was")
    if error.errno == errno.EROFS:
        return Protected("its subvolume is read-only", "make the subvolume writable, apply again")
    if error.errno == errno.ENOSPC:
        return NoRoom("not enough space for its copy")
    if error.errno == errno.EDQUOT:
        return _quota(below)
    if error.errno in {errno.EPERM, errno.EACCES, errno.EOPNOTSUPP, errno.EINVAL}:
        return Unlike(f"the kernel does not allow it: {error.strerror}; it is as it was")
    return Damaged(f"{error.strerror}; it is as it was")


def _quota(below: str) -> NoQuota:
    """EDQUOT does not say which quota: the subvolume's own, or one that is above it."""
    try:
        with inode.directory(below) as fd:
            name = f"qgroup 0/{btrfs.subvolume(fd).identifier}, or one above it"
    except OSError:
        name = "its qgroup, or one above it"
    return NoQuota(
        f"the quota of its subvolume ({name}) has no space for its copy",
        f"`btrfs qgroup show -re {quote(below)}` shows the limits: raise one with "
        "`btrfs qgroup limit`",
    )
