"""Lines for people: nothing in them moves a cursor, and they fit."""

from __future__ import annotations

import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconciler.engine.directory import Directory, Folder
from reconciler.engine.model import Change, Notify, Plan
from reconciler.engine.place import Swap
from reconciler.engine.schedule import TextFile
from reconciler.errors import ConfigError, SourceLocation
from reconciler.facts.diagnostics import Note, Op
from reconciler.facts.tree import NONE_LEFT, NameList
from reconciler.report import text, wrap
from reconciler.resources.mount.places import FstabOptions, LiveOption
from reconciler.resources.nocow.places import Below

QUICK = settings(
    max_examples=80, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)

HOSTILE = [
    ("\x1b[2Jhome", r"\x1b[2Jhome"),
    ("a\nb", r"a\nb"),
    ("a\tb\rc", r"a\tb\rc"),
    ("\x07\x7f\x9b31m", r"\x07\x7f\x9b31m"),
    ("caf\udce9", r"caf\udce9"),
    ("\u202egnp.exe", r"\u202egnp.exe"),
    ("\u200b\u2028", r"\u200b\u2028"),
    ("größe 日本 é", "größe 日本 é"),
]

anything = st.text(
    st.characters() | st.sampled_from("\x1b\n\r\x07\x9b\u202e\udcff "), min_size=1, max_size=12
)
short_words = st.lists(st.text("abc", min_size=1, max_size=9), min_size=1, max_size=30).map(
    " ".join
)


@pytest.mark.parametrize(("raw", "shown"), HOSTILE)
def test_printable(raw, shown):
    assert wrap.printable(raw) == shown
    assert wrap.printable(shown) == shown


def test_a_name_that_is_longer_than_the_column_leaves_its_text_the_line():
    name = "/srv/a-long-name-of-a-machine/disk.raw"
    said = "not rewritten: it has more than one name (hard links)"
    change = Change(Op.BLOCKED, "images", name, said, hint="keep one name", code="V703")
    short = Change(Op.SAME, "nocow", "/srv", "new files are written in place")
    assert list(text.rows((short, change), 60)) == [
        f"! images {name}  V703",
        "    why            not rewritten: it has more than one name",
        "                   (hard links)",
        "    do             keep one name",
        "",
        "= nocow /srv                  new files are written in place",
    ]


def test_a_code_comes_with_the_way_to_its_meaning():
    note = Note("revert cannot take it back", "V709")
    rows = (Change(Op.CHANGE, "images", "/srv", notes=(note,)),)
    assert text.more(Plan(rows)) == "`vmtune explain V709` says more about that code."
    blocked = Change(Op.BLOCKED, "images", "/srv/a", code="V703")
    told = "`vmtune explain CODE` says more about each code: V703, V709."
    assert text.more(Plan((*rows, blocked))) == told
    assert text.more(Plan((blocked, blocked))) == "`vmtune explain V703` says more about that code."
    assert not text.more(Plan((Change(Op.SAME, "nocow", "/srv"),)))


def folders(names):
    return st.builds(Folder, st.booleans(), names, st.integers(0, 0o777), st.just(0), st.just(0))


def swaps(names):
    owner = names.map(lambda name: f"nocow {name}")
    return st.one_of(
        st.builds(
            Swap,
            st.builds(Directory, names),
            st.none() | folders(names),
            folders(names),
            names,
            owner,
        ),
        st.builds(
            Swap,
            st.builds(Below, names),
            st.builds(NameList, st.integers(1, 4), st.lists(names, max_size=4).map(tuple)),
            st.just(NONE_LEFT),
            names,
            owner,
        ),
        st.builds(
            Swap, st.builds(FstabOptions, names, st.just(7)), st.none() | names, names, names, owner
        ),
        st.builds(
            Swap,
            st.builds(LiveOption, names, st.just("compress")),
            names,
            st.just(""),
            names,
            owner,
        ),
        st.builds(
            Swap, st.builds(TextFile, names), st.none() | names, st.none() | names, names, owner
        ),
    ).filter(lambda swap: swap.have != swap.want)


def changes(names, prose):
    return st.builds(
        Change,
        st.sampled_from(Op),
        st.sampled_from(["nocow", "mount", "defrag"]),
        names,
        prose,
        st.lists(swaps(names), max_size=3).map(tuple),
        st.lists(st.builds(Note, prose, st.sampled_from(["", "V101"])), max_size=2).map(tuple),
        prose,
        st.sampled_from(["", "V305"]),
    )


def plans(names, prose):
    return st.lists(changes(names, prose), max_size=4).map(
        lambda found: Plan(tuple(found), tuple(swap for change in found for swap in change.swaps))
    )


def lines_of(plan, width):
    return [
        *text.plan(plan, width, verbose=True),
        *map(text.action, plan.actions),
        *(line for action in plan.actions for line in text.result("done", action, "[1/2]", 500)),
        *text.counted_rows(plan, Op.BLOCKED, width),
        text.summary(plan),
    ]


@QUICK
@given(plans(anything, anything.map("x{}".format)), st.integers(40, 120))
def test_no_name_reaches_the_terminal_raw(plan, width):
    for line in lines_of(plan, width):
        assert line == wrap.printable(line)


@QUICK
@given(anything, anything)
def test_no_header_or_problem_does_either(one, other):
    lines = [*text.heading((f"host {one}", f"config {other}", "read only"), 80, "·")]
    lines += text.problems([ConfigError(SourceLocation(one, 1, 1), other, one)]).split("\n")
    for line in lines:
        assert line == wrap.printable(line)


@QUICK
@given(plans(st.text("abc/", min_size=1, max_size=12), short_words), st.integers(60, 120))
def test_prose_fits(plan, width):
    """Names and prose of short words: no line is wider than the terminal."""
    assert all(len(line) <= width for line in text.plan(plan, width))


@pytest.mark.parametrize("width", [40, 60, 80, 200])
@pytest.mark.parametrize("word", ["x" * 30, "/" + "y" * 300])
def test_a_long_word_stays_whole(width, word):
    """A path or a command is there to be copied: it is not cut, and no other line grows."""
    change = Change(Op.BLOCKED, "nocow", word, f"see {word} for more of it", hint=f"run {word} now")
    lines = list(text.plan(Plan((change,)), width))
    assert "\n".join(lines).count(word) == 4, "the last line names what is refused"
    assert all(len(line) <= width or word in line for line in lines)


@pytest.mark.parametrize("width", [40, 100])
def test_layout_keeps_every_word(width):
    words = "one two three four five six seven eight nine ten eleven twelve " * 3
    lines = list(wrap.hanging("  + nocow x", words.strip(), width, 14))
    assert " ".join(" ".join(lines).split()) == f"+ nocow x {words.strip()}"


def test_colour_only_repeats_symbols():
    changes = tuple(Change(op, "nocow", f"/srv/{op.name}", "- ~ + ! ? =") for op in Op)
    plain = list(text.plan(Plan(changes)))
    painted = list(text.plan(Plan(changes), paint=lambda words, of: f"<{of}<{words}>>"))
    assert [re.sub("<[^<]*<|>>", "", line) for line in painted] == plain
    for op in Op:
        assert f"<{op}<{op.value}>>" in "\n".join(painted)
        assert sum(f"<{op}<" in line for line in painted) == 1


def test_the_words_that_change_are_coloured():
    """Of a list of options each word, of another value the whole."""
    options = Swap(FstabOptions("/", 7), "rw,noatime,compress=zstd", "rw,noatime,compress=no")
    directory = Swap(
        Directory("/srv"), None, Folder(nocow=True, compression="", mode=0o755, uid=0, gid=0)
    )
    change = Change(Op.CHANGE, "mount", "/", swaps=(options, directory), about="/srv")
    painted = "\n".join(text.rows((change,), 100, lambda words, of: f"<{of} {words}>"))
    assert "rw,noatime,<gone compress=zstd>  ->  rw,noatime,<new compress=no>" in painted
    assert "    directory      <gone missing>  ->  <new nocow, owner 0:0, mode 0755>" in painted


SWAP = Swap(FstabOptions("/", 7), "rw", "ro")

SUMMARIES = [
    ((), "Nothing is declared."),
    ((Op.SAME, Op.SAME), "Nothing to do: 2 in sync."),
    ((Op.SAME, Op.WAITS), "Nothing to do now: 1 waiting for a reboot, 1 in sync."),
    ((Op.ADD, Op.REMOVE, Op.BLOCKED, Op.SAME), "2 to change, 1 refused, 1 in sync. No reboot."),
    ((Op.UNKNOWN,), "Nothing to change; 1 not seen: nocow /srv/vm."),
    (
        (Op.BLOCKED, Op.BLOCKED, Op.UNKNOWN),
        "Nothing to change; 2 refused: nocow /srv/vm and 1 more; 1 not seen: nocow /srv/vm.",
    ),
]


@pytest.mark.parametrize(("ops", "shown"), SUMMARIES)
def test_summary(ops, shown):
    done = {Op.ADD, Op.CHANGE, Op.REMOVE}
    changes = (Change(op, "nocow", "/srv/vm", swaps=(SWAP,) * (op in done)) for op in ops)
    assert text.summary(Plan(tuple(changes))) == shown


def test_entries_in_sync_are_one_line_each_and_one_line_for_all_behind_the_fifth():
    """But what has something to say is never left out."""
    same = [Change(Op.SAME, "nocow", f"/srv/{n}") for n in range(12)]
    told = Change(Op.SAME, "nocow", "/srv/told", notes=(Note("no copy heals another", "V102"),))
    lines = list(text.rows((*same, told), 80))
    assert lines[:3] == [
        "= nocow /srv/told",
        "    also           no copy heals another (V102)",
        "",
    ]
    assert [line.split()[-1] for line in lines[3:-1]] == [f"/srv/{n}" for n in range(5)]
    assert lines[-1] == "= 7 more in sync"
    moot = [Change(Op.SAME, "nocow", f"/ext4/{n}", applicable=False) for n in range(2)]
    *_, last = text.rows((*same, *moot), 80)
    assert last == "= 7 more in sync, 2 more not applicable"
    *_, last = text.rows([*moot * 4], 80)
    assert last == "= 3 more not applicable"
    assert sum("= nocow" in line for line in text.rows((*same, told), 80, verbose=True)) == 13


def test_what_is_said_of_the_host_is_said_once():
    note = Note("crontabs of other users are not readable", is_of_host=True)
    rows = [Change(Op.CHANGE, "defrag", f"/srv/{n}", notes=(note,)) for n in range(3)]
    assert "\n".join(text.rows(rows, 80)).count("crontabs") == 1


def test_what_is_not_applicable_is_counted_apart():
    change = Change(Op.SAME, "nocow", "/srv/vm", applicable=False)
    assert text.summary(Plan((change,))) == "Nothing to do: 1 not applicable."


@pytest.mark.parametrize("width", range(60, 120))
def test_values_of_wide_characters_fit_below_a_long_label(width):
    """Each of them takes two columns."""
    old, new = (Folder(True, "\u65e5" * count, 0o755, 0, 0) for count in (9, 5))
    change = Change(
        Op.CHANGE, "nocow", "/v", swaps=(Swap(Directory("/v/a/longer/path"), old, new),)
    )
    assert all(wrap.columns(line) <= width for line in text.rows((change,), width))


def test_a_poke_is_its_command():
    poke = Notify("systemctl daemon-reload")
    assert text.action(poke) == "systemctl daemon-reload"
    [told] = text.result("done", poke, "[2/3]", 80)
    assert told == "  [2/3] done   systemctl daemon-reload"
