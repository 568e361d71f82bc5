"""How a process is called in what is printed: its program and its number (proc(5), comm)."""

from __future__ import annotations

from contextlib import suppress


def named(pid: int | str) -> str:
    """``qemu-system-x86 (pid 123)``."""
    return f"{_program(pid)} (pid {pid})"


def in_brackets(pid: int | str) -> str:
    """``(pid 123, qemu-system-x86)``, for where it stands behind something else."""
    return f"(pid {pid}, {_program(pid)})"


def _program(pid: int | str) -> str:
    with suppress(OSError), open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
        return file.read().strip()
    return "a program"
