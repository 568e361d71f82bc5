"""A directory that vmtune made goes with its last entry, and never while anything declares it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.btrfs.engine.test_ownership import applied, paths, planned, write
from tests.btrfs.outside import is_nocow
from tests.btrfs.world import World

STILL_NAMED = "because the configuration still names it. Run 1 made it"


def _subvolume(path: Path) -> dict[str, object]:
    return {"paths": [{"path": str(path), "subvolume": True}]}


def _nocow(path: Path) -> dict[str, object]:
    return paths(path)


def _defrag(path: Path) -> dict[str, object]:
    return {"defrag": [{"path": str(path), "schedule": "@weekly", "scheduler": "cron"}]}


@pytest.mark.parametrize("left", [_subvolume, _nocow, _defrag])
@pytest.mark.parametrize("is_link", [False, True])
def test_one_of_its_entries_goes_and_it_stays(
    host: World, left: Callable[[Path], dict[str, object]], is_link: bool
):
    made, link = host.area / "vms", host.area / "link"
    both = {"path": str(made), "nocow": True, "subvolume": True}
    host.declare(paths=[both], **(_defrag(made) if left is _defrag else {}))
    host.apply()
    if is_link:
        link.symlink_to(made)
    write(host.file, **left(link if is_link else made))
    assert STILL_NAMED in planned(host).out
    host.apply()
    assert made.exists()
    planned(host)
    host.config("")
    planned(host, expect=2)
    host.apply()
    assert not made.exists()
    planned(host)


def test_it_stays_while_another_file_declares_something_in_it(host: World):
    made = host.area / "vms"
    host.nocow(made)
    host.apply()
    other = write(host.file.with_name("other.yaml"), **paths(made / "win"))
    applied(host, other)
    (made / "win").rmdir()
    host.config("")
    assert f"because {other} names what is in it. Run 1 made it" in planned(host).out
    host.apply()
    assert made.exists()


def test_one_that_holds_another_entry_stays_and_is_told(host: World):
    outer, inner = host.area / "a", host.area / "a" / "b" / "vms"
    host.declare(**paths(outer, inner))
    host.apply()
    host.nocow(inner)
    for _ in range(2):
        ran = planned(host)
        assert f"{outer} stays, nocow, because the configuration still names what is in it" in (
            ran.out
        ), ran
        host.apply()
    assert is_nocow(outer)
    host.config("")
    host.apply()
    assert not outer.exists()
    planned(host)


def test_entries_within_each_other_go_at_once(host: World):
    outer, inner = host.area / "a", host.area / "a" / "b" / "vms"
    host.declare(**paths(outer, inner))
    host.apply()
    host.config("")
    applied(host, None, str(outer))  # what is in it was not chosen
    assert inner.exists()
    planned(host, expect=2)
    host.apply()
    assert not outer.exists()
    planned(host)
