"""The configuration of btrfsmaintenance: shell assignments that name what its jobs work on."""

from __future__ import annotations

import shlex
from contextlib import suppress

from reconciler.value import Value

PATHS, _PERIOD = "BTRFS_DEFRAG_PATHS", "BTRFS_DEFRAG_PERIOD"

AUTO = "auto"
"""In place of a path: every Btrfs that is mounted."""


class Defrag(Value):
    """``line`` counts from 1; ``period`` is "none", or a word such as "weekly" or OnCalendar."""

    line: int
    paths: tuple[str, ...]
    period: str


def defrag(data: bytes) -> Defrag | None:
    """Return what is defragmented, and how often; None where it names no path."""
    paths, period, at = "", "none", 0
    for number, line in enumerate(data.decode("utf-8", "surrogateescape").split("\n"), 1):
        with suppress(ValueError):  # a quote that is not closed
            for word in shlex.split(line, comments=True):
                name, _, value = word.partition("=")
                if name == PATHS:
                    paths, at = value, number
                elif name == _PERIOD:
                    period = value
    found = tuple(filter(None, paths.split(":")))
    return Defrag(at, found, period or "none") if found else None
