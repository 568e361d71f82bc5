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
    assert _said(why)


def test_the_words_have_the_error_or_the_size():
    assert _said(Why.FAILED) == "input {words} error"
    assert "5.0 MiB" in _said(Why.SHARED)


def _said(why: Why) -> str:
    [line] = defrag_report.left([Left("{0}.raw", why, "input {words} error", 5 << 20)], 300)
    head, found, said = line.partition("{0}.raw: left as it is: ")
    assert (head, found) == ("  ", "{0}.raw: left as it is: ")
    return said


def test_a_timer_is_not_excused_where_the_next_run_does_no_better():
    assert not any(why.is_excused for why in (Why.CLOSED, Why.FAILED))
