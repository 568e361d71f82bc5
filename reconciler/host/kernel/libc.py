"""The C library, for system calls that Python has no name for."""

from __future__ import annotations

import ctypes
from functools import cache


@cache
def libc() -> ctypes.CDLL:
    """Loaded once: each CDLL makes classes of its own."""
    return ctypes.CDLL(None, use_errno=True)
