"""What is folded from the journal, and what putting it back leaves."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reconciler.engine.directory import Directory, Folder
from reconciler.engine.last_applied import Run, fold, merged
from reconciler.engine.place import Swap
from reconciler.resources.mount import places
from reconciler.resources.mount.places import FstabOptions, LiveOption

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


def of(found, config):
    """The records of one place that are of one configuration."""
    return tuple(was for was in found if was.config == config)


@pytest.mark.parametrize("case", WORDS)
def test_each_takes_back_its_own_words_of_a_line(case):
    steps, who, now, without = WORDS[case]
    records = of(folded(LINE, *steps).get(LINE, ()), who)
    if places.all_words(now, records):
        assert places.all_restored(now, records) == without
    else:
        was = merged(records)
        assert LINE.restored(was.original, was.values, now) == without


def test_one_whose_words_are_all_gone_is_forgotten():
    found = folded(
        LINE,
        ("A", "x", "x,noatime"),
        ("B", "x,noatime", "x,noatime,compress=no"),
        ("A", "x,noatime,compress=no", "x,compress=no"),
    )
    assert [was.config for was in found[LINE]] == ["B"]


# Steps over one value of the configurations A and B, what is there, and what was there at first.
VALUES = {
    "its own": ([("A", "x", "y")], "y", "x"),
    "someone's": ([("A", "x", "y")], "z", "z"),
    "what was there before both": ([("A", "x", "y"), ("B", "y", "z")], "z", "x"),
    "what someone put there in between": ([("A", "x", "y"), ("B", "w", "z")], "z", "w"),
    "after the other put its own back": (
        [("A", "x", "y"), ("B", "y", "z"), ("B", "z", "y")], "y", "x",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", VALUES)
def test_what_is_put_back_was_there_before_all_of_them(case):
    steps, now, without = VALUES[case]
    was = merged(folded(LIVE, *steps)[LIVE])
    assert LIVE.restored(was.original, was.values, now) == without


@pytest.mark.parametrize(
    "steps",
    [
        [("A", "x", "y"), ("A", "y", "x")],
        [("A", "x", "y"), ("B", "y", "x")],
        [("A", "x", "y"), ("B", "y", "z"), ("A", "z", "x")],
    ],
)
def test_what_was_put_back_is_forgotten_whoever_did_it(steps):
    assert folded(LIVE, *steps) == {}


def test_records_of_one_thing_under_two_names_are_one():
    """It was written by one name, and put back by another: a link stands there since."""
    first = folded(LIVE, ("A", "x", "y"))[LIVE]
    second = folded(LiveOption("/mnt", "compress"), ("A", "x", "y"), ("A", "y", "x"))
    assert second == {}
    back = [replace(first[0], original="y", values=("x",), run=9)]
    assert merged((*first, *back)) is None


def test_of_a_directory_only_the_attribute_is_put_back():
    """Another program may have changed its mode or owner since."""
    place, plain = Directory("/vm"), Folder(False, "", 0o755, 0, 0)
    nocow = replace(plain, nocow=True)
    theirs = replace(nocow, mode=0o700, uid=64055)
    assert place.restored(plain, (nocow,), theirs) == replace(theirs, nocow=False)
    assert place.restored(plain, (nocow,), replace(theirs, nocow=False)) == replace(
        theirs, nocow=False
    )
    assert place.restored(None, (nocow,), theirs) == theirs
