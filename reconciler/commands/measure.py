"""``vmtune measure``: what nocow would bring in a directory, tried there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reconciler import exit_codes
from reconciler.commands.load import guarded
from reconciler.errors import HostError
from reconciler.facts.benchmark import COW, NOCOW, Shape, figures, refusal, way_out
from reconciler.formats.sizes import binary, parsed
from reconciler.linux import machine
from reconciler.linux.benchmark import Trial
from reconciler.report import benchmark as benchmark_report

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.console import Terminal
    from reconciler.facts.benchmark import Sample


FORMAT = "vmtune.measure/1"

_MIB = 1 << 20

_ASKED_FOR = 1 << 30
"""Bytes from which on it is not done without a yes."""


def run(terminal: Terminal, path: str, size: str, rounds: int, *, yes: bool) -> int:
    """0 when it was done, 1 when it was refused or answered no."""
    try:
        shape = Shape(_whole(size), rounds)
    except ValueError as error:
        terminal.complain(str(error))
        return exit_codes.USAGE

    def command() -> int:
        trial = Trial(path)
        room = trial.room()
        if why := refusal(shape, room):
            raise HostError(
                f"{path}: {why}; {binary(room.free)} of {binary(room.size)} are free",
                way_out(shape, room),
            )
        announce = terminal.progress if terminal.json else terminal.say
        for line in benchmark_report.announced(path, shape, room, terminal.width):
            announce(line)
        if not yes and shape.payload >= _ASKED_FOR and not _agreed(terminal, shape):
            return exit_codes.ERROR
        before = trial.others()
        samples = tuple(trial.run(shape, lambda number, kind: _told(terminal, shape, number, kind)))
        after = trial.others()
        others = None if before is None or after is None else max(before, after)
        terminal.say()
        for line in benchmark_report.disturbed(others, terminal.width):
            terminal.say(line)
        found = figures(samples)
        for line in benchmark_report.table(found, terminal.width):
            terminal.say(line)
        terminal.say()
        for line in benchmark_report.verdict(found, shape.rounds, terminal.width):
            terminal.say(line)
        terminal.data(_plain(path, shape, samples, others))
        return exit_codes.DONE

    return guarded(terminal, command)


def _whole(size: str) -> int:
    found = parsed(size)
    if not found or found % _MIB:
        raise ValueError(f"--size {size}: name whole MiB, as in 128M")
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


_SORTS = {COW: "copy-on-write", NOCOW: "nocow"}


def _told(terminal: Terminal, shape: Shape, number: int, kind: str) -> None:
    terminal.progress(f"  [{number}/{2 * shape.rounds}] {_SORTS[kind]}")


def _plain(
    path: str, shape: Shape, samples: Sequence[Sample], others: int | None
) -> dict[str, Any]:
    return {
        **machine.head(FORMAT),
        "kernel": machine.kernel(),
        "path": path,
        "size": shape.size,
        "rounds": shape.rounds,
        "writes": shape.writes,
        "others": others,
        "verdict": benchmark_report.sentence(figures(samples)),
        "figures": [
            {
                "name": of.name,
                "cow": of.cow,
                "nocow": of.nocow,
                "ratio": of.ratio,
                "low": of.low,
                "high": of.high,
            }
            for of in figures(samples)
        ],
        "samples": [
            {
                "kind": of.kind,
                "payload": of.payload,
                "seconds": of.seconds,
                "device": of.device,
                "fragments": of.fragments,
                "read": of.read,
            }
            for of in samples
        ],
    }
