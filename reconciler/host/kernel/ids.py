"""Whose rights this thread has (credentials(7)): the kernel knows them for each thread.

glibc changes those of all threads, and waits until each of them has done so: the threads of a
copy read and write meanwhile, and a slow disk holds each of them up.
"""

from __future__ import annotations

import ctypes
import os
import struct
from typing import TYPE_CHECKING

from reconciler.host.kernel.libc import libc

if TYPE_CHECKING:
    from collections.abc import Sequence

_GENERIC = (159, 149, 147)
_NUMBERS = {
    "x86_64": (116, 119, 117),
    "aarch64": _GENERIC,
    "riscv64": _GENERIC,
    "loongarch64": _GENERIC,
}
"""setgroups, setresgid and setresuid by machine (asm/unistd.h); on others glibc does it."""
_SAME = -1


def become(uid: int, gid: int, groups: Sequence[int]) -> None:
    """From root to somebody else; only what is in effect, so that there is a way back."""
    _set_groups(groups)
    _set_gid(gid)
    _set_uid(uid)


def back(groups: Sequence[int]) -> None:
    """To root again."""
    _set_uid(0)
    _set_gid(0)
    _set_groups(groups)


def _numbers() -> tuple[int, int, int] | None:
    """None for a 32-bit program on such a machine, too: its numbers are others."""
    return _NUMBERS.get(os.uname().machine) if struct.calcsize("P") == 8 else None  # noqa: PLR2004


def _set_groups(groups: Sequence[int]) -> None:
    if numbers := _numbers():
        _call(numbers[0], len(groups), (ctypes.c_uint32 * len(groups))(*groups))
    else:
        os.setgroups(groups)


def _set_gid(gid: int) -> None:
    if numbers := _numbers():
        _call(numbers[1], _SAME, gid, _SAME)
    else:
        os.setegid(gid)


def _set_uid(uid: int) -> None:
    if numbers := _numbers():
        _call(numbers[2], _SAME, uid, _SAME)
    else:
        os.seteuid(uid)


def _call(number: int, *values: int | ctypes.Array[ctypes.c_uint32]) -> None:
    whole = [ctypes.c_long(value) if isinstance(value, int) else value for value in values]
    if libc().syscall(ctypes.c_long(number), *whole):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
