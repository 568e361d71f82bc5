"""Schedules: what is accepted and as what it is written, what is refused and in which words."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from reconciler.formats import calendar
from tests import tiers

# text, the fields written for cron, the expressions written for systemd
CRON = [
    ("0 12 * * *", "0 12 * * *", ["*-*-* 12:00:00"]),
    ("  0\t12  * * *  ", "0 12 * * *", ["*-*-* 12:00:00"]),
    ("* * * * *", "* * * * *", ["*-*-* *:*:00"]),
    ("05 00 * * *", "5 0 * * *", ["*-*-* 00:05:00"]),
    ("*/15 * * * *", "*/15 * * * *", ["*-*-* *:00..45/15:00"]),
    ("*/60 */24 * * *", "*/60 */24 * * *", ["*-*-* 00:00:00"]),
    ("0 */13 * * *", "0 */13 * * *", ["*-*-* 00..13/13:00:00"]),
    ("0 8-17/4,22 * * *", "0 8-16/4,22 * * *", ["*-*-* 08..16/4,22:00:00"]),
    ("5-5/3 0-23 * * *", "5 0-23 * * *", ["*-*-* *:05:00"]),
    ("7,*/30 0 * * *", "7,*/30 0 * * *", ["*-*-* 00:07,00..30/30:00"]),
    ("0 0 * * 1-5", "0 0 * * 1-5", ["Mon..Fri *-*-* 00:00:00"]),
    ("0 0 * * mon-FRI", "0 0 * * 1-5", ["Mon..Fri *-*-* 00:00:00"]),
    ("0 0 * * 0", "0 0 * * 0", ["Sun *-*-* 00:00:00"]),
    ("0 0 * * 7", "0 0 * * 7", ["Sun *-*-* 00:00:00"]),
    ("0 0 * * 6,7", "0 0 * * 6,7", ["Sat,Sun *-*-* 00:00:00"]),
    ("0 0 * * fri-sun", "0 0 * * 5-7", ["Fri..Sun *-*-* 00:00:00"]),
    ("0 0 * * sun-tue", "0 0 * * 0-2", ["Mon,Tue,Sun *-*-* 00:00:00"]),
    ("0 0 * * 0-6", "0 0 * * 0-6", ["*-*-* 00:00:00"]),
    ("0 0 * * */7", "0 0 * * */7", ["Sun *-*-* 00:00:00"]),
    ("0 0 1 JAN,jul *", "0 0 1 1,7 *", ["*-01,07-01 00:00:00"]),
    ("0 0 29 2 *", "0 0 29 2 *", ["*-02-29 00:00:00"]),
    ("0 0 30,31 feb,apr *", "0 0 30,31 2,4 *", ["*-02,04-30,31 00:00:00"]),
    # Both day fields restricted: either is enough, ...
    ("30 4 1,15 * 5", "30 4 1,15 * 5", ["*-*-01,15 04:30:00", "Fri *-*-* 04:30:00"]),
    ("0 0 1-7 3 sun", "0 0 1-7 3 0", ["*-03-01..07 00:00:00", "Sun *-03-* 00:00:00"]),
    ("0 0 1-31 * mon", "0 0 1-31 * 1", ["*-*-* 00:00:00"]),
    ("0 0 13 * 0-7", "0 0 13 * 0-7", ["*-*-* 00:00:00"]),
    ("0 0 2,*/9 * mon", "0 0 2,*/9 * 1", ["*-*-02,01..28/9 00:00:00", "Mon *-*-* 00:00:00"]),
    # ... but not when one of them begins with a star, whatever follows it.
    ("0 0 */2 * mon", "0 0 */2 * 1", ["Mon *-*-01..31/2 00:00:00"]),
    ("0 0 1-7 * */7", "0 0 1-7 * */7", ["Sun *-*-01..07 00:00:00"]),
    ("0 0 *,5 * mon", "0 0 *,5 * 1", ["Mon *-*-* 00:00:00"]),
    ("@hourly", "0 * * * *", ["*-*-* *:00:00"]),
    ("@daily", "0 0 * * *", ["*-*-* 00:00:00"]),
    ("@midnight", "0 0 * * *", ["*-*-* 00:00:00"]),
    ("@weekly", "0 0 * * 0", ["Sun *-*-* 00:00:00"]),
    ("@Monthly", "0 0 1 * *", ["*-*-01 00:00:00"]),
    ("@yearly", "0 0 1 1 *", ["*-01-01 00:00:00"]),
    ("@annually", "0 0 1 1 *", ["*-01-01 00:00:00"]),
]

ON_CALENDAR = [
    "daily",
    "Weekly UTC",
    "semi-annually",
    "12:00",
    "*:0/15",
    "Sun 12:00",
    "mon..Fri,Sun 12:00:30",
    "Monday-Friday *-*-* 12:00:00",
    "Sat *-*-1..7 18:00",
    "*-*~1",
    "*-*~1,01,25",
    "*-02~01..03 04:00",
    "Mon *-05~07/1",
    "*~28/27",
    "2027-1-1 0:0 Europe/Berlin",
    "27-*-1",
    "12:00:00/2.5",
    "0..23/2:30 Etc/GMT+5",
    "0/23:1/58:0/59",
    "0..24/13:00",
]

# text, and what the sentence must say
REFUSED = [
    ("", "empty"),
    (" \t", "empty"),
    ("0 25 * * *", "field 2 (hour) is 25: 0 to 23"),
    ("60 * * * *", "field 1 (minute) is 60: 0 to 59"),
    ("0 0 0 * *", "field 3 (day of month) is 0: 1 to 31"),
    ("0 0 * 13 *", "field 4 (month) is 13: 1 to 12"),
    ("0 0 * * 8", "field 5 (day of week) is 8: 0 to 7"),
    ("0 0 * * monday", "sun, mon, tue"),
    ("0 jan * * *", "field 2 (hour) is jan"),
    ("-5 * * * *", "field 1 (minute) is -5"),
    ("1/2 * * * *", "write 1-59/2"),
    ("5-1 * * * *", "write 5-59,0-1"),
    ("0 0 * * 5-0", "write 5-7,0"),
    ("*/0 * * * *", "step 0: 1 to 60"),
    ("*/90 * * * *", "step 90: 1 to 60, as counting starts again in each hour"),
    ("5, * * * *", "a comma stands between two numbers"),
    ("1-2-3 * * * *", "field 1 (minute) is 1-2-3"),
    ("*-5 * * * *", "field 1 (minute) is *-5"),
    ("0x5 * * * *", "field 1 (minute) is 0x5"),
    ("9" * 5000 + " * * * *", "field 1 (minute)"),
    ("*/" + "9" * 5000 + " * * * *", "1 to 60"),
    ("0 0 L * *", "L, W, # and ? are not known to cron(8)"),
    ("0 0 15W * *", "not known to cron(8)"),
    ("0 0 * * 5#2", "not known to cron(8)"),
    ("0 0 ? * 1", "not known to cron(8)"),
    ("0 0 31 2 *", "no such month has that day"),
    ("0 0 30-31 feb mon", "no such month has that day"),
    ("0 0 31 4,6,9,11 *", "no such month has that day"),
    ("* 12 * *", "has 4 fields: cron has five (minute, hour, day of month, month, day of week)"),
    ("0 0 12 * * *", "has 6 fields"),
    ("0 12 * * * root", "has 6 fields"),
    ("12 00", "has 2 fields"),
    ("@reboot", "a moment, not a schedule"),
    ("@fortnightly", "@weekly"),
    ("@daily 5", "not a shortcut"),
    ("@1700000000", "not a shortcut"),
    ("noon", 'write "12:00"'),
    ("Every Day", 'write "daily"'),
    ("*/2:00", "write 0/2"),
    ("0 12 * * *\n", "character"),
    ("0\u00a012 * * *", "character"),
    ("\uff10 12 * * *", "character"),
]


@pytest.mark.parametrize(("text", "cron", "on_calendar"), CRON)
def test_cron(text, cron, on_calendar):
    assert calendar.parse(text) == calendar.Schedule(text, cron, tuple(on_calendar))


@pytest.mark.parametrize("text", ON_CALENDAR)
def test_on_calendar(text):
    assert calendar.parse(f" {text} ") == calendar.Schedule(f" {text} ", "", (text,))


@pytest.mark.parametrize("text", ON_CALENDAR)
def test_systemd_accepts_what_is_accepted(text):
    tiers.judge("systemd-analyze", "systemd")
    command = ["systemd-analyze", "calendar", "--", text]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("text", "words"), REFUSED)
def test_refused(text, words):
    with pytest.raises(ValueError) as problem:  # noqa: PT011 - the words are the test
        calendar.parse(text)
    assert words in str(problem.value)


@pytest.mark.parametrize(
    ("text", "after", "runs"),
    [
        ("0 12 * * *", datetime(2026, 1, 1, 12, 0), [(1, 2, 12), (1, 3, 12)]),  # noqa: DTZ001
        ("0 12 * * *", datetime(2026, 1, 1, 11, 59, 59, tzinfo=UTC), [(1, 1, 12), (1, 2, 12)]),
        # the twelfth hour of the person's own clock, on both sides of the change
        (
            "0 12 * * *",
            datetime(2026, 3, 28, 13, tzinfo=ZoneInfo("Europe/Berlin")),
            [(3, 29, 12), (3, 30, 12)],
        ),
        # n-n/k runs once: cron(8) does not step past the end of a range
        ("0 5-5/3 1 1 *", datetime(2025, 6, 1, tzinfo=UTC), [(1, 1, 5), (1, 1, 5)]),
    ],
)
def test_next_runs(text, after, runs):
    pytest.importorskip("cronsim", reason="NOT CHECKED: no cronsim here")
    found = calendar.next_runs(calendar.parse(text), after, 2)
    assert [(run.month, run.day, run.hour) for run in found] == runs
    assert all(run.tzinfo is after.tzinfo and run.minute == 0 for run in found)


def test_next_runs_of_an_on_calendar_expression_are_systemd_s():
    with pytest.raises(ValueError, match="OnCalendar"):
        calendar.next_runs(calendar.parse("daily"), datetime(2026, 1, 1, tzinfo=UTC), 1)
