"""Whole processes, timed in turn: CPU is what the kernel counted, children included."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


def nothing() -> None:
    """For contestants that find everything as they left it."""


@dataclass(frozen=True, slots=True)
class Contestant:
    """A program as it is called; ``prepare`` is run before each round, and not timed."""

    argv: Sequence[str]
    prepare: Callable[[], object] = nothing
    exits: frozenset[int] = frozenset({0})


@dataclass(frozen=True, slots=True)
class Row:
    """One comparison: vmtune against peers by "cpu" or "wall"; None for peers not to be had.

    ``aims`` says by peer which ratio vmtune's median should not exceed.
    """

    name: str
    vmtune: Contestant
    peers: Mapping[str, Contestant | None]
    aims: Mapping[str, float] = field(default_factory=dict)
    by: str = "cpu"
    rounds: int = 7


@dataclass(frozen=True, slots=True)
class Result:
    """Seconds, round by round."""

    row: Row
    vmtune: Sequence[float]
    peers: Mapping[str, Sequence[float]]


def once(contestant: Contestant, by: str) -> float:
    """Seconds of one run; RuntimeError with its words where it fails."""
    contestant.prepare()
    with open(os.devnull) as no_input, tempfile.TemporaryFile() as said:
        start = time.monotonic()
        process = subprocess.Popen(contestant.argv, stdin=no_input, stdout=said, stderr=said)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode not in contestant.exits:
            said.seek(0)
            words = said.read()[-2000:].decode(errors="replace")
            raise RuntimeError(f"{contestant.argv}: exit {process.returncode}: {words}")
    return wall if by == "wall" else usage.ru_utime + usage.ru_stime


def measured(row: Row) -> Result:
    """Each once unmeasured, then all in turn: who else uses the machine slows all alike."""
    there = {"": row.vmtune, **{name: peer for name, peer in row.peers.items() if peer}}
    for contestant in there.values():
        once(contestant, row.by)
    took: dict[str, list[float]] = {name: [] for name in there}
    for _ in range(row.rounds):
        for name, contestant in there.items():
            took[name].append(once(contestant, row.by))
    return Result(row, took.pop(""), took)


def lines(result: Result) -> list[str]:
    """The figures of one row, a line for each peer."""
    row, ours = result.row, result.vmtune
    shown = [f"{row.name}   ({row.by}, {row.rounds} rounds)   vmtune {_seconds(ours)}"]
    for name, peer in row.peers.items():
        if peer is None:
            shown.append(f"    {name:<24} skipped: not to be had here")
            continue
        theirs = result.peers[name]
        ratio = median(ours) / median(theirs)
        each = [one / other for one, other in zip(ours, theirs, strict=True)]
        aim = row.aims.get(name)
        verdict = "" if aim is None else f"   aim {aim:g}: {'met' if ratio <= aim else 'NOT MET'}"
        spread = f"({min(each):.3g}-{max(each):.3g})"
        shown.append(f"    {name:<24} {_seconds(theirs):<28} ratio {ratio:.3g} {spread}{verdict}")
    return shown


def _seconds(took: Sequence[float]) -> str:
    low, middle, high = (each * 1000 for each in (min(took), median(took), max(took)))
    return f"{middle:.1f} ms ({low:.1f}-{high:.1f})"
