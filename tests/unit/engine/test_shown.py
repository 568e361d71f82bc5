"""What was shown, against what is found later: less is fine, more is not, and all is told apart."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.engine import shown
from reconciler.engine.diff import found_instead
from reconciler.engine.directory import Directory, Folder
from reconciler.engine.model import Change, Plan
from reconciler.engine.order import DAEMON_RELOAD
from reconciler.engine.place import Swap
from reconciler.engine.schedule import TextFile, Timer
from reconciler.facts.diagnostics import Op
from reconciler.facts.tree import NONE_LEFT, NameList
from reconciler.resources.images.places import NOCOW, Images
from reconciler.resources.mount.places import LiveOption

PLACE = LiveOption("/", "compress")
FOLDER = Folder(nocow=False, compression="", mode=0o755, uid=0, gid=0)


def rewrite(*names: str, spared: tuple[str, ...] = ()) -> Swap:
    return Swap(Images("/v", NOCOW, (), spared), NameList(len(names), names), NONE_LEFT)


CASES = {
    "the same": (rewrite("a", "b"), rewrite("a", "b"), True),
    "one is left out": (rewrite("a", "b"), rewrite("b", spared=("a",)), True),
    "one is done": (rewrite("a", "b"), rewrite("b"), True),
    "one is new": (rewrite("a", "b"), rewrite("a", "b", "c"), False),
    "one instead of another": (rewrite("a", "b"), rewrite("b", "c"), False),
    "one is free that was left out": (rewrite("b", spared=("a",)), rewrite("a", "b"), False),
    "another reason": (Swap(PLACE, "x", ""), Swap(PLACE, "x", "", "changed", "mount /"), True),
    "another value found": (Swap(PLACE, "x", ""), Swap(PLACE, "y", ""), False),
    "another value wanted": (Swap(PLACE, "x", ""), Swap(PLACE, "x", "z"), False),
    "half of it done": (
        Swap(Timer("t"), "off", "on"),
        Swap(Timer("t"), "enabled", "on"),
        True,
    ),
    "another place": (Swap(PLACE, "x", ""), Swap(LiveOption("/v", "compress"), "x", ""), False),
    "an effect that was shown": (DAEMON_RELOAD, DAEMON_RELOAD, True),
    "an effect that was not": (Swap(PLACE, "x", ""), DAEMON_RELOAD, False),
}


@pytest.mark.parametrize("case", CASES)
def test_no_more_than_was_shown(case: str):
    then, now, is_fine = CASES[case]
    one, other = Plan((), (then,)), Plan((), (now,))
    assert (shown.unseen(one, other) == ()) == is_fine
    told = list(shown.moved(one, other))
    assert bool(told) != is_fine
    assert not shown.unseen(one, Plan())


def test_only_images_that_were_opened_since():
    row = Change(Op.BLOCKED, "images", "/v/a", code="V702")
    other = Change(Op.BLOCKED, "images", "/v/b", code="V703")
    assert shown.opened(Plan((row,)), Plan((row, other))) == ()
    assert shown.opened(Plan((other,)), Plan((row, other))) == (row,)


def test_what_is_refused_by_now_is_not_done():
    """Of an entry that turned from a change into a refusal nothing is said to be done."""
    then = Plan((Change(Op.CHANGE, "nocow", "~/v"), Change(Op.BLOCKED, "nocow", "/w")))
    refused = Change(Op.BLOCKED, "nocow", "~/v", code="V109")
    now = Plan((refused, Change(Op.BLOCKED, "nocow", "/w"), Change(Op.SAME, "mount", "/")))
    assert shown.kept_back(then, now) == (refused,)
    mine = Swap(Directory("/home/a/v"), FOLDER, None, owner="nocow ~/v")
    other = Swap(Directory("/home/a/vm"), FOLDER, None, owner="nocow ~/vm")
    assert shown.is_about(refused, mine)
    assert not shown.is_about(refused, other)
    assert not shown.is_about(refused, DAEMON_RELOAD)


def test_an_image_in_use_by_now_belongs_to_its_directory():
    row = Change(Op.BLOCKED, "images", "/v/a", code="V702")
    assert shown.kept_back(Plan((Change(Op.CHANGE, "images", "/v"),)), Plan((row,))) == (row,)
    assert shown.is_about(row, rewrite("a"))


VALUES = {
    "names": (Images("/v", NOCOW), NameList(1, ("a",)), NameList(1, ("b",))),
    "an owner": (Directory("/v"), FOLDER, Folder(False, "", 0o755, 7, 0)),
    "a text": (TextFile("/t"), "one\ntwo\n", "one\nsix\n"),
    "words": (PLACE, "compress=lzo", "compress=zstd:3"),
}


@pytest.mark.parametrize("case", VALUES)
def test_two_values_are_never_told_in_the_same_words(case: str):
    place, expected, found = VALUES[case]
    told = found_instead(place, expected, found)
    assert told != found_instead(place, expected, expected)
    one, other = told.split(", found ", 1)
    assert one != other, told


def test_the_difference_itself_is_told():
    assert found_instead(*VALUES["names"]).endswith("too, but not a; instead b")
    assert found_instead(*VALUES["an owner"]).endswith("too, but uid is 7 instead of 0")
    assert found_instead(*VALUES["a text"]).endswith("too, but line 2 is another one")


@given(
    st.sets(st.text("abc", min_size=1, max_size=2)), st.sets(st.text("abc", min_size=1, max_size=2))
)
def test_names_are_told_apart(one: set[str], other: set[str]):
    place = Images("/v", NOCOW)
    values = [NameList(len(names), tuple(sorted(names))) for names in (one, other)]
    if one != other:
        first, second = found_instead(place, *values).split(", found ", 1)
        assert first != second
