"""What an action that failed keeps back, and what it does not."""

from __future__ import annotations

import pytest

from reconciler.engine.directory import Directory, Folder, Subvolume
from reconciler.engine.model import Change
from reconciler.engine.order import DAEMON_RELOAD, Needs
from reconciler.engine.place import Swap
from reconciler.engine.schedule import TextFile, Timer, UnitFile
from reconciler.facts.diagnostics import Op
from reconciler.facts.host import DIRECTORY, MISSING, OFF, ON, SUBVOLUME
from reconciler.facts.tree import NONE_LEFT, NameList
from reconciler.resources.images.places import NOCOW, Images, Strays
from reconciler.resources.mount.places import FstabOptions, LiveOption
from reconciler.resources.nocow.places import Below

PLAIN = Folder(nocow=False, compression="", mode=0o755, uid=0, gid=0)
SOME = NameList(1, ("a.raw",))


def attribute(path: str, have: Folder | None = PLAIN) -> Swap:
    return Swap(Directory(path), have, Folder(True, "", 0o755, 0, 0))


def removed(path: str) -> Swap:
    return Swap(Directory(path), PLAIN, None)


def below(path: str) -> Swap:
    return Swap(Below(path), SOME, NONE_LEFT)


def images(path: str) -> Swap:
    return Swap(Images(path, NOCOW), SOME, NONE_LEFT)


def turned(path: str, have: str = DIRECTORY) -> Swap:
    return Swap(Subvolume(path, 0o755, 0, 0), have, SUBVOLUME)


def live(target: str, name: str = "compress") -> Swap:
    return Swap(LiveOption(target, name), "compress=zstd:3", "")


def line(target: str) -> Swap:
    return Swap(FstabOptions(target, 1), "defaults", "compress=no")


SERVICE = Swap(UnitFile("/etc/systemd/system/v.service"), None, "text")
TIMER = Swap(UnitFile("/etc/systemd/system/v.timer"), None, "text")
ENABLED = Swap(Timer("v.timer"), OFF, ON)
DISABLED = Swap(Timer("v.timer"), ON, OFF)
CRON = Swap(TextFile("/etc/cron.d/v"), None, "text")


def row(*swaps: Swap) -> Change:
    return Change(Op.CHANGE, "kind", "name", swaps=swaps)


ONE_ENTRY = {
    "the line needs the live option": (live("/"), line("/"), True),
    "what is inside needs the directory": (attribute("/v"), below("/v"), True),
    "a timer needs its file": (TIMER, ENABLED, True),
    "a file goes only once its timer is off": (
        DISABLED,
        Swap(TIMER.place, "text", None),
        True,
    ),
    "two live options are independent": (live("/"), live("/", "noatime"), False),
}


@pytest.mark.parametrize("case", ONE_ENTRY)
def test_in_one_entry(case: str):
    lost, action, kept_back = ONE_ENTRY[case]
    found = Needs([row(lost, action)]).missing(action, [lost])
    assert found == (lost if kept_back else None)


APART = {
    "another mount": (live("/"), line("/home"), False),
    "another directory": (attribute("/v"), attribute("/w"), False),
    "a directory inside one that was there": (attribute("/v"), attribute("/v/w"), False),
    "a directory inside one that is missing": (attribute("/v", None), attribute("/v/w"), True),
    "a name that only begins alike": (attribute("/v", None), attribute("/vw"), False),
    "the attribute of a subvolume": (turned("/v"), attribute("/v"), True),
    "images in a subvolume": (turned("/v", MISSING), images("/v/w"), True),
    "images where nocow failed": (attribute("/v"), images("/v"), True),
    "images where one below failed": (below("/v"), images("/v"), False),
    "images beside": (images("/v"), images("/w"), False),
    "a directory that is not empty yet": (removed("/v/w"), removed("/v"), True),
    "a directory in one that stays": (removed("/v"), removed("/v/w"), False),
    "a schedule for it": (attribute("/v"), CRON, False),
    "a timer that systemd has not read": (DAEMON_RELOAD, ENABLED, True),
    "a timer that is switched off": (DAEMON_RELOAD, DISABLED, False),
    "reading unit files again": (SERVICE, DAEMON_RELOAD, False),
    "leftovers beside": (Swap(Strays("/v"), ("x",), ()), images("/w"), False),
}


@pytest.mark.parametrize("case", APART)
def test_of_entries_apart(case: str):
    lost, action, kept_back = APART[case]
    rows = [row(each) for each in (lost, action) if isinstance(each, Swap)]
    assert Needs(rows).missing(action, [lost]) == (lost if kept_back else None)


def test_two_lines_that_need_one_live_option():
    """It is done once, and shown with both entries."""
    one = live("/")
    needs = Needs([row(one, line("/")), row(one, line("/home"))])
    assert needs.missing(line("/home"), [one]) == one
    assert needs.missing(line("/srv"), [one]) is None
