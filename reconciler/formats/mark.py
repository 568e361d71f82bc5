"""The first line of every file that is vmtune's alone to write and delete."""

from __future__ import annotations

MARK = "# Made by vmtune. Change vmtune.yaml, not this file."


def is_ours(data: bytes) -> bool:
    """Whether the file was made by vmtune: its first line is the mark."""
    return data.partition(b"\n")[0] == MARK.encode()
