"""Renaming with renameat2(2), which Python does not expose."""

from __future__ import annotations

import ctypes
import os

_NOREPLACE, _EXCHANGE = 1, 2


def exchange(within: int, one: str, other: str) -> None:
    """Two names in a directory change places: at every instant both are there. OSError."""
    _renameat2(within, one, other, _EXCHANGE)


def move(within: int, name: str, to: str) -> None:
    """Rename within a directory; FileExistsError where there is something already."""
    _renameat2(within, name, to, _NOREPLACE)


def _renameat2(within: int, one: str, other: str, flags: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(within, os.fsencode(one), within, os.fsencode(other), flags):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), one)
