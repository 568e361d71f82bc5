"""vmtune.yaml.example does what it says."""

from __future__ import annotations

import re
from pathlib import Path

from reconciler.config.load import load, load_all_hosts

ROOT = Path(__file__).parents[3]
EXAMPLE = (ROOT / "vmtune.yaml.example").read_bytes()


def home_of(_name: str) -> str:
    return "/home/me"


def test_it_declares_the_three_things() -> None:
    items = load(EXAMPLE, "vmtune.yaml.example", host="atlas", home_of=home_of)
    assert [(item.section, item.path) for item in items] == [
        ("paths", "/home/me/libvirt/images"),
        ("mounts", "/"),
        ("defrag", "/home/me/libvirt/images"),
    ]
    paths, mounts, defrag = items
    assert paths.data["nocow"] is True
    assert mounts.data["options"] == {"compress": "no"}
    assert defrag.data["schedule"] == "0 12 * * *"


def test_what_is_commented_out_is_valid_too() -> None:
    hosts = EXAMPLE[EXAMPLE.index(b"# hosts:") :]
    found = load_all_hosts(
        EXAMPLE + re.sub(rb"(?m)^# ?", b"", hosts), "f", home_of=home_of, overlays={}
    )
    assert [item.path for item in found["atlas"]] == ["/home/me/libvirt/images", "/", "/home"]


def test_the_path_that_is_commented_out_is_valid_too() -> None:
    text = re.sub(rb"(?m)^  # (?=- path|  (compression|existing):)", b"  ", EXAMPLE)
    items = load(text, "vmtune.yaml.example", host="atlas", home_of=home_of)
    cow = next(item for item in items if item.path == "/home/me/libvirt/cow")
    assert (cow.data["compression"], cow.data["existing"]) == ("none", "rewrite")


def test_the_editor_finds_the_schema() -> None:
    first = EXAMPLE.decode().splitlines()[0]
    schema = first.removeprefix("# yaml-language-server: $schema=")
    assert (ROOT / schema).is_file()
