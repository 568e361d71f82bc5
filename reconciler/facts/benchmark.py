"""A trial of copy-on-write against nocow, as values: its shape, its samples, its figures."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from reconciler.value import Value

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


BLOCK = 4096

EVERY = 32
"""Writes after which an fsync comes."""

COW, NOCOW = "cow", "nocow"


class Shape(Value):
    """An image of ``size`` bytes, a quarter of it rewritten at random; ``rounds`` of both sorts."""

    size: int
    rounds: int

    @property
    def writes(self) -> int:
        """Blocks rewritten in one image."""
        return max(EVERY, self.size // 4 // BLOCK)

    @property
    def payload(self) -> int:
        """Bytes that the whole trial writes, the filesystem's own share not counted."""
        return 2 * self.rounds * (self.size + self.writes * BLOCK)


class Sample(Value):
    """One image: ``device`` bytes written for ``payload`` bytes, in ``seconds``, and after it.

    ``device`` is None where the disks do not say; ``read`` is in bytes a second.
    """

    kind: str
    payload: int
    seconds: float
    device: int | None
    fragments: int
    read: float


class Figure(Value):
    """One measure: the median of each sort, and their ratio round by round.

    ``ratio`` is that of the medians, copy-on-write to nocow, ``low`` and ``high``
    the smallest and the greatest of a round. None where nothing was to be had.
    """

    name: str
    cow: float | None
    nocow: float | None
    ratio: float | None = None
    low: float | None = None
    high: float | None = None


class Room(Value):
    """A filesystem's space in bytes, and what its disks are."""

    free: int
    size: int
    rotational: bool | None


def refusal(shape: Shape, room: Room) -> str:
    """Why there is too little space; "" when there is enough.

    Ten times the image must be free; and were all that is written kept at once,
    a tenth of the filesystem must stay free.
    """
    if room.free < _TIMES * shape.size:
        return "ten times the size of the image must be free"
    if room.free - shape.payload < room.size / 10:
        return "more than a tenth of the filesystem must stay free"
    return ""


_TIMES, _MIB = 10, 1 << 20


def way_out(shape: Shape, room: Room) -> str:
    """Name what would fit: a smaller image, and fewer rounds where these are what takes space."""
    spare = max(0, room.free - room.size // 10)
    once = spare // (2 * shape.rounds)  # an image and a quarter of it again, of each sort
    fits = min(room.free // _TIMES, once * 4 // 5) // _MIB
    ways = [f"--size {fits}M"] * bool(fits)
    rounds = spare // (shape.payload // shape.rounds)
    if room.free >= _TIMES * shape.size and 0 < rounds < shape.rounds:
        ways.append(f"--rounds {rounds}")
    return f"{' or '.join(ways)} fits" if ways else "make room first"


def figures(samples: Sequence[Sample]) -> tuple[Figure, ...]:
    """Every measure over samples in the order they were taken, both sorts equally often."""
    return (
        _figure(
            "disk bytes per byte",
            [(s.kind, None if s.device is None else s.device / s.payload) for s in samples],
        ),
        _figure("fragments", [(s.kind, float(s.fragments)) for s in samples]),
        _figure(
            "writes a second",
            [(s.kind, s.payload / BLOCK / s.seconds if s.seconds else None) for s in samples],
        ),
        _figure("read, bytes a second", [(s.kind, s.read or None) for s in samples]),
    )


def _figure(name: str, values: Sequence[tuple[str, float | None]]) -> Figure:
    cow, nocow = ([v for kind, v in values if kind == sort] for sort in (COW, NOCOW))
    ratios = [a / b for a, b in zip(cow, nocow, strict=True) if a is not None and b]
    a, b = _median(cow), _median(nocow)
    if a is None or b is None or len(ratios) < len(cow):  # not told, or a sort that wrote nothing
        return Figure(name, a, b)
    return Figure(name, a, b, a / b, min(ratios), max(ratios))


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None


def order(rounds: int) -> Iterator[str]:
    """Which sort comes when: each round begins with the other one."""
    for number in range(rounds):
        yield from (COW, NOCOW) if number % 2 == 0 else (NOCOW, COW)
