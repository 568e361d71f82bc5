"""How system calls are made that Python has no name for.

Each ioctl is in the module of its header: btrfs.py, inode.py, fiemap.py, namespaces.py. One of
Btrfs that is about a single thing is in the module of that: subvolumes.py, subvolume_list.py,
tree_search.py, sharers.py. What a plan may ask of the kernel is written down a second time, as
ASKING in tests/btrfs/engine/test_plan.py, which traces a plan.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import struct
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


@contextmanager
def closing(fd: int) -> Iterator[int]:
    """Hold a descriptor that was just opened, and close it in the end."""
    try:
        yield fd
    finally:
        os.close(fd)


@cache
def libc() -> ctypes.CDLL:
    """Loaded once: each CDLL makes classes of its own."""
    return ctypes.CDLL(None, use_errno=True)


def checked(result: int, *names: str) -> int:
    """Return what a call of the C library returned; OSError with its errno where that failed.

    ``names`` are the paths that the call was about.
    """
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), *names)
    return result


NONE, WRITE, READ = 0, 1, 2


def number(direction: int, letter: int, index: int, size: int) -> int:
    """The request number; the PowerPC, MIPS, SPARC and Alpha headers lay it out differently."""
    if os.uname().machine.startswith(("ppc", "mips", "sparc", "alpha")):
        bits = {NONE: 1, READ: 2, WRITE: 4, READ | WRITE: 6}[direction] << 29
    else:
        bits = direction << 30
    return bits | size << 16 | letter << 8 | index


def call(fd: int, request: int, buffer: bytearray) -> bytearray:
    """The kernel fills ``buffer``, of any size: fcntl.ioctl copies only mutable ones whole."""
    fcntl.ioctl(fd, request, buffer, True)
    return buffer


def exchange(within: int, one: str, other: str) -> None:
    """Two names in a directory change places: at every instant both are there. OSError."""
    _renameat2(within, one, other, 2)  # RENAME_EXCHANGE


def move(within: int, name: str, to: str) -> None:
    """Rename within a directory; FileExistsError where there is something already."""
    _renameat2(within, name, to, 1)  # RENAME_NOREPLACE


def _renameat2(within: int, one: str, other: str, flags: int) -> None:
    done = libc().renameat2(within, os.fsencode(one), within, os.fsencode(other), flags)
    checked(done, one)


_NAMES = {
    0x9123683E: "btrfs",
    0xEF53: "ext4",
    0x58465342: "xfs",
    0x01021994: "tmpfs",
    0x794C7630: "overlayfs",
    0x2FC12FC1: "zfs",
    0xF2F52010: "f2fs",
    0xCA451A4E: "bcachefs",
    0x6969: "nfs",
    0x65735546: "fuse",
    0xFF534D42: "cifs",
    0x4D44: "vfat",
    0x9FA0: "proc",
    0x62656572: "sysfs",
}


def filesystem_type(path: str) -> str:
    """The type's usual name, or its magic number in hexadecimal; OSError as statfs(2)."""
    buffer = ctypes.create_string_buffer(512)
    checked(libc().statfs(os.fsencode(path), buffer), path)
    magic = ctypes.c_ulong.from_buffer(buffer).value & 0xFFFFFFFF
    return _NAMES.get(magic, hex(magic))


_GENERIC = (159, 149, 147)

_NUMBERS = {
    "x86_64": (116, 119, 117),
    "aarch64": _GENERIC,
    "riscv64": _GENERIC,
    "loongarch64": _GENERIC,
}
"""setgroups, setresgid and setresuid by machine (asm/unistd.h); on others glibc does it."""

_GROUPS, _GID, _UID = 0, 1, 2


def set_thread_ids(uid: int, gid: int, groups: Sequence[int]) -> None:
    """From root to somebody else; only what is in effect, so that there is a way back."""
    _set_groups(groups)
    _set_id(_GID, gid, os.setegid)
    _set_id(_UID, uid, os.seteuid)


def restore_thread_ids(groups: Sequence[int]) -> None:
    """To root again."""
    _set_id(_UID, 0, os.seteuid)
    _set_id(_GID, 0, os.setegid)
    _set_groups(groups)


def _numbers() -> tuple[int, int, int] | None:
    """None for a 32-bit program on such a machine, too: its numbers are others."""
    return _NUMBERS.get(os.uname().machine) if struct.calcsize("P") == 8 else None  # noqa: PLR2004


def _set_groups(groups: Sequence[int]) -> None:
    if numbers := _numbers():
        _call(numbers[_GROUPS], len(groups), (ctypes.c_uint32 * len(groups))(*groups))
    else:
        os.setgroups(groups)


def _set_id(which: int, value: int, by_glibc: Callable[[int], None]) -> None:
    if numbers := _numbers():
        _call(numbers[which], -1, value, -1)  # -1: real and saved one stay
    else:
        by_glibc(value)


def _call(number: int, *values: int | ctypes.Array[ctypes.c_uint32]) -> None:
    whole = [ctypes.c_long(value) if isinstance(value, int) else value for value in values]
    checked(libc().syscall(ctypes.c_long(number), *whole))
