"""Why a file is left as it is: whoever has to know a reason knows each."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from reconciler.report import defrag as defrag_report
from reconciler.resources.defrag.ranges import Left, Why

SCHEMA = json.loads(
    (Path(__file__).parents[3] / "schemas" / "defrag.schema.json").read_text(encoding="utf-8")
)


def test_the_schema_lists_each_reason():
    path = SCHEMA["properties"]["paths"]["items"]["properties"]
    assert path["left"]["items"]["properties"]["why"]["enum"] == [*Why]


@pytest.mark.parametrize("why", Why)
def test_each_reason_has_words(why: Why):
    [line] = defrag_report.left([Left("{0}.raw", why, "input {words} error", 5 << 20)], 300)
    said = line.removeprefix("  {0}.raw: left as it is: ")
    assert said != line
    assert (said == "input {words} error") is (why is Why.FAILED)
    assert ("5.0 MiB" in said) is (why is Why.SHARED)


def test_a_timer_is_excused_where_the_next_run_may_do_it():
    assert [why for why in Why if why.is_excused] == [Why.SHARED]
