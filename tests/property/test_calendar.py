"""Cron expressions run at the same minutes under three readings of them.

The judge is the rule of crontab(5) written out here, minute by minute; it
shares nothing with the package. systemd is asked where it is installed.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from reconciler.formats import calendar

RUNS = 10
LOW_HIGH = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
NAMES = {
    3: ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
    4: ["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
}
LONGEST_MONTH = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
# Each example starts a program for many cases at once: shrinking one would take minutes.
ASKED = settings(deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))
needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is the judge"
)


@st.composite
def elements(draw, field):
    """One element of a list, as text."""
    low, high = LOW_HIGH[field]
    form = draw(st.sampled_from(["number", "range", "stepped range", "stepped star", "name"]))
    start = draw(st.integers(low, high))
    stop = draw(st.integers(start, high))
    step = draw(st.integers(1, high - low + 1))
    if form == "name" and field in NAMES:
        name = draw(st.sampled_from(NAMES[field]))
        return draw(st.sampled_from([name, name.upper(), name.title()]))
    return {
        "range": f"{start}-{stop}",
        "stepped range": f"{start}-{stop}/{step}",
        "stepped star": f"*/{step}",
    }.get(form, draw(st.sampled_from([f"{start}", f"{start:02}"])))


def fields(field):
    lists = st.lists(elements(field), min_size=1, max_size=3).map(",".join)
    return st.one_of(st.just("*"), lists)


def expressions():
    return st.tuples(*map(fields, range(5))).filter(possible).map(" ".join)


def meant(field, text):
    """The numbers a field stands for; the days of the week are 0 to 6."""
    low, high = LOW_HIGH[field]
    numbers = set()
    for element in text.lower().split(","):
        span, _, step = element.partition("/")
        if span in NAMES.get(field, []):
            span = str(NAMES[field].index(span) + low)
        first, _, last = (f"{low}-{high}" if span == "*" else span).partition("-")
        numbers.update(range(int(first), int(last or first) + 1, int(step or 1)))
    return {number % 7 for number in numbers} if field == 4 else numbers


def possible(texts):
    return min(meant(2, texts[2])) <= max(LONGEST_MONTH[m - 1] for m in meant(3, texts[3]))


def brute_force(expression, after):
    """Every minute later than `after` at which cron runs; without end."""
    texts = expression.split()
    minutes, hours, days, months, weekdays = (meant(n, text) for n, text in enumerate(texts))
    starred = texts[2].startswith("*") or texts[4].startswith("*")
    minute = after.replace(second=0) + timedelta(minutes=1)
    while True:
        day, weekday = minute.day in days, minute.isoweekday() % 7 in weekdays
        today = minute.month in months and ((day and weekday) if starred else (day or weekday))
        if not today:
            minute = minute.replace(hour=0, minute=0) + timedelta(days=1)
            continue
        if minute.hour in hours and minute.minute in minutes:
            yield minute
        minute += timedelta(minutes=1)


def systemd(specifications, after, count):
    """The same by systemd-analyze: normalized form and times of each specification."""
    command = ["systemd-analyze", "calendar", f"--iterations={count}"]
    command += [f"--base-time={after:%Y-%m-%d %H:%M:%S}", *specifications]
    done = subprocess.run(
        command, capture_output=True, text=True, env={"TZ": "UTC", "LC_ALL": "C.UTF-8"}, check=False
    )
    assert done.returncode == 0, done.stderr
    blocks = re.split(r"(?m)^ *(?:Original|Normalized) form: ", done.stdout)[1:]
    form = r"(?:elapse|#\d+): \w+ (\d{4}-\d\d-\d\d \d\d:\d\d):00 UTC"
    times = [
        {
            datetime.strptime(time, "%Y-%m-%d %H:%M").replace(tzinfo=UTC)
            for time in re.findall(form, b)
        }
        for b in blocks
    ]
    # A specification in normalized form already is not printed a second time.
    return [found for block, found in zip(blocks, times, strict=True) if "elapse" in block]


moments = st.integers(0, 7 * 365 * 24 * 60).map(
    lambda minutes: datetime(2025, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
)


@settings(max_examples=150, deadline=None)
@given(expressions(), moments)
def test_next_runs_are_those_of_a_brute_force_matcher(expression, after):
    pytest.importorskip("cronsim", reason="NOT CHECKED: no cronsim here")
    expected = tuple(islice(brute_force(expression, after), RUNS))
    assert calendar.next_runs(calendar.parse(expression), after, RUNS) == expected


@needs_systemd
@settings(ASKED, max_examples=20)
@given(st.lists(expressions(), min_size=10, max_size=20, unique=True), moments)
def test_on_calendar_is_what_cron_does(batch, after):
    schedules = [calendar.parse(expression) for expression in batch]
    specifications = [text for schedule in schedules for text in schedule.on_calendar]
    answers = iter(systemd(specifications, after, RUNS))
    for schedule in schedules:
        merged = sorted(set().union(*islice(answers, len(schedule.on_calendar))))
        assert merged[:RUNS] == list(islice(brute_force(schedule.text, after), RUNS)), schedule
    assert next(answers, None) is None


@given(expressions())
def test_the_written_fields_mean_the_same(expression):
    written = calendar.parse(expression).cron
    assert calendar.parse(written).cron == written
    assert re.fullmatch(r"[\d*,/ -]+", written)
    for number, (before, after) in enumerate(zip(expression.split(), written.split(), strict=True)):
        assert meant(number, before) == meant(number, after)
        assert before.startswith("*") == after.startswith("*")


def chains():
    return st.lists(st.sampled_from(["*", "1", "10", "*/2", "0/2", "8..17"]), max_size=2).map(
        lambda each: ",".join(each) or "*"
    )


dates = st.one_of(st.just(""), st.builds("*-{}-{}".format, chains(), chains()))
times = st.one_of(st.just(""), st.builds("{}:{}".format, chains(), chains()))
days = st.sampled_from(["", "Mon", "mon..Fri", "noon", "every day", "0 12 * *", "daily"])
events = st.builds("{} {} {}".format, days, dates, times).map(lambda text: " ".join(text.split()))


@needs_systemd
@settings(ASKED, max_examples=15)
@given(st.lists(events, min_size=30))
def test_systemd_refuses_what_is_refused_here(batch):
    """The other way round it is asked, and judges what is handed on."""
    texts = [text for text in batch if text and len(text.split()) != 5]
    done = subprocess.run(
        ["systemd-analyze", "calendar", "--", *texts], capture_output=True, text=True, check=False
    )
    refused = set(re.findall(r"(?m)specification '(.*)':", done.stderr))
    for text in texts:
        try:
            assert calendar.parse(text).on_calendar == (text,)
        except ValueError:
            assert text in refused, text


@given(st.text() | st.text("0123456789*,-/ @:.~LW#?monfri"))
def test_any_text_is_a_schedule_or_a_sentence(text):
    sentence = "accepted"
    try:
        calendar.parse(text)
    except ValueError as problem:
        sentence = str(problem)
    assert sentence == "accepted" or re.fullmatch(r".{15,}", sentence)


PATTERN = json.loads((Path(__file__).parents[2] / "schemas" / "vmtune.schema.json").read_text())[
    "$defs"
]["schedule"]["pattern"]
near = st.text("0123456789*,-/ ", max_size=14).map(lambda text: f"{text} * * *")


@given(expressions() | near | st.text() | st.text("0123456789*,-/ @:.~LW#?monfri"))
def test_the_schema_refuses_no_schedule(text):
    """Editors go by the pattern; what it lets through the program may refuse, in its own words."""
    if re.search(PATTERN, text):
        return
    with pytest.raises(ValueError, match=r".{15,}"):
        calendar.parse(text)


OUT_OF_BOUNDS = """\
60 * * * *
* 24 * * *
* * 0 * *
* * 32 * *
* * * 13 *
* * * * 8
5, * * * *
*-5 * * * *
L * * * *
* * * january *
a b c d e"""


@pytest.mark.parametrize("text", OUT_OF_BOUNDS.split("\n"))
def test_the_schema_knows_the_bounds_of_cron(text):
    assert not re.search(PATTERN, text)
