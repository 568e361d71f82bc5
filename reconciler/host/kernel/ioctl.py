"""ioctl(2) numbers and calls, as <asm-generic/ioctl.h> composes them."""

from __future__ import annotations

import fcntl
import os

NONE, WRITE, READ = 0, 1, 2
_IS_OTHER = os.uname().machine.startswith(("ppc", "mips", "sparc", "alpha"))


def number(direction: int, letter: int, index: int, size: int) -> int:
    """The request number; the PowerPC, MIPS, SPARC and Alpha headers lay it out differently."""
    if _IS_OTHER:
        bits = {NONE: 1, READ: 2, WRITE: 4, READ | WRITE: 6}[direction] << 29
    else:
        bits = direction << 30
    return bits | size << 16 | letter << 8 | index


def call(fd: int, request: int, buffer: bytearray) -> bytearray:
    """The kernel fills ``buffer``, of any size: fcntl.ioctl copies only mutable ones whole."""
    fcntl.ioctl(fd, request, buffer, True)
    return buffer
