"""The examples do what they say, and what they offer as a comment is valid too."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from reconciler.config.load import load, load_all_hosts
from tests.example import ENGLISH, PORTUGUESE, whole

if TYPE_CHECKING:
    from pathlib import Path

each = pytest.mark.parametrize("file", [ENGLISH, PORTUGUESE], ids=["English", "Portuguese"])


def home_of(_name: str) -> str:
    return "/home/me"


@each
def test_it_declares_what_is_suggested_and_nothing_else(file: Path) -> None:
    [item] = load(file.read_bytes(), file.name, host="atlas", home_of=home_of)
    assert (item.section, item.path) == ("paths", "/home/me/libvirt/images")
    assert (item.data["nocow"], item.data["existing"]) == (True, "rewrite")


@each
def test_what_it_offers_is_valid_too(file: Path) -> None:
    text = whole(file.read_text(encoding="utf-8"))
    found = load_all_hosts(text.encode(), "f", home_of=home_of, overlays={})
    home = "/home/me/libvirt"
    base = [f"{home}/images", f"{home}/cow", "/", f"{home}/images"]
    assert [item.path for item in load(text.encode(), "f", host="b", home_of=home_of)] == base
    assert [item.path for item in found["atlas"]] == [f"{home}/cow", "/", "/home", f"{home}/images"]
    images, cow, root, defrag = load(text.encode(), "f", host="b", home_of=home_of)
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
