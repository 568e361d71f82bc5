"""When something runs: cron fields and tables (crontab(5)), or systemd's OnCalendar.

The line MARK begins every file that is vmtune's alone to write and delete.
"""

from __future__ import annotations

import re
import shlex
from itertools import islice
from typing import TYPE_CHECKING

from reconciler.value import Value

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime


SHORTCUTS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}

_SAID_OTHERWISE = {
    "noon": "12:00",
    "midnight": "daily",
    "nightly": "daily",
    "every minute": "minutely",
    "every hour": "hourly",
    "every day": "daily",
    "every week": "weekly",
    "every month": "monthly",
    "every year": "yearly",
}

_EXPECTED = 'write five cron fields ("0 12 * * 0"), "@weekly", or OnCalendar ("Sun 12:00")'

_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


class Schedule(Value):
    """A schedule, as both schedulers write it.

    ``text`` is as the user wrote it. ``cron`` has five fields with numbers for
    names, or is "" when only systemd can say it. ``on_calendar`` has one
    expression, or two when cron joins its two day fields by "or".
    """

    text: str
    cron: str
    on_calendar: tuple[str, ...]


def parse(text: str) -> Schedule:
    """Read a schedule; ValueError says in one sentence what is wrong and what to write."""
    words = text.split()
    if not words:
        raise ValueError(f"the schedule is empty: {_EXPECTED}")
    if not " ".join(words).isascii() or not text.replace("\t", " ").isprintable():
        raise ValueError(f"{text!r} holds a character that no schedule has: {_EXPECTED}")
    if words[0].startswith("@"):
        return _cron(text, _shortcut(text, words).split())
    if len(words) == len(COLUMNS) and not any(":" in word for word in words):
        return _cron(text, words)
    _refuse_what_is_like_one(text, words)
    return Schedule(text, cron="", on_calendar=(" ".join(words),))


def next_runs(schedule: Schedule, after: datetime, count: int) -> tuple[datetime, ...]:
    """The first `count` times cron(8) runs it after `after`, in the same time zone (or none).

    ValueError for a schedule that only systemd can say: ``systemd-analyze
    calendar`` computes that one.
    """
    if not schedule.cron:
        raise ValueError(
            f"{schedule.text!r} is an OnCalendar expression, which cron has no word for"
        )
    from cronsim import CronSim  # noqa: PLC0415

    return tuple(islice(CronSim(schedule.cron, after), count))


def _cron(text: str, words: list[str]) -> Schedule:
    fields = parse_fields(words)
    return Schedule(text, cron=" ".join(map(str, fields)), on_calendar=_on_calendar(*fields))


def _shortcut(text: str, words: list[str]) -> str:
    name = words[0].lower()
    if name == "@reboot":
        others = f"write @daily, or another of {', '.join(SHORTCUTS)}"
        raise ValueError(f"@reboot is a moment, not a schedule: {others}")
    if len(words) > 1 or name not in SHORTCUTS:
        raise ValueError(f"{text!r} is not a shortcut of cron: write one of {', '.join(SHORTCUTS)}")
    return SHORTCUTS[name]


def _refuse_what_is_like_one(text: str, words: list[str]) -> None:
    """Say what a person meant who wrote something like a schedule; systemd may know the rest."""
    if said := _SAID_OTHERWISE.get(" ".join(words).lower()):
        raise ValueError(f'{text!r} is not a schedule: write "{said}"')
    if "*/" in text and ":" in text:
        why = "has a step after *: in OnCalendar write 0/2 for what cron writes */2"
        raise ValueError(f"{text!r} {why}")
    if len(words) > 1 and set(words[0]) <= set("0123456789*/,") and ":" not in text:
        columns = ", ".join(column.name for column in COLUMNS)
        raise ValueError(f"{text!r} has {len(words)} fields: cron has five ({columns})")


def _on_calendar(
    minute: Field, hour: Field, day: Field, month: Field, weekday: Field
) -> tuple[str, ...]:
    """Return when cron(8) would run as OnCalendar: two events when it joins both days by "or".

    It does so when neither begins with ``*``; ``*/2`` begins with one, so that
    both days must match then, whatever crontab(5) says about "restricted".
    """
    time = f"{_chain(hour)}:{_chain(minute)}:00"
    date = f"*-{_chain(month)}-{_chain(day)} {time}"
    any_date = f"*-{_chain(month)}-* {time}"
    days = _week(weekday)
    if day.star or weekday.star:
        return (f"{days}{date}",)
    if day.everything or weekday.everything:
        return (any_date,)
    return date, f"{days}{any_date}"


def _chain(field: Field) -> str:
    return "*" if field.everything else ",".join(map(_component, field.terms))


def _component(term: Term) -> str:
    first, last, step = term.values[0], term.values[-1], term.values.step
    if first == last:
        return f"{first:02}"
    # Always with an end: of an open 00/13, systemd skips the first elapse in a
    # new month or year (systemd/systemd#22665, #40260; seen in 252).
    return f"{first:02}..{last:02}" + (f"/{step}" if step > 1 else "")


def _week(field: Field) -> str:
    """Weekday names with a blank behind, "" for all of them."""
    if field.everything:
        return ""
    days = [day for day in range(7) if day + 1 in field.values]
    starts = [day for day in days if day - 1 not in days]
    stops = [day for day in days if day + 1 not in days]
    return ",".join(map(_days, starts, stops)) + " "


def _days(first: int, last: int) -> str:
    if last - first > 1:
        return f"{_WEEKDAYS[first]}..{_WEEKDAYS[last]}"
    return ",".join(_WEEKDAYS[first : last + 1])


DAYS_IN_MONTH = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")

_CRONFIELDS_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")

_TERM = re.compile(
    r"(?:(?P<star>\*)|(?P<start>\w+)(?:-(?P<stop>\w+))?)(?:/(?P<step>\d+))?", re.ASCII
)


class Column(Value):
    """One of the five columns: its place on the line, and what may stand there."""

    number: int
    name: str
    low: int
    high: int
    around: str
    """After which counting starts again."""
    names: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"field {self.number} ({self.name})"


COLUMNS = (
    Column(1, "minute", 0, 59, "hour"),
    Column(2, "hour", 0, 23, "day"),
    Column(3, "day of month", 1, 31, "month"),
    Column(4, "month", 1, 12, "year", _MONTHS),
    Column(5, "day of week", 0, 7, "week", _CRONFIELDS_WEEKDAYS),
)


class Term(Value):
    """One element of a list: ``*``, ``5``, ``1-5``, each of the last two with a step."""

    values: range
    star: bool

    def __str__(self) -> str:
        step = f"/{self.values.step}" if self.values.step > 1 else ""
        if self.star:
            return f"*{step}"
        if len(self.values) == 1:
            return str(self.values.start)
        return f"{self.values.start}-{self.values[-1]}{step}"


class Field(Value):
    """One field; its text is the same schedule with numbers in place of names."""

    column: Column
    terms: tuple[Term, ...]

    def __str__(self) -> str:
        return ",".join(map(str, self.terms))

    @property
    def star(self) -> bool:
        """Whether the field begins with ``*``: that is what cron(8) looks at, also for ``*/2``."""
        return self.terms[0].star

    @property
    def values(self) -> frozenset[int]:
        """The numbers meant; Sunday is 0 and 7, as cron(8) sets both."""
        values = frozenset(value for term in self.terms for value in term.values)
        sundays = {0, 7} if self.column.high == 7 and values & {0, 7} else set()  # noqa: PLR2004
        return values | sundays

    @property
    def everything(self) -> bool:
        return len(self.values) == self.column.high - self.column.low + 1


def parse_fields(words: list[str]) -> tuple[Field, Field, Field, Field, Field]:
    """Minute, hour, day of month, month, day of week; ValueError says which one and why."""
    minute, hour, day, month, weekday = (
        Field(column, tuple(_term(column, text, term) for term in text.split(",")))
        for column, text in zip(COLUMNS, words, strict=False)
    )
    if min(day.values) > max(DAYS_IN_MONTH[number - 1] for number in month.values):
        raise ValueError(
            f"{day.column} is {day} and {month.column} is {month}: "
            "no such month has that day; write a day that comes, or * for the month"
        )
    return minute, hour, day, month, weekday


def _term(column: Column, field: str, text: str) -> Term:
    match = _TERM.fullmatch(text)
    if match is None:
        raise ValueError(f"{column} is {field}: {_cronfields_expected(column, text)}")
    step = _step(column, match["step"])
    if match["star"]:
        return Term(range(column.low, column.high + 1, step), star=True)
    start = _number(column, match["start"])
    if match["stop"] is None:
        if match["step"]:
            raise ValueError(
                f"{column} is {field}: a step needs a range, write {start}-{column.high}/{step}"
            )
        return Term(range(start, start + 1), star=False)
    stop = _number(column, match["stop"])
    if stop == 0 and match["stop"].isalpha():
        stop = 7 if start else 0  # fri-sun can only mean the Sunday after it
    if start > stop:
        rest = f"{column.low}-{stop}" if stop > column.low else f"{stop}"
        raise ValueError(
            f"{column} is {field}: cron(8) never runs a range that goes back, "
            f"write {start}-{column.high},{rest}"
        )
    return Term(range(start, stop + 1, step), star=False)


def _number(column: Column, text: str) -> int:
    if text.lower() in column.names:
        return column.names.index(text.lower()) + column.low
    # Four digits are enough, and int() refuses 5,000 of them in words of its own.
    if not text.isdigit() or len(text) > 4:  # noqa: PLR2004
        raise ValueError(f"{column} is {text}: {_cronfields_expected(column, text)}")
    if not column.low <= int(text) <= column.high:
        raise ValueError(f"{column} is {text}: {column.low} to {column.high}")
    return int(text)


def _step(column: Column, text: str | None) -> int:
    if text is None:
        return 1
    size = column.high - column.low + 1
    if len(text) > 4 or not 1 <= int(text) <= size:  # noqa: PLR2004
        raise ValueError(
            f"{column} has the step {text}: 1 to {size}, as counting starts again in each "
            f"{column.around}"
        )
    return int(text)


def _cronfields_expected(column: Column, text: str) -> str:
    if not text:
        return "a comma stands between two numbers, write 1,15"
    names = f", {', '.join(column.names)}" if column.names else ""
    foreign = "; L, W, # and ? are not known to cron(8)" if re.search(r"[LW#?]", text) else ""
    example = f"*, {column.low + 1}, {column.low + 1}-5, 1,3 or */2"
    return f"write {column.low} to {column.high}{names}, as {example}{foreign}"


MARK = "# Made by vmtune. Change vmtune.yaml, not this file."


def is_ours(data: bytes) -> bool:
    """Whether the file was made by vmtune: its first line is the mark."""
    return data.partition(b"\n")[0] == MARK.encode()


# Debian's cron drops the whole file for a longer one (MAX_COMMAND, less two).
LONGEST_COMMAND = 998

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

_USER = re.compile(r"[A-Za-z0-9_][\w.-]*\$?", re.ASCII)

_VARIABLE = re.compile(r"""[ \t]*("[^"]*"|'[^']*'|[^\s=]+)[ \t]*=""")

_TIME = r"(?P<time>@\w+|-?[0-9*][\w*,/#?-]*(?:[ \t]+[\w*,/#?-]+){4})"

_USER_LINE = re.compile(rf"[ \t]*{_TIME}[ \t]+(?P<user>)(?P<command>.+)", re.DOTALL)

_SYSTEM_LINE = re.compile(rf"[ \t]*{_TIME}[ \t]+(?P<user>\S+)[ \t]+(?P<command>.+)", re.DOTALL)

_ANACRON = re.compile(r"[ \t]*(?P<period>\d+|@\w+)[ \t]+\d+[ \t]+\S+[ \t]+(?P<command>.+)")

_PERCENT = re.compile(r"\\(?P<escaped>[%\\])|(?P<end>%.*)", re.DOTALL)


class CronJob(Value):
    """One line that runs something.

    ``number`` counts lines from 1. ``user`` is "" in a user's own table.
    ``command`` is what the shell gets; what cron would feed to its standard
    input is cut off. Bytes that are not UTF-8 are surrogates (PEP 383).
    """

    number: int
    schedule: str
    user: str
    command: str


def table(comment: str, schedules: Sequence[str], user: str, line: str) -> bytes:
    """Write a whole file for /etc/cron.d that has sh(1) run ``line``, made of ``quoted`` words.

    ValueError on a newline or NUL anywhere, an impossible user name, and a line of more than
    998 bytes.
    """
    if (size := len(_encode(line))) > LONGEST_COMMAND:
        raise ValueError(f"the command has {size} bytes: cron takes {LONGEST_COMMAND}")
    if not _USER.fullmatch(user):
        raise ValueError(f"{user!r} is not the name of a user")
    jobs = [f"{schedule} {user} {line}" for schedule in schedules]
    lines = [MARK, f"# {comment}", "SHELL=/bin/sh", f"PATH={_PATH}", *jobs]
    if any(re.search(r"[\n\0]", line) for line in lines):
        raise ValueError("a line of a crontab cannot hold a newline or NUL")
    # Without the last newline cron ignores the whole file.
    return _encode("\n".join(lines) + "\n")


def parse_table(data: bytes, *, system: bool) -> tuple[CronJob, ...]:
    """The jobs of a table, `system`: one with user names (/etc/crontab, /etc/cron.d).

    Comments, variables and lines that no cron would run are left out; it never raises.
    """
    return tuple(
        CronJob(number, " ".join(row["time"].split()), row["user"], _as_run(row["command"]))
        for number, row in _rows(data, _SYSTEM_LINE if system else _USER_LINE)
        if not _VARIABLE.match(row.string)
    )


def anacron(data: bytes) -> tuple[CronJob, ...]:
    """Return the jobs of an anacrontab(5): period, delay, name and command. It never raises."""
    rows = _rows(data, _ANACRON)
    return tuple(CronJob(at, _period(row["period"]), "root", row["command"]) for at, row in rows)


def _rows(data: bytes, form: re.Pattern[str]) -> Iterator[tuple[int, re.Match[str]]]:
    for number, line in enumerate(data.decode("utf-8", "surrogateescape").split("\n"), 1):
        if row := form.fullmatch(line):
            yield number, row


def _period(days: str) -> str:
    words = {"1": "@daily", "7": "@weekly", "30": "@monthly"}
    return days if days.startswith("@") else words.get(days, f"every {days} days")


def _as_run(command: str) -> str:
    """What the shell gets: an escaped % without its backslash, and nothing from another % on."""
    return _PERCENT.sub(lambda match: match["escaped"] or "", command)


def command(argv: Sequence[str]) -> str:
    """Join a program and its arguments; ValueError where the program is no absolute path."""
    if not argv or not argv[0].startswith("/"):
        needs = "needs the absolute path of a program: cron's PATH is short"
        raise ValueError(f"{list(argv)!r} {needs}")
    return " ".join(map(quoted, argv))


def quoted(text: str) -> str:
    r"""One argument for cron and then the shell.

    Debian's cron makes one backslash of two, cronie does not; both make ``%``
    of ``\%``. So no backslash of the argument's own may touch either: the
    quotes, in which shlex.quote always puts it, are closed and opened after it.
    """
    return shlex.quote(text).replace("\\", "\\''").replace("%", "\\%")


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
