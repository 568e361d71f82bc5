"""The page: whole, alone, and nothing in it is what somebody named a file."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from reconciler.engine.model import Change, Plan
from reconciler.facts.diagnostics import Note, Op
from reconciler.report import html
from reconciler.report.standing import Report
from tests.unit.status.cases_lib import CASES, effect_of, load

EVIL = "<script>alert('x')</script>&\"\x1b[2J"
VOID = {"meta"}


class Reader(HTMLParser):
    """Every tag closed in order; what a page could fetch or run is collected."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.reaches, self.text = [], set(), [], ""

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
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


def page(effect, plan=None, host="atlas"):
    return html.page(Report(plan or Plan(), (), effect), host, "~/vmtune.yaml", "2026-11-23T12:00")


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
    for words in ("win11.qcow2", "48,211 fragments", "before: 30,117 fragments", "now: 1 fragment",
                  "zstd:3, forced", "the line of /", "failed in 3 min 12 s"):  # fmt: skip
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
    assert "not compressed" in text, "both parts of the compression's bar are explained"
