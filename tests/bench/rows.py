"""All rows by name, in the order in which they are measured.

A row is one function: it gets the ground and how many files there may be at most, sets up what
is to be there, and says who runs against whom. What it leaves on the filesystem goes with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.bench import rows_latency, rows_look, rows_move, rows_plan

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.bench.ground import Ground
    from tests.bench.measure import Row

ROWS: dict[str, Callable[[Ground, int], Row]] = {
    make.__name__: make
    for subject in (rows_plan, rows_look, rows_move, rows_latency)
    for make in subject.ROWS
}
