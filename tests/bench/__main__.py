"""Run by ``make bench``: figures against peers, in one run, on this machine.

No test: a figure says how things are here and now. Needs root, and what the
tests of tests/btrfs need; peers that cannot be had are skipped by name.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from pathlib import Path

from tests.bench import ground as grounds
from tests.bench import growth, peers
from tests.bench.measure import lines, measured
from tests.bench.rows import ROWS
from tests.btrfs import sandbox

_ALL = [*ROWS, "growth"]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"of {', '.join(_ALL)}; or all")
    parser.add_argument("--files", type=int, default=100_000, help="to scan (default 100,000)")
    parser.add_argument("--picture", type=Path, help="SVG of growth, to be written")
    chosen = parser.parse_args()
    if unknown := set(chosen.rows) - set(_ALL):
        parser.error(f"no such row: {', '.join(sorted(unknown))}")
    if missing := sandbox.missing():
        print(f"cannot be measured here: {', '.join(missing)}", file=sys.stderr)
        return 1
    programs = peers.vmtune()
    if not chosen.rows or "plan" in chosen.rows:
        peers.pyinfra(), peers.ansible()  # before the sandbox hides the host's /etc and /run
    cores = os.cpu_count()
    print(f"{platform.release()}, {cores} cores, load {os.getloadavg()[0]:.1f}, ", end="")
    print(f"Python {platform.python_version()}; median (least-most), ratio in turn")
    failed = False
    with sandbox.Sandbox().entered():
        ground = grounds.made(programs)
        for name, row in ROWS.items():
            if not chosen.rows or name in chosen.rows:
                failed = not _shown(name, lambda row=row: row(ground, chosen.files)) or failed
        if not chosen.rows or "growth" in chosen.rows:
            figures = growth.measured(ground)
            print("\n".join(growth.lines(figures)), flush=True)
            if chosen.picture:
                chosen.picture.write_text(growth.picture(figures))
    return int(failed)


def _shown(name: str, make: object) -> bool:
    try:
        found = lines(measured(make()))  # type: ignore[operator]
    except (AssertionError, OSError, RuntimeError) as error:
        found = [f"{name}   FAILED: {error}"]
    print("\n".join(found), flush=True)
    return "FAILED" not in found[0]


if __name__ == "__main__":
    sys.exit(main())
