"""What the mounts of one Btrfs make of its compression, one after the other.

A Btrfs that is mounted has one superblock, and so one compression setting, however many of its
subvolumes are mounted. The rules are those of fs/btrfs/super.c, measured on Linux 6.18; the tests
hold them to the running kernel with random sequences of mounts:

- The first mount sets everything, by its own options alone.
- A later mount changes nothing, with one exception: where the filesystem is read-only so far, the
  first writable mount makes it writable, and its algorithm takes the place of the one before.
  Whether there is compression at all stays as it was. So compression that was off stays off; and
  where compression was on and the new mount names none, the kernel shows ``compress=`` with no
  algorithm behind it, and nothing is compressed.
- A remount changes what it names, and keeps the rest.

What one option makes of those before it is in ``datamode``.
"""

from __future__ import annotations

from dataclasses import replace

from reconciler.formats import datamode, options
from reconciler.value import Value

OFF = "off"


class Superblock(Value):
    """One mounted filesystem, as far as it concerns compression.

    ``algorithm`` is "zstd:3", or "" for none. It stays, hidden, where ``nodatacow`` ended
    compression: for the mount that takes it over.
    """

    is_read_only: bool
    mode: datamode.DataMode = datamode.DEFAULT
    algorithm: str = ""

    @property
    def shown(self) -> str:
        """The option as mountinfo shows it; "" for none."""
        compress = self.mode.compress
        return f"{options.name(compress)}={self.algorithm}" if compress else ""

    @property
    def words(self) -> str:
        """What happens to data that is written now: "off", "zstd:3" or "zstd:3, forced"."""
        return OFF if self.mode.plain else live_words(self.shown)


def live_words(shown: str) -> str:
    """An option as mountinfo shows it ("" for none), in words.

    ``compress=`` without an algorithm compresses nothing, other than in /etc/fstab, where it means
    zlib (btrfs(5)).
    """
    name, _, algorithm = shown.partition("=")
    if not name or algorithm in {"", *options.OFF}:
        return OFF
    forced = ", forced" if name == "compress-force" else ""
    return f"{options.LEVELS.get(algorithm, algorithm)}{forced}"


def first(line_options: str, *, is_read_only: bool) -> Superblock:
    """The superblock after the first mount."""
    return _given(Superblock(is_read_only), line_options)


def later(now: Superblock, line_options: str, *, is_read_only: bool) -> Superblock:
    """The superblock after a mount of another subvolume."""
    if is_read_only or not now.is_read_only:
        return now
    own = first(line_options, is_read_only=False)
    return replace(now, is_read_only=False, algorithm=own.algorithm)


def remounted(now: Superblock, line_options: str, *, is_read_only: bool) -> Superblock:
    """The superblock after a remount with these options."""
    return _given(replace(now, is_read_only=is_read_only), line_options)


def _given(block: Superblock, line_options: str) -> Superblock:
    token = options.value(line_options, options.COMPRESS)
    algorithm = block.algorithm if token is None else options.effective(token).partition("=")[2]
    return replace(block, mode=datamode.of_line(line_options, block.mode), algorithm=algorithm)
