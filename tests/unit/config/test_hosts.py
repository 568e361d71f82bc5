"""One file, several machines: how the layers merge."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.config.load import load, load_all_hosts
from reconciler.errors import ConfigErrors

BASE = """\
version: 1
paths:
  - path: ~/images
    nocow: true
    allow: [raid]
mounts:
  - target: /
    options: {compress: zstd:1, noatime: true}
defrag:
  - path: /home/me/images
    schedule: "@weekly"
hosts:
  atlas:
    paths:
      - path: /home/me/images/
        existing: keep
        allow: [snapshots]
    mounts:
      - target: /
        options: {compress: no}
      - target: /data
        options: {ssd: true}
    defrag:
      - path: ~/images
        remove: true
  blank: {}
"""
OVERLAY = """\
version: 1
paths:
  - path: ~/images
    remove: true
defrag:
  - path: ~/images
    schedule: Sun 03:00
mounts:
  - target: /
    options: {noatime: false}
"""
OPTIONS = {"compress": "zstd:1", "noatime": True}
IMAGES = "/home/me/images"


def home_of(name: str) -> str | None:
    return None if name else "/home/me"


def loaded(host: str, overlay: str | None = None, base: str = BASE) -> dict[tuple[str, str], Any]:
    own = (overlay.encode(), "hosts/h.yaml") if overlay else None
    items = load(base.encode(), "f", host=host, home_of=home_of, overlay=own)
    return {(item.section, item.path): item for item in items}


@pytest.mark.parametrize("host", ["", "nobody-names-it", "blank"])
def test_the_base(host: str) -> None:
    items = loaded(host)
    assert [*items] == [("paths", IMAGES), ("mounts", "/"), ("defrag", IMAGES)]
    assert items["mounts", "/"].data == {"options": OPTIONS, "allow": ()}
    assert items["defrag", IMAGES].data == {
        "schedule": "@weekly",
        "scheduler": "auto",
        "allow": (),
    }


@pytest.mark.parametrize("host", ["atlas", "ATLAS", "atlas.example.org"])
def test_an_entry_under_hosts(host: str) -> None:
    items = loaded(host)
    assert [*items] == [("paths", IMAGES), ("mounts", "/"), ("mounts", "/data")]
    assert items["paths", IMAGES].data == {
        "nocow": True,
        "existing": "keep",
        "subvolume": False,
        "compression": None,
        "allow": ("snapshots",),
    }
    assert items["mounts", "/"].data["options"] == {"compress": "no", "noatime": True}


def test_the_origin_is_where_the_identity_was_last_written() -> None:
    item = loaded("atlas")["paths", IMAGES]
    assert item.name == "/home/me/images/"
    assert str(item.origin) == "f:15:15"
    assert str(item.marks["nocow"]) == "f:4:12"
    assert str(item.marks["existing"]) == "f:16:19"


def test_nested_marks() -> None:
    marks = loaded("atlas", OVERLAY)["mounts", "/"].marks
    assert str(marks["options.compress"]) == "f:20:29"
    assert str(marks["options.noatime"]) == "hosts/h.yaml:10:24"


def test_the_hosts_own_file_comes_last() -> None:
    items = loaded("atlas", OVERLAY)
    assert [*items] == [("mounts", "/"), ("mounts", "/data"), ("defrag", IMAGES)]
    assert items["mounts", "/"].data["options"] == {"compress": "no", "noatime": False}
    assert items["defrag", IMAGES].data["schedule"] == "Sun 03:00"


def test_all_hosts() -> None:
    found = load_all_hosts(
        BASE.encode(), "f", home_of=home_of, overlays={"new": (OVERLAY.encode(), "hosts/new.yaml")}
    )
    assert [*found] == ["", "atlas", "blank", "new"]
    assert [item.section for item in found["new"]] == ["mounts", "defrag"]
    assert found["blank"] == found[""]


# name: (an entry under hosts, every problem)
REFUSED = {
    "removes what is not there": (
        "paths: [{path: /y, remove: true}]",
        ["f:4:13: `remove: true`, but nothing is inherited for '/y'"],
    ),
    "adds half a mount": ("mounts: [{target: /y}]", ["f:4:23: 'options' is missing"]),
    "adds half a schedule": ("defrag: [{path: /y}]", ["f:4:21: 'schedule' is missing"]),
    "adds an empty path": ("paths: [{path: /y}]", ["f:4:20: nothing is declared for '/y'"]),
    "makes a conflict": (
        "paths: [{path: /x, compression: zstd}]",
        ["f:4:37: compression excludes nocow, set at f:5:27"],
    ),
    "twice": (
        "paths: [{path: /x, nocow: false}, {path: /x/}]",
        ["f:4:46: '/x' is in paths twice, in lines 4 and 4"],
    ),
    "cron for systemd's words": (
        "defrag: [{path: /x, scheduler: cron}]",
        ["f:6:31: cron cannot read the schedule"],
    ),
}
SMALL = """\
version: 1
hosts:
  a:
    ENTRY
paths: [{path: /x, nocow: true}]
defrag: [{path: /x, schedule: Sun 03:00}]
"""


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    entry, expected = REFUSED[name]
    text = SMALL.replace("ENTRY", entry)
    assert loaded("other", base=text)
    with pytest.raises(ConfigErrors) as one:
        loaded("a", base=text)
    with pytest.raises(ConfigErrors) as every:
        load_all_hosts(text.encode(), "f", home_of=home_of, overlays={})
    for problems in (one.value.problems, every.value.problems):
        assert len(problems) == len(expected)
        for problem, beginning in zip(problems, expected, strict=True):
            assert str(problem).startswith(beginning)


def test_problems_of_both_files_at_once() -> None:
    with pytest.raises(ConfigErrors) as caught:
        loaded("a", "paths: [{path: y}]\nhosts: {}\n", base="version: 1\nnope: 1\n")
    assert [str(problem.origin) for problem in caught.value.problems] == [
        "f:2:1",
        "hosts/h.yaml:1:16",
        "hosts/h.yaml:2:1",
    ]


def test_a_broken_base_hides_nothing_in_the_other_file() -> None:
    with pytest.raises(ConfigErrors) as caught:
        loaded("a", "nope: 1\n", base="version: [\n")
    assert {problem.origin.file for problem in caught.value.problems} == {"f", "hosts/h.yaml"}


def test_the_removal_of_a_broken_entry_is_no_second_problem() -> None:
    text = "version: 1\npaths: [{path: 5}]\nhosts: {a: {paths: [{path: /x, remove: true}]}}"
    with pytest.raises(ConfigErrors) as caught:
        loaded("a", base=text)
    assert len(caught.value.problems) == 1


@pytest.mark.parametrize(
    ("host", "overlay", "quiet"),
    [
        ("atlas", None, ("V309",)),
        ("other", None, ("V213", "V310")),
        ("other", b"quiet: []\n", ()),
    ],
)
def test_what_is_kept_quiet_is_one_list(host, overlay, quiet):
    """Replaced by a later layer, and the same for every item."""
    text = (
        b"version: 1\nquiet: [V213, V310]\nhosts: {atlas: {quiet: [V309]}}\n"
        b"paths: [{path: /a, nocow: true}]\nmounts: [{target: /, options: {noatime: true}}]\n"
    )
    own = (overlay, "hosts/other.yaml") if overlay else None
    items = load(text, "vmtune.yaml", host=host, home_of=lambda _: "/home/me", overlay=own)
    assert [item.quiet for item in items] == [quiet, quiet]
