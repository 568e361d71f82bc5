"""Doctor and plan are of one mind: whatever a plan refuses, doctor names once, with a remedy."""

from __future__ import annotations

from collections import Counter

import pytest

from reconciler.commands.explain import CODES
from reconciler.discovery import doctor as health
from reconciler.engine.model import Change, Plan
from reconciler.facts.diagnostics import Op
from reconciler.facts.discovered import Health, Row
from tests.unit.plan.decode import World, plan_of
from tests.unit.plan.test_cases import GOOD

OK = [Row(Health.OK, "what doctor looks at", "well", code) for code in CODES if code[1] == "5"]


@pytest.mark.parametrize("case", GOOD)
def test_doctor_names_what_the_plan_refuses(case):
    plan = plan_of(case, World(case))
    refused = [change for change in plan.changes if change.op is Op.BLOCKED]
    told = [row for row in health.joined(OK, plan) if row not in OK]
    assert all(row.remedy and row.health is not Health.OK for row in told)
    named = Counter(row.code for row in told if row.code != "V537")
    assert named.keys() == {change.code for change in refused if change.code}
    assert all(count == 1 or code == "V405" for code, count in named.items())
    texts = {row.text for row in told}
    assert all(change.text in texts for change in refused if not change.code)
    for row in told:
        assert any(row.text == change.text for change in refused), "in the words of the plan"


def blocked(name, code, text="why"):
    return Change(Op.BLOCKED, "nocow", name, text, hint=f"mend {name}", code=code)


def test_a_check_gives_way_to_the_plan():
    plan = Plan((blocked("/a", "V102"), blocked("/b", "V102"), blocked("/a/x.raw", "V101")))
    checks = [
        Row(Health.OK, "data profile", "no nocow directory where data is kept twice", "V506"),
        Row(Health.FAIL, "/a", "nocow on raid1", "V506", "give up nocow there"),
        Row(Health.WARN, "/c", "nocow on raid1", "V506", "give up nocow there"),
        Row(Health.WARN, "/a", "1 file is copy-on-write", "V514", "rewrite"),
        Row(Health.OK, "kernel", "6.18", "V501"),
        Row(Health.FAIL, "somewhere", "it is so: why", "V101", "by the same code"),
    ]
    told = health.joined(checks, plan)
    assert [(row.code, row.subject, row.health.value) for row in told] == [
        ("V506", "/c", "warn"),
        ("V501", "kernel", "ok"),
        ("V102", "nocow /a and 1 more", "fail"),
        ("V101", "nocow /a/x.raw", "fail"),
    ]


def test_one_filesystem_is_whole_beside_another():
    """What a plan refuses on the one says nothing of the other."""
    whole = Row(Health.OK, "Btrfs 0a1b2c3d", "1 device is there, no errors counted", "V516")
    broken = Row(Health.FAIL, "Btrfs 4e5f6a7b", "1 of the 2 devices is missing", "V516", "mend it")
    plan = Plan((blocked("/a", "V111"),))
    assert health.joined([whole, broken], plan)[:2] == (whole, broken)
