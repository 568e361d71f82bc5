"""The journal as lines: what a run did to images."""

from __future__ import annotations

import pytest

from reconciler.core.images import NOCOW, Images
from reconciler.core.model import Swap
from reconciler.core.places import FstabOptions, Timer
from reconciler.core.standing import NONE_LEFT, Standing
from reconciler.core.written import Run, Seen, first_seen
from reconciler.render import runs
from reconciler.value import replace

MIB = 1 << 20
REWRITE = Swap(Images("/srv/vm", NOCOW), Standing(2, ("a", "b")), NONE_LEFT)
TIMER = Swap(Timer("x.timer"), "off", "on")


def seen(key, inode, fragments, compressed=0, shared=0):
    return Seen(key, inode, 100 * MIB, nocow=False, fragments=fragments, compressed=compressed,
                shared=shared)  # fmt: skip


def run(before=(), after=(), action=REWRITE, number=3):
    return Run(
        number,
        "2026-11-23T12:00:00+00:00",
        "ada",
        "apply",
        "/c",
        (action,),
        frozenset({1}),
        {1: "done"},
        "2026-11-23T12:01:00+00:00",
        "done",
        before,
        after,
    )


TRENDS = [
    ((), (), ""),
    ((seen("a", 1, 5),), (), ""),
    ((), (seen("a", 1, 5),), ""),
    ((seen("a", 1, 48211),), (seen("a", 2, 1),),
     "1 of 1 image rewritten, fragments 48,211 -> 1"),
    ((seen("a", 1, 48211, 3 * MIB), seen("b", 3, 4), seen("gone", 4, 9)),
     (seen("a", 2, 1), seen("b", 3, 4), seen("new", 9, 7)),
     "1 of 2 images rewritten, fragments 48,215 -> 5, compressed 3.0 MiB -> 0 bytes"),
]  # fmt: skip


@pytest.mark.parametrize(("before", "after", "said"), TRENDS)
def test_trend(before, after, said):
    assert runs.trend(run(before, after)) == said


def test_a_run_that_rewrites_nothing_only_saw_them():
    of = run((seen("a", 1, 5),), (seen("a", 1, 5),), TIMER)
    assert runs.trend(of) == "1 image seen, fragments 5 as before"


WIDTHS = pytest.mark.parametrize("width", [40, 60, 80, 200])
LONG = "apply --allow raid --allow snapshots --allow rewrite-images"


@WIDTHS
def test_the_list_fits_and_says_it(width):
    of = run((seen("a", 1, 48211, 3 * MIB, MIB),), (seen("a", 2, 1),))
    lines = list(runs.listed([replace(of, command=LONG)], width))
    said = " ".join(" ".join(lines).split())
    assert f"{LONG} by ada: done, 1 of 1 change" in said
    assert "fragments 48,211 -> 1" in said
    assert all(len(line) <= width for line in lines)


@WIDTHS
def test_one_run_fits_and_says_it(width):
    options = "defaults,subvol=@rootfs"
    line = Swap(FstabOptions("/", 3), options, f"{options},compress=no")
    of = run((seen("a", 1, 48211, 3 * MIB, MIB),), (seen("a", 2, 1),))
    lines = list(runs.whole(replace(of, actions=(REWRITE, line, TIMER)), width))
    said = " ".join(" ".join(lines).split())
    assert f"/etc/fstab:3 {options} -> {options},compress=no" in said
    assert "images below /srv/vm 2 files copy-on-write -> nocow" in said
    assert "not done" in said
    assert "started 2026-11-23 12:00:00 ended 2026-11-23 12:01:00" in said
    assert all(len(line) <= width for line in lines)


def test_where_there_is_room_it_is_a_line_each():
    first, times, config, empty, action = runs.whole(run(), 80)
    assert first == "run 3   apply by ada: done, 1 of 1 change"
    assert times == "started 2026-11-23 12:00:00   ended 2026-11-23 12:01:00"
    assert (config, empty) == ("config /c", "")
    assert action == "  done         images below /srv/vm  2 files copy-on-write -> nocow"


@WIDTHS
def test_a_path_stays_whole_and_no_other_line_grows(width):
    path = "/etc/systemd/system/" + "y" * 80 + ".timer"
    lines = list(runs.whole(run(action=Swap(Timer(path), "off", "on")), width))
    assert "\n".join(lines).count(path) == 1
    assert all(len(line) <= width or line.split()[0] == path for line in lines if line)


def test_the_first_look_counts():
    old, new = (
        run((seen("a", 1, 9),), (seen("a", 2, 1), seen("b", 5, 7)), number=1),
        run((seen("a", 2, 4), seen("b", 5, 8)), number=2),
    )
    assert {key: each.fragments for key, each in first_seen([old, new]).items()} == {"a": 9, "b": 7}
