"""Results as lines for a terminal, and as a table in Markdown."""

from __future__ import annotations

from math import inf
from statistics import median
from typing import TYPE_CHECKING

from tests.bench.measure import values

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.bench.measure import Ran, Result, Row

_MIB = 1 << 20
_BY = {"cpu": "CPU", "wall": "wall", "written": "bytes written", "felt": "p99"}
_HEAD = ["row", "vmtune", "its peak memory", "against", "which took", "ratio", "aim", ""]


def lines(result: Result) -> list[str]:
    """The figures of one row, a line for each peer."""
    row = result.row
    wall = f", wall {_figures(result.vmtune, 'wall')}" if row.by == "cpu" else ""
    ours = f"vmtune {_figures(result.vmtune, row.by)}{wall}, {_memory(result)}"
    shown = [f"{row.name}   ({row.by}, {len(result.vmtune)} rounds)   {ours}"]
    for name, theirs, ratio, aim, verdict in _compared(result):
        if not theirs:
            shown.append(f"    {name:<24} skipped: not to be had here")
            continue
        judged = f"   aim {aim}: {verdict}" if aim else ""
        shown.append(f"    {name:<24} {theirs:<28} ratio {ratio}{judged}")
    return shown


def table(results: Sequence[Result]) -> list[str]:
    """The same, a table in Markdown."""
    shown = [_cells(_HEAD), _cells("---" for _ in _HEAD)]
    for result in results:
        row = result.row
        ours = [f"{row.name}, {_BY[row.by]}", _figures(result.vmtune, row.by), _memory(result)]
        for name, *figures in _compared(result):
            shown.append(_cells([*ours, name, *(figures if figures[0] else ["not there"] * 2)]))
            ours = [""] * len(ours)
    return shown


def _cells(words: object) -> str:
    found = list(words)  # type: ignore[call-overload]
    return f"| {' | '.join(found + [''] * (len(_HEAD) - len(found)))} |"


def _compared(result: Result) -> Iterator[tuple[str, str, str, str, str]]:
    """Of each peer name, figures, ratio, the aim and whether it is met; "" for none."""
    row, ours = result.row, values(result.vmtune, result.row.by)
    for name in row.peers:
        if name not in result.peers:
            yield name, "", "", "", ""
            continue
        theirs = values(result.peers[name], row.by)
        ratio = _ratio(median(ours), median(theirs))
        each = [_ratio(one, other) for one, other in zip(ours, theirs, strict=True)]
        spread = f"{ratio:.3g} ({min(each):.3g}-{max(each):.3g})"
        yield name, _figures(result.peers[name], row.by), spread, *_judged(row, name, ratio)


def _ratio(one: float, other: float) -> float:
    return one / other if other else inf if one else 1


def _judged(row: Row, peer: str, ratio: float) -> tuple[str, str]:
    aim = row.aims.get(peer)
    return ("", "") if aim is None else (f"{aim:g}", _verdict(ratio <= aim))


def _verdict(met: bool) -> str:
    return "met" if met else "NOT MET"


def _memory(result: Result) -> str:
    """The peak of all rounds, judged where there is an aim."""
    most, aim = max(each.memory for each in result.vmtune) / _MIB, result.row.memory
    judged = "" if aim is None else f" (aim {aim:g}: {_verdict(most <= aim)})"
    return f"{most:.1f} MiB{judged}"


def _figures(ran: Sequence[Ran], by: str) -> str:
    found = values(ran, by)
    factor, unit, digits = (1 / _MIB, "MiB", 2) if by == "written" else (1000, "ms", 1)
    low, middle, high = (each * factor for each in (min(found), median(found), max(found)))
    return f"{middle:,.{digits}f} {unit} ({low:,.{digits}f}-{high:,.{digits}f})"
