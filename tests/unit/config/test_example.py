"""The examples do what they say, and what they offer as a comment is valid too."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from reconciler.config.load import load, load_all_hosts
from reconciler.resources.registry import SECTIONS
from tests.example import ENGLISH, PORTUGUESE, whole

if TYPE_CHECKING:
    from pathlib import Path

    from reconciler.engine.item import Item

each = pytest.mark.parametrize("file", [ENGLISH, PORTUGUESE], ids=["English", "Portuguese"])


def home_of(_name: str) -> str:
    return "/home/me"


def by_section(items: tuple[Item, ...]) -> dict[str, list[Item]]:
    found: dict[str, list[Item]] = {}
    for item in items:
        found.setdefault(item.section, []).append(item)
    return found


@each
def test_it_declares_what_is_suggested_and_nothing_else(file: Path) -> None:
    [item] = load(file.read_bytes(), file.name, host="atlas", home_of=home_of)
    assert (item.section, item.path) == ("paths", "/home/me/libvirt/images")
    assert (item.data["nocow"], item.data["existing"]) == (True, "rewrite")


@each
def test_what_it_offers_is_valid_too(file: Path) -> None:
    text = whole(file.read_text(encoding="utf-8"))
    found = load_all_hosts(text.encode(), "f", home_of=home_of, overlays={})
    base = by_section(load(text.encode(), "f", host="b", home_of=home_of))
    assert [*base] == [section.name for section in SECTIONS]
    (images, cow), [root], [defrag] = base["paths"], base["mounts"], base["defrag"]
    home = "/home/me/libvirt"
    assert (images.path, cow.path) == (f"{home}/images", f"{home}/cow")
    assert (root.path, defrag.path) == ("/", f"{home}/images")
    atlas = by_section(found["atlas"])
    assert [item.path for item in atlas["paths"]] == [f"{home}/cow"]
    assert [item.path for item in atlas["mounts"]] == ["/", "/home"]
    assert [item.path for item in atlas["defrag"]] == [f"{home}/images"]
    assert (images.data["subvolume"], images.data["allow"]) == (True, ("raid",))
    assert (cow.data["compression"], cow.data["existing"]) == ("none", "rewrite")
    assert root.data["options"] == {"compress": "no", "noatime": True}
    assert (defrag.data["schedule"], defrag.data["scheduler"]) == ("Sun 03:00", "auto")


def test_both_say_the_same() -> None:
    """Comments are in two languages, keys, values and commands are not."""

    def keys(file: Path) -> list[str]:
        lines = whole(file.read_text(encoding="utf-8")).splitlines()
        return [line.partition(" #")[0].rstrip() for line in lines if not re.match(" *#|$", line)]

    def commands(file: Path) -> list[str]:
        return re.findall(r"(?m)^# {5}(vmtune .*?)(?:  |$)", file.read_text(encoding="utf-8"))

    assert keys(ENGLISH) == keys(PORTUGUESE)
    assert len(keys(ENGLISH)) > 25
    assert commands(ENGLISH) == commands(PORTUGUESE) != []
