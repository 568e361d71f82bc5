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
    return f"{program(pid) or 'a program'} (pid {pid})"


def program(pid: int | str) -> str:
    """Return the name of a process's program (proc_pid_comm(5)); "" where it ended."""
    with suppress(OSError):
        return whole(f"/proc/{pid}/comm").decode("utf-8", "replace").strip()
    return ""


def superblocks() -> dict[int, bytes]:
    """Return by its mount's number each filesystem's device, as /proc/locks has it: ``00:2d``.

    A Btrfs has another one there, and in mountinfo, than its files have for stat(2).
    """
    found = {}
    for line in whole("/proc/self/mountinfo").split(b"\n")[:-1]:
        mount, _, device, _ = line.split(b" ", 3)
        major, minor = device.split(b":")
        found[int(mount)] = b"%02x:%02x" % (int(major), int(minor))
    return found


def pids() -> list[str]:
    """List the processes that this one sees."""
    return [name for name in os.listdir("/proc") if name.isdecimal()]
