"""Run by ``make bench``: figures against peers, in one run, on this machine.

No test: a figure says how things are here and now. Needs root, and what the
tests of tests/btrfs need; peers that cannot be had are skipped by name.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench import ground as grounds
from tests.bench import growth, peers, picture, show
from tests.bench.measure import Result, measured
from tests.bench.rows import ROWS
from tests.bench.series import SERIES
from tests.btrfs import sandbox

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.bench.ground import Ground
    from tests.bench.growth import Grown

_GROWTH = "growth"
_ALL = [*ROWS]
_ALL.insert(_ALL.index("scan"), _GROWTH)  # which leaves the tree that is scanned then


def main() -> int:
    chosen = _chosen()
    if missing := sandbox.missing():
        print(f"cannot be measured here: {', '.join(missing)}", file=sys.stderr)
        return 1
    begun = time.monotonic()
    programs = peers.vmtune()
    if {"plan", "apply"} & set(chosen.rows):
        peers.pyinfra(), peers.ansible()  # before the sandbox hides the host's /etc and /run
    machine = _machine()
    print(machine, flush=True)
    with sandbox.Sandbox().entered():
        run = _Run(grounds.made(programs), chosen)
        for name in chosen.rows:
            run.one(name)
    print(f"{(time.monotonic() - begun) / 60:.1f} minutes")
    if chosen.table:
        chosen.table.write_text(f"{machine}\n\n{run.table()}")
    if chosen.picture and run.grown:
        chosen.picture.write_text(picture.drawn(run.grown))
    return int(run.failed)


def _chosen() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"of {', '.join(_ALL)}; or all")
    million = {"type": int, "default": 1_000_000, "metavar": "N"}
    parser.add_argument("--files", **million, help="to scan at most (default 1,000,000)")
    parser.add_argument("--largest", **million, help="size of growth (default 1,000,000)")
    parser.add_argument("--picture", type=Path, metavar="SVG", help="of growth, to be written")
    parser.add_argument("--table", type=Path, metavar="MD", help="of it all, to be written")
    chosen = parser.parse_args()
    if unknown := set(chosen.rows) - set(_ALL):
        parser.error(f"no such row: {', '.join(sorted(unknown))}")
    chosen.rows = [name for name in _ALL if not chosen.rows or name in chosen.rows]
    return chosen


def _machine() -> str:
    where = f"{platform.release()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    return f"{where}, Python {platform.python_version()}; median (least-most), ratio in turn"


class _Run:
    """What was measured; a row that fails says so, and the others go on."""

    def __init__(self, ground: Ground, chosen: argparse.Namespace) -> None:
        self._ground, self._chosen = ground, chosen
        self.rows: list[Result] = []
        self.grown: list[Grown] = []
        self.failed = False

    def one(self, name: str) -> None:
        if name == _GROWTH:
            for series in SERIES:
                self._tried(series.name, lambda series=series: self._series(series))
        else:
            self._tried(name, lambda: self._row(name))

    def _row(self, name: str) -> list[str]:
        result = measured(ROWS[name](self._ground, self._chosen.files))
        self.rows.append(result)
        return show.lines(result)

    def _series(self, series: growth.Series) -> list[str]:
        self.grown.append(growth.measured(series, self._ground, self._chosen.largest))
        return growth.table(self.grown[-1])

    def _tried(self, name: str, make: Callable[[], list[str]]) -> None:
        try:
            found = make()
        except (AssertionError, OSError, RuntimeError, subprocess.SubprocessError) as error:
            self.failed = True
            found = [f"{name}   FAILED: {error}"]
        print("\n".join(found), flush=True)

    def table(self) -> str:
        """Markdown."""
        parts = [show.table(self.rows)] if self.rows else []
        parts += map(growth.table, self.grown)
        return "\n\n".join("\n".join(part) for part in parts) + "\n"


if __name__ == "__main__":
    sys.exit(main())
