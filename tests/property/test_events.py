"""Where libyaml reads a text, it reads it as the pure Python parser does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.config import events

EXAMPLE = (Path(__file__).parents[2] / "vmtune.yaml.example").read_text()
PLAIN = (
    "version: 1\npaths:\n  - path: ~/libvirt/images\n    nocow: true\n    existing: report\n"
    "mounts:\n- {target: /, options: {compress: no, noatime: true}}\n"
    "defrag:\n  - path: \"/srv/vm\"\n    schedule: '0 12 * * *'\n"
    "hosts:\n  atlas:\n    mounts: [{target: /home}]\n    quiet: [V1, V2,]\n"
)
SIGNS = (
    *("\n", "\n\n", "\n ", "\n  ", "  ", " ", "- ", "-", ": ", ":", ",", ", ", "[", "]", "{", "}"),
    *('"', "'", "''", "#", " # x", "~", "@", "`", "*", "*a", "=", "<<", "0", "a", "key: ", "a: b"),
    *("- a\n", "key:\n", "  key: ", "- - ", "--", ".", "'a\n b'", '"a\n\n  b"', "[a, b: c]"),
    *("{a}", "{a: , b:}", "[]: a", "{}: ", "null", "x" * 130, "---", "...", "|", "? ", "&a ", "\t"),
)
snippets = st.lists(st.sampled_from(SIGNS), max_size=16).map("".join)


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """A good document with something cut out of it, put in or said twice."""
    text = draw(st.sampled_from([PLAIN, EXAMPLE]))
    for _ in range(draw(st.integers(1, 3))):
        at, to = sorted(draw(st.tuples(*[st.integers(0, len(text))] * 2)))
        to = min(to, at + draw(st.integers(0, 12)))
        text = text[:at] + draw(snippets | st.just(text[at:to] * 2)) + text[to:]
    return text


def seen(event: Any) -> tuple[Any, ...]:
    """All of an event that is ever looked at: of an end, only that it is there."""
    name, mark = type(event).__name__, event.start_mark
    if not isinstance(event, yaml.NodeEvent):
        return (name,)
    about = [getattr(event, each, None) for each in ("anchor", "tag", "value")]
    implicit = getattr(event, "implicit", None) if isinstance(event, yaml.ScalarEvent) else None
    return name, mark.line, mark.column, mark.index, *about, implicit


def by_the_pure_one(text: str) -> list[tuple[Any, ...]] | None:
    try:
        return [seen(event) for event in yaml.parse(text, yaml.SafeLoader)]
    except (yaml.YAMLError, ValueError):
        return None


def check(text: str) -> None:
    found = events.read(text)
    if found is not None:
        assert [seen(event) for event in found] == by_the_pure_one(text)


@given(snippets | mutated())
@settings(deadline=None, max_examples=1500)
def test_both_read_the_same(text: str) -> None:
    check(text)


@given(st.text("ab-:#,[]{}\"' \n", max_size=24))
@settings(deadline=None, max_examples=1500)
def test_both_read_the_same_of_few_signs(text: str) -> None:
    check(text)


@pytest.mark.parametrize("text", [PLAIN, "version: 1\n", "", "a", "- {a: [b]}"])
def test_libyaml_is_asked(text: str) -> None:
    assert yaml.__with_libyaml__
    assert events.read(text) is not None


@pytest.mark.parametrize(
    "text",
    [
        "[" * 33,
        "{" * 100_000,
        "a: \u00fc",
        "a: \t",
        "a: |\n b",
        "!!str a",
        "&a b",
        "a: [",
        "'",
        "- {a: }",
    ],
)
def test_the_pure_one_is_asked(text: str) -> None:
    assert events.read(text) is None


def test_ten_thousand_entries_are_read_by_both_alike() -> None:
    text = "".join(f"  - {{path: /srv/vm/{n:05}, nocow: true}}\n" for n in range(10_000))
    check(f"version: 1\npaths:\n{text}")
