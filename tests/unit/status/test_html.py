"""The page: whole, alone, and nothing in it is what somebody named a file."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from reconciler.engine.model import Change, Plan
from reconciler.facts.diagnostics import Note, Op
from reconciler.report import html
from reconciler.report.standing import Report, Step
from reconciler.report.wrap import Charset
from tests.unit.report.test_runs import run, seen
from tests.unit.status.cases_lib import CASES, effect_of, load

EVIL = "<script>alert('x')</script>&\"\x1b[2J"
VOID = {"meta"}


class Reader(HTMLParser):
    """Every tag closed in order; what a page could fetch or run is collected."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.reaches, self.text, self.seen = [], set(), [], "", []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.seen.append((tag, dict(attrs)))
        self.reaches += [
            (k, v) for k, v in attrs if k in {"src", "href", "srcset"} or k[:2] == "on"
        ]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def read(text):
    reader = Reader()
    reader.feed(text)
    reader.close()
    assert not reader.open
    return reader


def page(effect, plan=None, host="atlas", steps=(), runs=()):
    report = Report(plan or Plan(), (), effect, tuple(steps), tuple(runs))
    return html.page(report, host, "~/vmtune.yaml", "2026-11-23T12:00")


@pytest.mark.parametrize("file", CASES, ids=lambda file: file.stem)
def test_a_page_is_whole_and_alone(file):
    text = page(effect_of(load(file)))
    reader = read(text)
    assert text.splitlines()[1] == html.MARK
    assert not reader.reaches
    assert "script" not in reader.tags
    assert not re.search(r"@import|url\((?!#)|https?:", text)


def test_the_page_says_what_the_terminal_says():
    case = load(next(file for file in CASES if file.stem == "every-part"))
    text = read(page(effect_of(case))).text
    for words in ("win11.qcow2", "78,329", "48,213", "2 images are copy-on-write", "48,211",
                  "30,117 → 1", "zstd:3, forced", "the line of /",
                  "failed with exit code 1 in 3 min 12 s"):  # fmt: skip
        assert words in text


def test_names_are_only_text():
    case = {
        "paths": [{"name": EVIL, "path": f"/{EVIL}", "images": [
            {"name": EVIL, "size": 3, "data": 1, "fragments": 1}]}],
        "filesystems": [{"uuid": "u", "label": EVIL, "where": [EVIL], "now": "off", "boot": "off",
                         "by": EVIL}],
        "schedules": [{"name": EVIL, "scheduler": "", "hidden": EVIL}],
    }  # fmt: skip
    change = Change(Op.BLOCKED, "nocow", EVIL, EVIL, notes=(Note(EVIL),), hint=EVIL)
    text = page(effect_of(case), Plan((change,)), EVIL)
    reader = read(text)
    assert "script" not in reader.tags
    assert "\x1b" not in text
    assert reader.text.count("<script>alert('x')</script>&\"\\x1b[2J") >= 8


@pytest.mark.parametrize(
    ("op", "look"),
    [
        (Op.SAME, "good"),
        (Op.BLOCKED, "bad"),
        (Op.UNKNOWN, "unknown"),
        (Op.WAITS, "unknown"),
    ],
)
def test_the_verdict_is_first(op, look):
    text = page(effect_of({}), Plan((Change(op, "nocow", "/srv/vm"),)))
    assert f'<p class="verdict {look}">' in text
    assert text.index("verdict " + look) < text.index("<h2>")


def test_each_code_is_there_and_what_is_to_be_typed_stands_out():
    notes = (Note("revert cannot take it back", "V709"), Note("up to 1.5 MiB must be free"))
    change = Change(Op.CHANGE, "images", "/srv", notes=notes, hint="write `existing: keep`")
    text = page(effect_of({}), Plan((change,)))
    said = " ".join(read(text).text.split())
    assert "revert cannot take it back V709" in said
    assert "<code>existing: keep</code>" in text
    assert "`" not in read(text).text
    assert "1.5&nbsp;MiB" in text
    assert 'title="to change">~</b>' in text
    assert "atlas: virtual machine images on Btrfs" in said


def test_what_was_before_is_said_once():
    case = load(next(file for file in CASES if file.stem == "every-part"))
    text = read(page(effect_of(case))).text
    assert text.count("30,117") == 1


def test_a_c_locale_changes_no_name_of_a_subvolume(monkeypatch):
    """The page is UTF-8, whatever the terminal shows."""
    monkeypatch.setattr(Charset, "is_ascii", True)
    image = {"name": "a", "size": 3, "data": 3, "shared": 1, "fragments": 1}
    path = {"name": "/v", "path": "/v", "images": [image], "sharers": {"subvolumes": ["größe"]}}
    assert "shared with größe" in page(effect_of({"paths": [path]}))


def test_bars_have_one_scale_and_dots_a_logarithmic_one():
    case = load(next(file for file in CASES if file.stem == "every-part"))
    seen = read(page(effect_of(case))).seen
    wide = [
        float(attrs["style"].removeprefix("width:").removesuffix("%"))
        for tag, attrs in seen
        if tag == "svg" and attrs.get("class") == "stack"
    ]
    assert wide == pytest.approx([100, 100 * 20 / 61, 100 * 10 / 61, 100 / 61], abs=0.01)
    dots = [attrs["cx"] for tag, attrs in seen if tag == "circle"]
    places = [float(dot[:-1]) for dot in dots if dot.endswith("%") and dot != "50%"]
    # 48,211 now; 30,117 before and 1 now; 1; 0: on 94 per cent from 1 to 100,000.
    scale = [3 + 94 * math.log10(count) / 5 for count in (48211, 30117, 1, 1, 1)]
    assert places == pytest.approx(scale, abs=0.01)


def test_every_picture_says_in_words_what_it_shows():
    case = load(next(file for file in CASES if file.stem == "every-part"))
    pictures = [
        attrs for tag, attrs in read(page(effect_of(case))).seen
        if tag == "svg" and "aria-hidden" not in attrs
    ]  # fmt: skip
    assert pictures
    assert all(attrs["role"] == "img" and attrs["aria-label"] for attrs in pictures)
    told = {attrs["aria-label"] for attrs in pictures}
    assert "copy-on-write 45.9 GiB, copy-on-write, shared 2.9 GiB, no data 12.2 GiB" in told
    assert "30,117 fragments before, 1 fragment now" in told


def test_what_to_do_comes_before_the_charts_and_what_is_in_sync_is_folded_away():
    rows = (Change(Op.SAME, "nocow", "/in/sync"), Change(Op.BLOCKED, "nocow", "/refused"))
    case = load(next(file for file in CASES if file.stem == "every-part"))
    step = Step("a schedule failed", "`journalctl --unit x` says why")
    text = page(effect_of(case), Plan(rows), steps=[step])
    assert text.index("What to do next") < text.index("How the images lie on disk")
    assert "<code>journalctl --unit x</code> says why" in text
    assert text.index("/refused") < text.index("<details>") < text.index("/in/sync")
    assert "<summary>1 in sync</summary>" in text


def test_runs_and_schedules_are_tables():
    done = run((seen("a", 1, 48211),), (seen("a", 2, 1),))
    case = load(next(file for file in CASES if file.stem == "every-part"))
    reader = read(page(effect_of(case), runs=[done, replace(done, number=4, result="part way")]))
    assert [tag for tag, attrs in reader.seen if attrs.get("class") == "runs"] == ["table"] * 2
    assert "1 of 1 image rewritten, fragments 48,211 -> 1" in reader.text
    assert reader.text.index("run 4") < reader.text.index("run 3"), "the last one is first"
    assert "cron keeps no record" in reader.text
