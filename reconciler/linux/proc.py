"""/proc (proc(5)): whole files of it in as few calls as can be, and what a process is called."""

from __future__ import annotations

import os
from contextlib import suppress

from reconciler.linux.syscalls import closing

_PIECE = 1 << 18


def whole(path: str) -> bytes:
    """Read all of a file of the kernel's; OSError."""
    return drained(os.open(path, os.O_RDONLY | os.O_CLOEXEC))


def drained(fd: int) -> bytes:
    """Read all of an open file of the kernel's, and close it."""
    with closing(fd):
        pieces = []
        while piece := os.read(fd, _PIECE):
            pieces.append(piece)
        return b"".join(pieces)


def field(text: bytes, name: bytes) -> bytes:
    """Return what a file of lines ``name: value`` says; b"" where it has no such line."""
    lines = (line.partition(b":") for line in text.split(b"\n"))
    return next((value.strip() for key, _, value in lines if key == name), b"")


def mount_of(fd: int) -> int:
    """Return the number, as in mountinfo, of the mount that an open file is on."""
    return int(field(whole(f"/proc/self/fdinfo/{fd}"), b"mnt_id"))


def named(pid: int | str) -> str:
    """Name a process by its program and number: ``qemu-system-x86 (pid 123)``."""
    return f"{_program(pid)} (pid {pid})"


def _program(pid: int | str) -> str:
    with suppress(OSError):
        return whole(f"/proc/{pid}/comm").decode("utf-8", "replace").strip()
    return "a program"
