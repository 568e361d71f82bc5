"""Drift, told apart from what was only tried."""

from __future__ import annotations

from reconciler.engine import last_applied
from reconciler.engine.last_applied import Run, Try
from reconciler.engine.place import LastApplied, Swap
from reconciler.facts.tree import NONE_LEFT, NameList
from reconciler.resources.images.places import NOCOW, Images
from reconciler.resources.mount.places import LiveOption

PLACE = LiveOption("/", "compress")
PUT = Swap(PLACE, "compress=zstd:3", "")


def ran(number: int, outcome: str, swap: Swap = PUT) -> Run:
    """A run of one action, which was cut off where it has no outcome."""
    outcomes = {1: outcome} if outcome else {}
    return Run(number, "", "root", "apply", "", (swap,), frozenset({1}), outcomes)


def last(*runs: Run) -> Try:
    (found,) = last_applied.last_try(runs, lambda number: {1: f"reason {number}"}).values()
    return found


def test_only_what_was_read_back_can_drift():
    done, tried = LastApplied("x", ("",), "o", 1), LastApplied("x", ("",), "o", 1, certain=False)
    assert last_applied.is_drift(done, "", "compress=lzo")
    assert not last_applied.is_drift(done, "", "")
    assert not last_applied.is_drift(done, "lzo", "zstd")
    assert not last_applied.is_drift(tried, "", "compress=lzo")
    assert not last_applied.is_drift(None, "", "compress=lzo")


def test_the_last_try_counts():
    assert last(ran(1, "failed"), ran(2, "done")) == Try(2, "", "done")
    assert last(ran(1, "done"), ran(2, "failed")) == Try(2, "", "failed", "reason 2")
    assert last(ran(1, "")).outcome == last_applied.CUT_OFF
    assert last(ran(1, "failed"), ran(2, "not done")).run == 1


def test_images_are_the_same_whichever_were_left_out():
    place = Images("/v", NOCOW, (), ("a.raw",))
    found = last(ran(1, "failed", Swap(place, NameList(1, ("b.raw",)), NONE_LEFT)))
    assert found.outcome == "failed"
    assert place.without_left_out() == Images("/v", NOCOW)


def test_words():
    assert (
        last_applied.told_of_try(Try(3, "", "failed", "no"), PLACE, "")
        == "run 3 tried and failed: no"
    )
    assert last_applied.told_of_try(Try(3, "", "failed"), PLACE, "") == "run 3 tried and failed"
    assert "ended in the middle of trying that" in last_applied.told_of_try(
        Try(3, "", last_applied.CUT_OFF), PLACE, ""
    )
    taken_back = last_applied.told_of_try(Try(4, "compress=lzo", "failed", "no"), PLACE, "")
    assert taken_back == "run 4 tried to make it compress=lzo and failed: no"
