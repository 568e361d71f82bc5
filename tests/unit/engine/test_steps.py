"""The rows of a plan as they are read and counted: in the order of doing, each once."""

from __future__ import annotations

from itertools import permutations

import pytest

from reconciler.engine.directory import Directory, Folder
from reconciler.engine.model import Change
from reconciler.engine.order import DAEMON_RELOAD, Steps, in_turn
from reconciler.engine.place import Swap
from reconciler.engine.schedule import Timer, UnitFile
from reconciler.facts.diagnostics import Op
from reconciler.facts.host import OFF, ON
from reconciler.facts.tree import NONE_LEFT, NameList
from reconciler.resources.images.places import NOCOW as AIM
from reconciler.resources.images.places import Image, Images
from reconciler.resources.mount.places import FstabOptions, LiveOption

NEW = Folder(nocow=True, compression="", mode=0o755, uid=0, gid=0)
DIRECTORY = Swap(Directory("/srv"), None, NEW)
SERVICE = Swap(UnitFile("/etc/systemd/system/a.service"), None, "[Service]\n")
ENABLED = Swap(Timer("a.timer"), OFF, ON)
LIVE = Swap(LiveOption("/", "compress"), "compress=zstd:3", "", "", "mount /")
LIVE_OF_HOME = Swap(LiveOption("/", "compress"), "compress=zstd:3", "", "", "mount /home")
LINE = Swap(FstabOptions("/", 1), "defaults", "compress=no")
LINE_OF_HOME = Swap(FstabOptions("/home", 2), "defaults", "compress=no")

REFUSED = Change(Op.BLOCKED, "nocow", "/raid")
SAME = Change(Op.SAME, "nocow", "/whole")
APART = Change(Op.SAME, "nocow", "/ext4", applicable=False)
DEFRAG = Change(Op.ADD, "defrag", "/srv", swaps=(SERVICE, ENABLED))
NOCOW = Change(Op.ADD, "nocow", "/srv", swaps=(DIRECTORY,))
ROOT = Change(Op.CHANGE, "mount", "/", swaps=(LINE, LIVE))
HOME = Change(Op.CHANGE, "mount", "/home", swaps=(LINE_OF_HOME, LIVE_OF_HOME))


def names(rows) -> list[str]:
    return [f"{row.kind} {row.name}".strip() for row in rows]


def test_what_is_done_then_what_is_refused_then_what_is_in_sync():
    """What systemd is told has a row of its own, the last of those that are done."""
    actions = (DIRECTORY, SERVICE, DAEMON_RELOAD, ENABLED)
    rows = in_turn((APART, SAME, REFUSED, DEFRAG, NOCOW), actions)
    assert names(rows) == [
        *("nocow /srv", "defrag /srv", "systemd", "nocow /raid", "nocow /whole", "nocow /ext4")
    ]
    assert in_turn(rows, actions) == rows, "and no second row for one notification"


def test_where_only_files_are_old_systemd_is_told_and_why():
    (row,) = in_turn((), (DAEMON_RELOAD,), behind=True)
    assert row.notify == DAEMON_RELOAD
    assert "changed on disk" in row.notes[0].text


def test_each_action_has_the_number_of_its_row():
    actions = (DIRECTORY, SERVICE, DAEMON_RELOAD, ENABLED)
    steps = Steps((REFUSED, NOCOW, DEFRAG), actions)
    assert [steps.number(action) for action in actions] == [1, 2, 3, 2]
    assert steps.count(actions) == len(steps.rows) == 3
    assert steps.count((DIRECTORY, SERVICE, DAEMON_RELOAD)) == 2, "the timer is not on yet"


def test_an_action_of_two_rows_counts_for_both():
    """The live option of a filesystem that two entries declare is put once."""
    actions = (LIVE, LINE, LINE_OF_HOME)
    steps = Steps((ROOT, HOME), actions)
    assert [steps.number(action) for action in actions] == [1, 1, 2]
    assert steps.count((LIVE, LINE)) == 1
    assert steps.count((LINE, LINE_OF_HOME)) == 0
    assert steps.count(actions) == 2


def test_only_rows_of_which_something_is_left_are_counted():
    """A saved plan, of which another run has done a part."""
    steps = Steps((NOCOW, DEFRAG), (ENABLED,))
    assert names(steps.rows) == ["defrag /srv"]
    assert steps.count((ENABLED,)) == 1


def reached(steps: Steps, actions) -> list[int]:
    """What is told of each action as it begins."""
    return [steps.reached(actions[:number]) for number in range(len(actions))]


def test_what_is_told_never_goes_back():
    """The row of systemd is the last, and is done between two steps of another row."""
    actions = (DIRECTORY, SERVICE, DAEMON_RELOAD, ENABLED)
    assert reached(Steps((REFUSED, NOCOW, DEFRAG), actions), actions) == [1, 2, 2, 3]


@pytest.mark.parametrize("actions", [*permutations((SERVICE, ENABLED, LIVE, LINE, LINE_OF_HOME))])
def test_rows_whose_steps_stand_between_each_other_never_go_back(actions):
    steps = Steps((DEFRAG, ROOT, HOME), actions)
    told = reached(steps, actions)
    assert told == sorted(told)
    assert told[0] == 1
    assert steps.count(actions[:-1]) < 3 == steps.count(actions)
    assert told[-1] in {2, 3}, "3, unless the last step is the last one of two rows"


def test_an_image_that_is_done_alone_is_a_part_of_its_row():
    """`--wait` does one after the other, whichever is free first."""
    lot = Images("/srv", AIM)
    names = NameList(2, ("a.raw", "b.raw"))
    row = Change(Op.CHANGE, "images", "/srv", swaps=(Swap(lot, names, NONE_LEFT),))
    done = [Swap(Image("/srv", AIM, name), Image.UNLIKE, Image.ALIKE) for name in names.named]
    steps = Steps((row, NOCOW), (*row.swaps, DIRECTORY))
    assert steps.reached(done[:1]) == 1
    assert steps.reached(done) == 2
