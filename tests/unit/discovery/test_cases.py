"""Every case of ``init`` and ``doctor``: from what was seen to the printed text."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from reconciler.config.load import load
from reconciler.facts.discovered import Entry, Suggestion
from tests.unit.discovery.cases import doctor_text, init_text, rows, suggested
from tests.unit.plan.decode import World, home_of

WIDTHS = (40, 60, 80, 200)
FOLDER = Path(__file__).parent / "cases"


def cases(name: str) -> list:
    files = sorted((FOLDER / name).glob("*.yaml"))
    return [pytest.param(yaml.safe_load(file.read_text()), id=file.stem) for file in files]


INIT, DOCTOR = cases("init"), cases("doctor")


def loaded(text: str) -> tuple:
    return load(text.encode(), "printed", host="atlas", home_of=home_of)


def test_there_are_cases():
    assert len(INIT) >= 15
    assert len(DOCTOR) >= 12


@pytest.mark.parametrize("case", INIT + DOCTOR)
def test_case_is_well_formed(case):
    assert case.keys() <= {"says", "host", "seen", "config", "init", "doctor"}
    assert case["says"]


@pytest.mark.parametrize("case", INIT)
def test_init(case):
    world = World(case)
    assert init_text(suggested(world)) == case["init"]
    assert not world.idle, "answers that nobody asked for"


@pytest.mark.parametrize("case", INIT)
def test_what_init_prints_is_valid_and_says_what_is_active(case):
    found = suggested(World(case))
    for width in WIDTHS:
        text = init_text(found, width)
        items = loaded(text)
        assert [item.section for item in items] == [e.section for e in found.entries if e.active]
        # One word that is longer than the line stays whole, and a key with its value.
        assert not [x for x in text.splitlines() if len(x) > width and len(x.split()) > 4]


@pytest.mark.parametrize("case", INIT)
def test_what_init_offers_as_comments_is_valid_without_the_marks(case):
    """Each offered entry, and each offered key of an entry, taken by itself."""
    found = suggested(World(case))
    for entry in found.entries:
        given = {field.name: getattr(entry, field.name) for field in fields(entry)}
        one = Entry(**{**given, "active": True})
        whole = init_text(Suggestion("atlas", (one,)))
        assert len(loaded(whole)) == 1
        for choice in entry.choices:
            keys = {"path": entry.keys["path"], "nocow": True, choice.key: choice.value}
            if choice.key == "compression":
                del keys["nocow"]
            taken = Entry("paths", keys, ())
            assert len(loaded(init_text(Suggestion("atlas", (taken,))))) == 1


@pytest.mark.parametrize("case", INIT)
def test_taking_a_mark_away_is_enough(case):
    """A key that is offered lines up with those of its entry."""
    lines = init_text(suggested(World(case))).splitlines()
    offered = [n for n, line in enumerate(lines) if re.match(r"    # (subvolume|existing): ", line)]
    for number in offered:
        text = "\n".join(
            [*lines[:number], lines[number].replace("# ", "", 1), *lines[number + 1 :]]
        )
        if any(line == "paths:" for line in lines):
            loaded(text + "\n")


@pytest.mark.parametrize("case", DOCTOR)
def test_doctor(case):
    world = World(case)
    assert doctor_text(rows(case, world)) == case["doctor"]
    assert not world.idle, "answers that nobody asked for"


@pytest.mark.parametrize("case", DOCTOR)
def test_rows_fit_and_lose_nothing(case):
    found = rows(case, World(case))
    for width in WIDTHS:
        text = doctor_text(found, width)
        squeezed = "".join(text.split())
        for row in found:
            for word in (row.subject, row.text, row.remedy, row.code):
                assert "".join(word.split()) in squeezed
        # One word that is longer than the line stays whole, to be copied.
        assert all(len(line) <= width or len(line.split()) <= 3 for line in text.splitlines())
