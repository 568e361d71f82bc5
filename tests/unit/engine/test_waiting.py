"""What a plan comes to once everybody lets go: rows that only a use hinders are changes."""

import pytest

from reconciler.commands.wait import Patience
from reconciler.engine import planned_state, shown
from reconciler.engine.model import Change, Plan, Wait
from reconciler.engine.place import Swap
from reconciler.errors import Misused
from reconciler.facts.diagnostics import Op
from reconciler.facts.tree import NONE_LEFT, NameList
from reconciler.resources.images.places import NOCOW, Image, Images


def below(*names: str, spared: tuple[str, ...] = ()) -> Swap:
    place = Images("/vm", NOCOW, spared=spared)
    return Swap(place, NameList(len(names), names), NONE_LEFT, owner="images ~/vm")


def alone(name: str) -> Swap:
    return Swap(Image("/vm", NOCOW, name), Image.UNLIKE, Image.ALIKE, owner="images ~/vm")


def plan(swap: Swap, *used: str) -> Plan:
    row = Change(Op.CHANGE, "images", "~/vm", swaps=(swap,))
    rows = [
        Change(
            Op.BLOCKED,
            "images",
            f"~/vm/{name}",
            hint="shut it down",
            waits=(Wait(alone(name), "in use by x (pid 1)", (f"/vm/{name}",)),),
        )
        for name in used
    ]
    return Plan((row, *rows), (swap,))


def test_what_is_waited_for_is_a_change_behind_the_others():
    found = planned_state.expected(plan(below("a", spared=("b",)), "b"))
    assert found.actions == (below("a", spared=("b",)), alone("b"))
    assert [row.op for row in found.changes] == [Op.CHANGE, Op.CHANGE]
    assert found.changes[1].text == "done as soon as it is let go"
    assert found.changes[1].notes[0].text == "in use by x (pid 1)"
    assert not found.changes[1].hint


@pytest.mark.parametrize(
    ("now", "is_shown"),
    [
        (plan(below("a", spared=("b",)), "b"), True),
        (plan(below("a", "b")), True),  # let go since
        (plan(below(spared=("a", "b")), "a", "b"), True),  # opened since
        (plan(below("b")), True),
        (plan(below("a", "b", "new")), False),
        (plan(below("a", spared=("b", "new")), "b", "new"), False),
    ],
)
def test_of_what_was_shown_nothing_is_new_whoever_uses_it(now: Plan, *, is_shown: bool):
    then = planned_state.expected(plan(below("a", spared=("b",)), "b"))
    assert (not shown.unseen(then, planned_state.expected(now))) is is_shown


def test_without_a_wait_what_is_let_go_since_was_not_shown():
    assert shown.unseen(plan(below("a", spared=("b",)), "b"), plan(below("a", "b")))


@pytest.mark.parametrize(
    ("text", "seconds"), [("2h", 7200), ("90m", 5400), ("30s", 30), ("1d", 86400), ("1h30m", 5400)]
)
def test_times(text: str, seconds: int):
    assert Patience.read(text).seconds == seconds
    assert Patience.read(text).words == ["--wait-for", text]


@pytest.mark.parametrize("text", ["", "2", "h", "2 h", "-3s", "1.5h", "2h30", "٣s"])
def test_what_is_no_time(text: str):
    with pytest.raises(Misused, match="is no time"):
        Patience.read(text)


def test_no_end():
    assert Patience.read(None).words == ["--wait"]
