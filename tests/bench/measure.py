"""Whole processes, measured in turn: CPU is what the kernel counted, children included."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench import ground

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

_LAUNCH = [sys.executable, "-IS", str(Path(__file__).with_name("launch.py"))]

_PATIENCE = 75
"""Seconds after which no third round begins: the whole run is to stay below 20 minutes."""


def nothing() -> None:
    """For contestants that find everything as they left it."""


@dataclass(frozen=True)
class Contestant:
    """A program as it is called; ``prepare`` is run before each round, and not measured."""

    argv: Sequence[str]
    prepare: Callable[[], object] = nothing
    exits: frozenset[int] = frozenset({0})


@dataclass(frozen=True)
class Row:
    """One comparison: vmtune against peers, None for those not to be had.

    Compared is ``by`` "cpu", "wall", "written": bytes given to the device, or "felt": what the
    program ``beside`` them says when it is told to end. ``aims`` says by peer which ratio vmtune's
    median should not exceed, ``memory`` which peak in MiB.
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
    beside: Sequence[str] = ()


@dataclass(frozen=True)
class Ran:
    """What one run cost: seconds, seconds, bytes at most at once, bytes, seconds."""

    cpu: float
    wall: float
    memory: int
    written: int
    felt: float

    def by(self, what: str) -> float:
        return float(getattr(self, what))


@dataclass(frozen=True)
class Result:
    """Round by round."""

    row: Row
    vmtune: Sequence[Ran]
    peers: Mapping[str, Sequence[Ran]]


def once(contestant: Contestant, by: str = "", beside: Sequence[str] = ()) -> Ran:
    """One run; RuntimeError with its words where it fails."""
    contestant.prepare()
    before = _written(by)
    with tempfile.TemporaryFile() as said, _felt(beside) as felt:
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
    return Ran(float(cpu), float(wall), int(memory), _written(by) - before, sum(felt))


@contextmanager
def _felt(argv: Sequence[str]) -> Iterator[list[float]]:
    """Run a program beside; what it says at its end is in the list from then on."""
    found: list[float] = []
    if not argv:
        yield found
        return
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as it:
        assert it.stdout
        it.stdout.readline()
        yield found
        found.append(float(it.communicate()[0]))


def _written(by: str) -> int:
    """Asked for by few rows: the sync before it is other rows' time."""
    return ground.written() if by == "written" else 0


def in_turn(
    there: Mapping[str, Contestant],
    by: str,
    rounds: int,
    *,
    warm: bool = True,
    beside: Sequence[str] = (),
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
            ran[name].append(once(contestant, by, beside))
    return ran


def measured(row: Row) -> Result:
    """One comparison, made."""
    peers = {name: peer for name, peer in row.peers.items() if peer}
    every = {"": row.vmtune, **peers}
    ran = in_turn(every, row.by, row.rounds, warm=row.warm, beside=row.beside)
    return Result(row, ran.pop(""), ran)


def values(ran: Iterable[Ran], by: str) -> list[float]:
    """What counts of each run."""
    return [each.by(by) for each in ran]
