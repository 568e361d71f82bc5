"""Who has a file that a look did not open: a run of vmtune that rewrites it, or another program."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from reconciler.core.tree import NAMED, Busy
from reconciler.host.kernel import leased
from reconciler.host.kernel.proc import named

if TYPE_CHECKING:
    from collections.abc import Mapping

_RUNS = "/var/lib/vmtune/runs"
"""One file for each run, named by its number: the same as run/journal.py."""


def words(pid: int) -> str:
    """Say who has it: ``being rewritten by run 12 (pid 3)``, ``smbd (pid 3) has a lease on it``."""
    if not pid:
        return "another program has a lease on it"
    if leased.runs(pid):
        number = _newest()
        return f"being rewritten by {f'run {number}' if number else 'another run'} (pid {pid})"
    return f"{named(pid)} has a lease on it"


def told(held: Mapping[str, int]) -> tuple[Busy, ...]:
    """Those of a walk, by path, with who has them: as many as are named."""
    return tuple(Busy(path, words(held[path])) for path in sorted(held)[:NAMED])


def _newest() -> int:
    """The number of the newest run: the one that has the lock; 0 where that cannot be seen."""
    try:
        numbers = (name.partition(".")[0] for name in os.listdir(_RUNS))
        return max((int(number) for number in numbers if number.isdigit()), default=0)
    except OSError:
        return 0
