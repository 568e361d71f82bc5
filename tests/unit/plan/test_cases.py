"""Every case file: from a configuration and what was seen, to the printed plan and its actions."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from reconciler.engine.document import exit_code
from reconciler.errors import ConfigErrors
from reconciler.report import text
from tests.unit.plan.decode import QUERIES, World, plan_of

FILES = sorted((Path(__file__).parent / "cases").glob("*/*.yaml"))
CASES = [
    pytest.param(yaml.safe_load(file.read_text()), id=f"{file.parent.name}/{file.stem}")
    for file in FILES
]
GOOD = [case for case in CASES if "plan" in case.values[0]]
BAD = [case for case in CASES if "problems" in case.values[0]]
KEYS = {"says", "host", "seen", "config", "plan", "exit", "actions", "problems", "verbose"}


def test_there_are_cases():
    assert len(GOOD) >= 40
    assert len(BAD) >= 2
    assert len(GOOD) + len(BAD) == len(CASES)
    assert len(QUERIES) > 25


@pytest.mark.parametrize("case", CASES)
def test_case_is_well_formed(case):
    assert case.keys() <= KEYS
    assert case["says"]


@pytest.mark.parametrize("case", GOOD)
def test_plan(case):
    world = World(case)
    plan = plan_of(case, world)
    lines = text.plan(plan, verbose=case.get("verbose", False))
    assert "\n".join(lines) + "\n" == case["plan"]
    assert [text.action(action) for action in plan.actions] == case.get("actions", [])
    codes = [exit_code(plan, detailed=detailed) for detailed in (False, True)]
    assert codes == case["exit"], "vmtune plan, vmtune plan --detailed-exitcode"
    assert not world.idle, "answers that nobody asked for"


@pytest.mark.parametrize("case", BAD)
def test_problems(case):
    world = World(case)
    with pytest.raises(ConfigErrors) as raised:
        plan_of(case, world)
    assert str(raised.value) + "\n" == case["problems"]
    assert not world.idle, "answers that nobody asked for"
