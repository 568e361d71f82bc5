"""``vmtune measure``: what nocow would bring in a directory, tried there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reconciler import exit_codes
from reconciler.errors import HostError, Misused
from reconciler.facts.benchmark import COW, NOCOW, Shape, figures, refusal, way_out
from reconciler.formats.sizes import binary, parsed
from reconciler.linux import machine
from reconciler.linux.benchmark import Trial
from reconciler.report import benchmark as benchmark_report

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.console import Chosen, Terminal
    from reconciler.facts.benchmark import Sample


_ASKED_FOR = 1 << 30
"""Bytes from which on it is not done without a yes."""


def run(chosen: Chosen, path: str, size: str, rounds: int, *, yes: bool) -> int:
    """0 when it was done, 1 when it was refused or answered no."""
    terminal = chosen.terminal
    shape = Shape(_whole(size), rounds)
    trial = Trial(path)
    room = trial.room()
    if why := refusal(shape, room):
        raise HostError(
            f"{path}: {why}; {binary(room.free)} of {binary(room.size)} are free",
            way_out(shape, room),
        )
    announce = terminal.progress if terminal.json else terminal.say
    announce("\n".join(benchmark_report.announced(path, shape, room, terminal.width)))
    if not yes and shape.payload >= _ASKED_FOR and not _agreed(terminal, shape):
        return exit_codes.ERROR
    before = trial.others()

    def turn(number: int, kind: str) -> None:
        sort = {COW: "copy-on-write", NOCOW: "nocow"}[kind]
        terminal.progress(f"  [{number}/{2 * rounds}] {sort}")

    samples = tuple(trial.run(shape, turn))
    after = trial.others()
    others = None if before is None or after is None else max(before, after)
    terminal.say()
    terminal.tell(benchmark_report.disturbed(others, terminal.width))
    found = figures(samples)
    terminal.tell(benchmark_report.table(found, terminal.width))
    terminal.say()
    terminal.tell(benchmark_report.verdict(found, rounds, terminal.width))
    terminal.data(_plain(path, shape, samples, others))
    return exit_codes.DONE


def _whole(size: str) -> int:
    try:
        found = parsed(size)
    except ValueError as error:
        raise Misused(str(error)) from None
    if not found or found % (1 << 20):
        raise Misused(f"--size {size}: name whole MiB, as in 128M")
    return found


def _agreed(terminal: Terminal, shape: Shape) -> bool:
    if not terminal.can_ask:
        raise HostError(
            f"{binary(shape.payload)} are more than are written without asking",
            "add --yes, or name a smaller --size",
        )
    if terminal.ask("Begin?"):
        return True
    terminal.complain("nothing was written")
    return False


def _plain(
    path: str, shape: Shape, samples: Sequence[Sample], others: int | None
) -> dict[str, Any]:
    found = figures(samples)
    return {
        **machine.head("vmtune.measure/1"),
        "kernel": machine.kernel(),
        "path": path,
        "size": shape.size,
        "rounds": shape.rounds,
        "writes": shape.writes,
        "others": others,
        "verdict": benchmark_report.sentence(found),
        "figures": [vars(each) for each in found],
        "samples": [vars(each) for each in samples],
    }
