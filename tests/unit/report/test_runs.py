"""The journal as lines: what a run did to images."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reconciler.engine.directory import Subvolume
from reconciler.engine.last_applied import Run, Seen, first_seen
from reconciler.engine.model import Notify
from reconciler.engine.place import Swap
from reconciler.engine.schedule import Timer
from reconciler.facts.tree import NONE_LEFT, NameList
from reconciler.report import history as history_report
from reconciler.resources.images.places import NOCOW, Images, OneImage
from reconciler.resources.mount.places import FstabOptions

MIB = 1 << 20
REWRITE = Swap(Images("/srv/vm", NOCOW), NameList(1, ("a",)), NONE_LEFT)
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
    assert history_report.trend(run(before, after)) == said


def test_of_more_than_were_seen_it_is_the_largest():
    many = replace(REWRITE, have=NameList(2000, ("a", "b")))
    of = run((seen("a", 1, 5), seen("b", 2, 3)), (seen("a", 3, 1), seen("b", 2, 3)), many)
    assert history_report.trend(of) == "of the 2 largest images 1 rewritten, fragments 8 -> 4"


def test_images_are_told_only_of_a_run_that_was_about_them():
    of = run((seen("a", 1, 5),), (seen("a", 1, 7),), TIMER)
    assert history_report.trend(of) == ""
    assert history_report.plain(of)["images"] is None


def test_of_one_image_those_beside_it_are_not_told():
    one = Swap(OneImage("/srv/vm", NOCOW, file="a"), NameList(1, ("a",)), NONE_LEFT)
    of = run((seen("a", 1, 50), seen("b", 2, 7)), (seen("a", 3, 1), seen("b", 2, 9)), one)
    assert history_report.trend(of) == "1 of 1 image rewritten, fragments 50 -> 1"


def test_a_new_subvolume_is_no_rewrite_of_all_that_is_in_it():
    """Its files are other inodes; those that were nocow before are as they were."""
    turned = Swap(Subvolume("/srv/vm", 0o755, 0, 0), "directory", "subvolume")
    old, new = seen("a", 1, 50), replace(seen("b", 2, 1), nocow=True)
    after = (replace(old, inode=257, nocow=True, fragments=1), replace(new, inode=258))
    of = replace(run((old, new), after), actions=(turned, REWRITE), outcomes={1: "done", 2: "done"})
    assert history_report.trend(of) == "1 of 2 images rewritten, fragments 51 -> 2"
    images = history_report.plain(of)["images"]
    assert images
    assert images["rewritten"] == 1


def test_changes_are_counted_as_the_plan_counted_them():
    """An entry is one change, whatever is done for it; what systemd is told is one of its own."""
    owned = replace(TIMER, owner="defrag /srv/vm")
    actions = (replace(owned, place=Timer("y.timer")), Notify("systemctl daemon-reload"), owned)
    of = replace(run(), actions=actions, outcomes=dict.fromkeys((1, 2, 3), "done"))
    assert "done, 2 of 2 changes" in next(history_report.listed([of], 200))
    of = replace(of, outcomes={1: "done", 2: "done"})
    assert "done, 1 of 2 changes" in next(history_report.listed([of], 200))


def test_what_lies_in_the_home_is_named_as_in_the_file():
    of = replace(run(), config="/h/c", actions=(replace(REWRITE, owner="images /h/vm"),))
    _, entries, config = history_report.listed([of], 200, tilde=lambda p: p.replace("/h/", "~/"))
    assert (entries.strip(), config.strip()) == ("images ~/vm", "config ~/c")


@pytest.mark.parametrize("is_at_work", [False, True])
def test_a_run_without_an_end_may_be_at_work(is_at_work):
    of = replace(run(), result="", finished="")
    said = "\n".join(history_report.listed([run(number=1), of], 200, is_at_work=is_at_work))
    assert said.count("by ada: done, 1 of 1 change") == 1
    assert ("not finished (at work, or cut off)" in said) is is_at_work
    assert ("cut off, 1 of 1" in said) is not is_at_work


def test_the_list_names_what_was_changed_and_by_which_file():
    owners = [f"nocow /srv/{name}" for name in "abcdef"]
    actions = tuple(replace(REWRITE, owner=owner) for owner in [*owners, owners[0]])
    outcomes = dict.fromkeys(range(1, 8), "done") | {2: "not done"}
    of = replace(run(), actions=actions, outcomes=outcomes, begun=frozenset())
    _, entries, config = list(history_report.listed([of], 200))
    told = "nocow /srv/a, nocow /srv/c, nocow /srv/d, nocow /srv/e, and 1 more"
    assert (entries.strip(), config.strip()) == (told, "config /c")


WIDTHS = pytest.mark.parametrize("width", [40, 60, 80, 200])
LONG = "apply --allow raid --allow snapshots --allow rewrite-images"


@WIDTHS
def test_the_list_fits_and_says_it(width):
    of = run((seen("a", 1, 48211, 3 * MIB, MIB),), (seen("a", 2, 1),))
    lines = list(history_report.listed([replace(of, command=LONG)], width))
    said = " ".join(" ".join(lines).split())
    assert f"{LONG} by ada: done, 1 of 1 change" in said
    assert "fragments 48,211 -> 1" in said
    assert all(len(line) <= width for line in lines)


@WIDTHS
def test_one_run_fits_and_says_it(width):
    options = "defaults,subvol=@rootfs"
    line = Swap(FstabOptions("/", 3), options, f"{options},compress=no")
    of = run((seen("a", 1, 48211, 3 * MIB, MIB),), (seen("a", 2, 1),))
    lines = list(history_report.whole(replace(of, actions=(REWRITE, line, TIMER)), width))
    said = " ".join(" ".join(lines).split())
    assert f"/etc/fstab:3 {options} -> {options},compress=no" in said
    assert "images below /srv/vm 1 file copy-on-write -> nocow" in said
    assert "not done" in said
    assert "started 2026-11-23 12:00:00 ended 2026-11-23 12:01:00" in said
    assert all(len(line) <= width for line in lines)


def test_where_there_is_room_it_is_a_line_each():
    first, times, config, empty, action = history_report.whole(run(), 80)
    assert first == "run 3   apply by ada: done, 1 of 1 change"
    assert times == "started 2026-11-23 12:00:00   ended 2026-11-23 12:01:00"
    assert (config, empty) == ("config /c", "")
    assert action == "  done         images below /srv/vm  1 file copy-on-write -> nocow"


@WIDTHS
def test_a_path_stays_whole_and_no_other_line_grows(width):
    path = "/etc/systemd/system/" + "y" * 80 + ".timer"
    lines = list(history_report.whole(run(action=Swap(Timer(path), "off", "on")), width))
    assert "\n".join(lines).count(path) == 1
    assert all(len(line) <= width or line.split()[0] == path for line in lines if line)


def test_the_first_look_counts():
    old, new = (
        run((seen("a", 1, 9),), (seen("a", 2, 1), seen("b", 5, 7)), number=1),
        run((seen("a", 2, 4), seen("b", 5, 8)), number=2),
    )
    assert {key: each.fragments for key, each in first_seen([old, new]).items()} == {"a": 9, "b": 7}
