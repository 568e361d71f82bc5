"""Doing a trial: files without a name (O_TMPFILE), so that nothing is left even after a kill.

What the disk below it did is read from sysfs (Documentation/block/stat.rst).
"""

from __future__ import annotations

import os
import random
import time
from typing import TYPE_CHECKING

from reconciler.errors import HostError
from reconciler.facts.benchmark import BLOCK, EVERY, NOCOW, Room, Sample, order
from reconciler.facts.limits import ZONED
from reconciler.linux import btrfs, extents, files, inode, syscalls, trees

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from reconciler.facts.benchmark import Shape


_CHUNK = 1 << 20


class Trial:
    """A place to measure in: ``path`` must be a directory on Btrfs that the caller may write."""

    def __init__(self, path: str) -> None:
        """Look, and leave nothing; HostError says why it cannot be done there."""
        try:
            kind = syscalls.filesystem_type(path)
            if kind != "btrfs":
                raise HostError(f"{path} is on {kind}, not Btrfs: there is nothing to compare")
            if not os.path.isdir(path):
                raise HostError(f"{path} is no directory", "name the directory of the images")
            real = os.path.realpath(path)
            if trees.is_stub(real, os.stat(real)):
                raise trees.stub_refused(real)
            with inode.opened(real, extra=os.O_DIRECTORY) as fd:
                if btrfs.is_zoned(fd):
                    raise HostError(f"{path}: {ZONED}: there is nothing to compare")
                self._devices = btrfs.device_links(fd)
        except OSError as error:
            raise HostError(f"{path}: {error.strerror}") from None
        self._path = path
        try:
            os.close(self._file())
        except OSError as error:
            hint = "no file can be made there: name a directory that you may write to"
            raise HostError(f"{path}: {error.strerror}", hint) from None

    def room(self) -> Room:
        """Space as ordinary users have it, and whether the disks turn."""
        found = os.statvfs(self._path)
        size, free = found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize
        turning = [_turns(os.path.realpath(link)) for link in self._devices]
        return Room(free, size, None if not turning or None in turning else any(turning))

    def others(self) -> int | None:
        """Bytes a second that others write to the disks; None where the disks do not say."""
        files.sync_filesystem(self._path)
        before = self._written()
        time.sleep(1)
        return self._since(before)

    def run(self, shape: Shape, told: Callable[[int, str], None]) -> Iterator[Sample]:
        """One sample after the other; ``told`` hears the number of each, and its sort."""
        for number, kind in enumerate(order(shape.rounds)):
            told(number + 1, kind)
            # Both samples of a round write the same blocks: ratios are told by the round.
            chance = random.Random(number // 2)  # noqa: S311 - not for secrets
            try:
                yield self._sample(kind, shape, chance)
            except OSError as error:
                raise HostError(
                    f"{self._path}: {error.strerror}", "nothing was left there"
                ) from None

    def _file(self) -> int:
        """A new file without a name."""
        return os.open(self._path, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)

    def _sample(self, kind: str, shape: Shape, chance: random.Random) -> Sample:
        with syscalls.closing(self._file()) as fd:
            if not inode.set_nocow(fd, on=kind == NOCOW):
                raise HostError(f"the kernel did not make a new file {kind} here")
            _fill(fd, shape.size, chance)
            files.sync_filesystem(self._path)
            before = self._written()
            seconds = _scatter(fd, shape, chance)
            files.sync_filesystem(self._path)
            device = self._since(before)
            fragments = extents.sums(fd, shape.size).fragments
            payload = shape.writes * BLOCK
            return Sample(kind, payload, seconds, device, fragments, _read(fd, shape.size))

    def _written(self) -> int | None:
        """Bytes ever written to the devices together; None where one does not say."""
        total = 0
        for link in self._devices:
            fields = files.read_gone(f"{link}/stat").split()
            if len(fields) < 7:  # noqa: PLR2004 - the seventh is sectors written
                return None
            total += int(fields[6]) * 512
        return total if self._devices else None

    def _since(self, before: int | None) -> int | None:
        now = self._written()
        return None if before is None or now is None else now - before


def _fill(fd: int, size: int, chance: random.Random) -> None:
    """From end to end, with bytes that no compression makes smaller."""
    at = 0
    while at < size:
        at += os.pwrite(fd, chance.randbytes(min(_CHUNK, size - at)), at)
    os.fsync(fd)


def _scatter(fd: int, shape: Shape, chance: random.Random) -> float:
    """Random blocks, an fsync after each EVERY; the seconds it took."""
    last = shape.size // BLOCK
    blocks = [chance.randrange(last) * BLOCK for _ in range(shape.writes)]
    data = [chance.randbytes(BLOCK) for _ in range(EVERY)]
    begun = time.perf_counter()
    for number, at in enumerate(blocks, 1):
        os.pwrite(fd, data[number % EVERY], at)
        if number % EVERY == 0:
            os.fsync(fd)
    os.fsync(fd)
    return time.perf_counter() - begun


def _read(fd: int, size: int) -> float:
    """From end to end, from the disk as far as the kernel lets go of its cache: bytes a second."""
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    buffer, at, begun = bytearray(_CHUNK), 0, time.perf_counter()
    while at < size and (got := os.preadv(fd, [buffer], at)):
        at += got
    return at / (time.perf_counter() - begun)


def _turns(folder: str) -> bool | None:
    """A partition's queue is that of its disk."""
    for place in (folder, os.path.dirname(folder)):
        if said := files.read_gone(f"{place}/queue/rotational").strip():
            return said == b"1"
    return None
