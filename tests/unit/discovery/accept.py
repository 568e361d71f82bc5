"""Write what is printed today into the cases: python -m tests.unit.discovery.accept.

Then read git diff.
"""

from __future__ import annotations

import sys
from pathlib import Path

import yaml

from tests.unit.discovery.cases import doctor_text, init_text, rows, suggested
from tests.unit.plan.decode import World


def main() -> None:
    """Everything from ``init:`` (or ``doctor:``) on is written anew, the rest stays."""
    for file in sorted((Path(__file__).parent / "cases").glob("*/*.yaml")):
        old = file.read_text(encoding="utf-8")
        case = yaml.safe_load(old)
        key = file.parent.name
        kept = old[: old.index(f"\n{key}:") + 1]
        world = World(case)
        text = init_text(suggested(world)) if key == "init" else doctor_text(rows(case, world))
        inside = "".join(f"  {line}".rstrip() + "\n" for line in text.splitlines())
        new = f"{kept}{key}: |2\n{inside}"
        if new != old:
            file.write_text(new, encoding="utf-8")
            print(key, file.stem, file=sys.stderr)


if __name__ == "__main__":
    main()
