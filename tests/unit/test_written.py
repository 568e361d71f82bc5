"""What is folded from the journal: of each configuration what it had written itself."""

from __future__ import annotations

import pytest

from reconciler.core import former
from reconciler.core.model import Swap
from reconciler.core.places import FstabOptions, LiveOption
from reconciler.core.written import Run, fold, latest, own

LINE = FstabOptions("/srv", 2)
LIVE = LiveOption("/srv", "compress")


def folded(place, *steps):
    """From ``(configuration, have, want)``."""
    runs = [
        Run(n, "", "", "apply", config, (Swap(place, have, want),), frozenset({1}), {1: "done"})
        for n, (config, have, want) in enumerate(steps, 1)
    ]
    return fold({}, runs)


# Steps, who asks, what the line holds then, and what it holds without that one's words.
WORDS = {
    "one alone": ([("A", "ro", "ro,noatime")], "A", "ro,noatime", "ro"),
    "the other's words stay": (
        [("A", "x,compress=zstd", "x,compress=zstd,noatime"),
         ("B", "x,compress=zstd,noatime", "x,compress=no,noatime")],
        "B", "x,compress=no,noatime", "x,compress=zstd,noatime",
    ),
    "and those of the first": (
        [("A", "x,compress=zstd", "x,compress=zstd,noatime"),
         ("B", "x,compress=zstd,noatime", "x,compress=no,noatime")],
        "A", "x,compress=no,noatime", "x,compress=no",
    ),
    "written again over the other's words": (
        [("A", "x", "x,noatime"),
         ("B", "x,noatime", "x,noatime,compress=no"),
         ("A", "x,noatime,compress=no", "x,noatime,compress=no,lazytime")],
        "A", "x,noatime,compress=no,lazytime", "x,compress=no",
    ),
    "over those of a person": (
        [("A", "x", "x,noatime"), ("A", "x,noatime,commit=60", "x,noatime,commit=60,lazytime")],
        "A", "x,noatime,commit=60,lazytime", "x,commit=60",
    ),
    "a word that someone changed since is theirs": (
        [("A", "x", "x,noatime")], "A", "x,strictatime", "x,strictatime",
    ),
    "one that wrote nothing": ([("A", "x", "x,noatime")], "B", "x,noatime", "x,noatime"),
    "the value as a whole is no words": (
        [("A", "x", "x,noatime")], "A", 'x,"noatime', 'x,"noatime',
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WORDS)
def test_each_takes_back_its_own_words_of_a_line(case):
    steps, who, now, without = WORDS[case]
    found = folded(LINE, *steps)
    was = own(found, who).get(LINE)
    assert (former.back(LINE, was, now, latest(found)[LINE]) if was else now) == without


def test_one_whose_words_are_all_gone_is_forgotten():
    found = folded(
        LINE,
        ("A", "x", "x,noatime"),
        ("B", "x,noatime", "x,noatime,compress=no"),
        ("A", "x,noatime,compress=no", "x,compress=no"),
    )
    assert [was.config for was in found[LINE]] == ["B"]


# Steps over one value, who asks, what is there, and what that one puts there instead.
VALUES = {
    "its own": ([("A", "x", "y")], "A", "y", "x"),
    "someone's": ([("A", "x", "y")], "A", "z", "z"),
    "what the other wrote last": ([("A", "x", "y"), ("B", "y", "z")], "A", "z", "z"),
    "what was there before the other": ([("A", "x", "y"), ("B", "y", "z")], "B", "z", "y"),
    "the other wrote the same since": ([("A", "x", "y"), ("B", "x", "y")], "A", "y", "y"),
    "after the other put its own back": (
        [("A", "x", "y"), ("B", "y", "z"), ("B", "z", "y")], "A", "y", "x",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", VALUES)
def test_each_takes_back_its_own_value(case):
    steps, who, now, without = VALUES[case]
    found = folded(LIVE, *steps)
    assert former.back(LIVE, own(found, who)[LIVE], now, latest(found)[LIVE]) == without
