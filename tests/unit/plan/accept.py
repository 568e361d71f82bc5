"""Write what is printed today into the cases: python -m tests.unit.plan.accept; read git diff."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import yaml

from reconciler.engine.document import exit_code
from reconciler.errors import ConfigErrors
from reconciler.report import text
from tests.unit.plan.decode import World, plan_of


def main() -> None:
    """Everything from ``plan:`` (or ``problems:``) on is written anew, the rest stays."""
    for file in sorted((Path(__file__).parent / "cases").glob("*/*.yaml")):
        old = file.read_text(encoding="utf-8")
        case = yaml.safe_load(old)
        key = "\nplan:" if "plan" in case else "\nproblems:"
        kept = old[: old.index(key) + 1]
        new = kept + (_plan(case) if "plan" in case else _problems(case))
        if yaml.safe_load(new) != case:
            file.write_text(new, encoding="utf-8")
            print(file.parent.name, file.stem, file=sys.stderr)


def _plan(case: dict) -> str:
    plan = plan_of(case, World(case))
    codes = [exit_code(plan, detailed=detailed) for detailed in (False, True)]
    shown = _block("plan", "\n".join(text.plan(plan, verbose=case.get("verbose", False))))
    actions = [f"  - {json.dumps(text.action(action))}\n" for action in plan.actions]
    return f"{shown}exit: {codes}\n" + ("actions:\n" + "".join(actions) if actions else "")


def _problems(case: dict) -> str:
    try:
        plan_of(case, World(case))
    except ConfigErrors as problems:
        return _block("problems", str(problems))
    raise SystemExit(f"no problem any more: {case['says']}")


def _block(key: str, lines: str) -> str:
    inside = "".join(f"  {line}".rstrip() + "\n" for line in lines.split("\n"))
    return f"{key}: |2\n{inside}"


if __name__ == "__main__":
    main()
