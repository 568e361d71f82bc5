"""Whole processes, measured in turn: CPU is what the kernel counted, children included."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench import ground

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

_LAUNCH = [sys.executable, "-IS", str(Path(__file__).with_name("launch.py"))]

_PATIENCE = 75
"""Seconds after which no third round begins: the whole run is to stay below 20 minutes."""


def nothing() -> None:
    """For contestants that find everything as they left it."""


@dataclass(frozen=True, slots=True)
class Contestant:
    """A program as it is called; ``prepare`` is run before each round, and not measured."""

    argv: Sequence[str]
    prepare: Callable[[], object] = nothing
    exits: frozenset[int] = frozenset({0})


@dataclass(frozen=True, slots=True)
class Row:
    """One comparison: vmtune against peers, None for those not to be had.

    Compared is ``by`` "cpu", "wall", or "written": bytes given to the device. ``aims`` says by
    peer which ratio vmtune's median should not exceed, ``memory`` which peak in MiB.
    """

    name: str
    vmtune: Contestant
    peers: Mapping[str, Contestant | None]
    aims: Mapping[str, float] = field(default_factory=dict)
    by: str = "cpu"
    rounds: int = 7
    memory: float | None = None
    warm: bool = True
    """Whether a round that is not measured comes first; nothing is warm after ``fixtures.cold``."""


@dataclass(frozen=True, slots=True)
class Ran:
    """What one run cost: seconds, seconds, bytes at most at once, bytes."""

    cpu: float
    wall: float
    memory: int
    written: int

    def by(self, what: str) -> float:
        return float(getattr(self, what))


@dataclass(frozen=True, slots=True)
class Result:
    """Round by round."""

    row: Row
    vmtune: Sequence[Ran]
    peers: Mapping[str, Sequence[Ran]]


def once(contestant: Contestant, by: str = "") -> Ran:
    """One run; RuntimeError with its words where it fails."""
    contestant.prepare()
    before = _written(by)
    with tempfile.TemporaryFile() as said:
        descriptor = said.fileno()
        told = subprocess.run(
            [*_LAUNCH, str(descriptor), *contestant.argv],
            pass_fds=[descriptor],
            stdout=subprocess.PIPE,
            check=True,
        )
        code, cpu, wall, memory = told.stdout.split()
        if int(code) not in contestant.exits:
            said.seek(0)
            words = said.read()[-2000:].decode(errors="replace")
            raise RuntimeError(f"{contestant.argv}: exit {int(code)}: {words}")
    return Ran(float(cpu), float(wall), int(memory), _written(by) - before)


def _written(by: str) -> int:
    """Asked for by few rows: the sync before it is other rows' time."""
    return ground.written() if by == "written" else 0


def in_turn(
    there: Mapping[str, Contestant], by: str, rounds: int, *, warm: bool = True
) -> dict[str, list[Ran]]:
    """All in turn, once unmeasured before: who else uses the machine slows all alike.

    On a slow disk two rounds must do: no other one begins then.
    """
    for contestant in there.values() if warm else ():
        once(contestant)
    ran: dict[str, list[Ran]] = {name: [] for name in there}
    begun = time.monotonic()
    for number in range(rounds):
        if number >= 2 and time.monotonic() - begun > _PATIENCE:
            break
        for name, contestant in there.items():
            ran[name].append(once(contestant, by))
    return ran


def measured(row: Row) -> Result:
    """One comparison, made."""
    peers = {name: peer for name, peer in row.peers.items() if peer}
    ran = in_turn({"": row.vmtune, **peers}, row.by, row.rounds, warm=row.warm)
    return Result(row, ran.pop(""), ran)


def values(ran: Iterable[Ran], by: str) -> list[float]:
    """What counts of each run."""
    return [each.by(by) for each in ran]
