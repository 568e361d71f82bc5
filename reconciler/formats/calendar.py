"""When something runs: five cron fields, ``@daily`` and its like, or systemd's OnCalendar."""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING

from reconciler.value import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from decimal import Decimal


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

_FIELDS = "minute, hour, day of month, month, day of week"


@dataclass(frozen=True, slots=True)
class Schedule:
    """A schedule, as both schedulers write it.

    ``text`` is as the user wrote it. ``cron`` has five fields with numbers for
    names, or is "" when only systemd can say it. ``on_calendar`` has one
    expression, or two when cron joins its two day fields by "or".
    """

    text: str
    is_cron: bool
    cron: str
    on_calendar: tuple[str, ...]


def parse(text: str) -> Schedule:
    """Read a schedule; ValueError says in one sentence what is wrong and what to write."""
    words = text.split()
    if not words:
        raise ValueError(f"the schedule is empty: {_expected()}")
    if not " ".join(words).isascii() or not text.replace("\t", " ").isprintable():
        raise ValueError(f"{text!r} holds a character that no schedule has: {_expected()}")
    if words[0].startswith("@"):
        return _cron(text, _shortcut(text, words).split())
    if len(words) == len(COLUMNS) and not any(":" in word for word in words):
        return _cron(text, words)
    if not check(words):
        raise ValueError(_refused(text, words))
    return Schedule(text, is_cron=False, cron="", on_calendar=(" ".join(words),))


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
    cron = " ".join(map(str, fields))
    return Schedule(text, is_cron=True, cron=cron, on_calendar=from_cron(*fields))


def _shortcut(text: str, words: list[str]) -> str:
    name = words[0].lower()
    if name == "@reboot":
        raise ValueError(
            "@reboot is a moment, not a schedule: write @daily, or another of "
            + ", ".join(SHORTCUTS)
        )
    if len(words) > 1 or name not in SHORTCUTS:
        raise ValueError(f"{text!r} is not a shortcut of cron: write one of {', '.join(SHORTCUTS)}")
    return SHORTCUTS[name]


def _refused(text: str, words: list[str]) -> str:
    if said := _SAID_OTHERWISE.get(" ".join(words).lower()):
        return f'{text!r} is not a schedule: write "{said}"'
    if "*/" in text and ":" in text:
        return f"{text!r} has a step after *: in OnCalendar write 0/2 for what cron writes */2"
    if len(words) > 1 and set(words[0]) <= set("0123456789*/,-"):
        return f"{text!r} has {len(words)} fields: cron has five ({_FIELDS})"
    return f"{text!r} is not a schedule: {_expected()}"


def _expected() -> str:
    return 'write five cron fields ("0 12 * * 0"), "@weekly", or OnCalendar ("Sun 12:00")'


DAYS_IN_MONTH = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")

_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")

_TERM = re.compile(
    r"(?:(?P<star>\*)|(?P<start>\w+)(?:-(?P<stop>\w+))?)(?:/(?P<step>\d+))?", re.ASCII
)


@dataclass(frozen=True, slots=True)
class Column:
    """One of the five columns: its place on the line, and what may stand there."""

    number: int
    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"field {self.number} ({self.name})"


COLUMNS = (
    Column(1, "minute", 0, 59),
    Column(2, "hour", 0, 23),
    Column(3, "day of month", 1, 31),
    Column(4, "month", 1, 12, _MONTHS),
    Column(5, "day of week", 0, 7, _WEEKDAYS),
)


@dataclass(frozen=True, slots=True)
class Term:
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


@dataclass(frozen=True, slots=True)
class Field:
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
    minute, hour, day, month, weekday = map(_field, COLUMNS, words)
    if min(day.values) > max(DAYS_IN_MONTH[number - 1] for number in month.values):
        raise ValueError(
            f"{day.column} is {day} and {month.column} is {month}: "
            "no such month has that day; write a day that comes, or * for the month"
        )
    return minute, hour, day, month, weekday


def _field(column: Column, text: str) -> Field:
    return Field(column, tuple(_term(column, text, term) for term in text.split(",")))


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
            f"{_AROUND[column.number - 1]}"
        )
    return int(text)


_AROUND = ("hour", "day", "month", "year", "week")


def _cronfields_expected(column: Column, text: str) -> str:
    if not text:
        return "a comma stands between two numbers, write 1,15"
    names = f", {', '.join(column.names)}" if column.names else ""
    foreign = "; L, W, # and ? are not known to cron(8)" if re.search(r"[LW#?]", text) else ""
    example = f"*, {column.low + 1}, {column.low + 1}-5, 1,3 or */2"
    return f"write {column.low} to {column.high}{names}, as {example}{foreign}"


SHORTHANDS = frozenset(
    (
        "minutely",
        "hourly",
        "daily",
        "weekly",
        "monthly",
        "quarterly",
        "yearly",
        "annually",
        "anually",
        "biannually",
        "bi-annually",
        "semiannually",
        "semi-annually",
    )
)

_ONCALENDAR_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")

_DAY = (
    r"(?:mon(?:day)?|tue(?:sday)?|wed(?:nesday)?|thu(?:rsday)?|fri(?:day)?"
    r"|sat(?:urday)?|sun(?:day)?)"
)

_DAYS = rf"(?i){_DAY}(?:(?:\.\.|-){_DAY})?(?:,{_DAY}(?:(?:\.\.|-){_DAY})?)*,?"

_CHAIN = r"(?:\*|[\d./]+(?:,[\d./]+)*)"

_DATE = rf"(?a)(?:(?P<year>{_CHAIN})-)?(?P<month>{_CHAIN})-(?P<day>{_CHAIN})"

_END_DATE = rf"(?a)(?:(?P<year>{_CHAIN})-)?(?P<month>{_CHAIN})~(?P<day>{_CHAIN})"

_TIME = rf"(?a)(?P<hour>{_CHAIN}):(?P<minute>{_CHAIN})(?::(?P<second>{_CHAIN}))?"

_ZONE = r"(?a)[A-Za-z][\w+-]*(?:/[\w+-]+)*"

_NUMBER = r"(\d{1,4}(?:\.\d{1,6})?)"

_COMPONENT = rf"(?a){_NUMBER}(?:\.\.{_NUMBER})?(?:/{_NUMBER})?"

_BOUNDS = {
    "year": (1970, 2199),
    "month": (1, 12),
    "day": (1, 31),
    "hour": (0, 23),
    "minute": (0, 59),
    "second": (0, 59),
}

# No month is sure to have more than 28 days to count back.
_LAST_FROM_THE_END = 28

# chain_valid() of systemd takes three days off for each that is behind another (seen in 252).
_LESS = 3


def check(words: Sequence[str]) -> bool:
    """Whether blank-separated words have the shape of a calendar event.

    False when they are something else; ValueError when they are one, but a
    number is out of bounds.
    """
    left = list(words)
    if left and left[0].lower() in SHORTHANDS:
        del left[0]
    else:
        parts = (_weekdays, _date, _time)
        found = [part(left[0]) and bool(left.pop(0)) for part in parts if left]
        if not any(found):
            return False
    return not left or (len(left) == 1 and _zone(left[0]))


def _zone(word: str) -> bool:
    return re.fullmatch(_ZONE, word) is not None and not re.fullmatch(_DAYS, word)


def _weekdays(word: str) -> bool:
    if not re.fullmatch(_DAYS, word):
        return False
    for item in word.split(","):
        order = [
            _ONCALENDAR_WEEKDAYS.index(day[:3].capitalize())
            for day in re.split(r"\.\.|-", item)
            if day
        ]
        if order != sorted(order):
            raise ValueError(
                f"{item} goes back: in OnCalendar the week begins on Monday, "
                f"write {_days(order[0], 6)},{_days(0, order[1])}"
            )
    return True


def _date(word: str) -> bool:
    return _checked(re.fullmatch(_DATE, word)) or _checked(re.fullmatch(_END_DATE, word), end=True)


def _time(word: str) -> bool:
    return _checked(re.fullmatch(_TIME, word))


def _checked(match: re.Match[str] | None, *, end: bool = False) -> bool:
    if match is None:
        return False
    for name, chain in match.groupdict().items():
        if chain not in (None, "*"):
            is_end = end and name == "day"
            for place, component in enumerate(_ordered(name, chain.split(","))):
                _within(name, component, _LAST_FROM_THE_END - _LESS * place if is_end else 0)
    return True


def _ordered(name: str, components: Sequence[str]) -> list[str]:
    """As systemd has them when it looks at their bounds: each once, by its numbers."""
    numbered = {_numbers(name, each): each for each in components}
    return [each for _, each in sorted(numbered.items())]


def _numbers(name: str, component: str) -> tuple[float, float, float]:
    """Start, stop (-1: none) and step, without a stop that only is the start: 9..24/19 is 9.

    Years are whole by then: 27..70 is 2027..1970, which goes back and is no year.
    """
    match = re.fullmatch(_COMPONENT, component)
    start, stop, step = (float(part or -1) for part in match.groups()) if match else (-1, -1, -1)
    if name == "year":
        start, stop = (each + _century(each) for each in (start, stop))
    if stop > start and step > 0:
        stop -= (stop - start) % step
    return (start, -1, 0) if stop == start else (start, stop, max(step, 0))


def _within(name: str, text: str, end: int) -> None:
    """ValueError unless the bounds of a name hold; to ``end`` if counted from the month's end."""
    from decimal import Decimal  # noqa: PLC0415 - cron fields need none

    low, high = (1, end) if end else _BOUNDS[name]
    match = re.fullmatch(_COMPONENT, text)
    if match is None or (name != "second" and any("." in (part or "") for part in match.groups())):
        raise ValueError(f"{name} is {text}: write a number, 1..5, or 0/15 for every 15th from 0")
    start, stop, step = (Decimal(part) if part else None for part in match.groups())
    if name == "year":
        start, stop = (None if part is None else part + _century(part) for part in (start, stop))
    limit = Decimal(high) if name != "second" else Decimal("59.999999")
    if start is None or not low <= start <= _last(start, stop, step, limit) <= limit:
        raise ValueError(f"{name} is {text}: {low} to {high}")
    # Days before the end of a month are counted down: ~07/1 is 7, 6, 5, ...
    room = start - low if end else limit - start
    too_far = stop is None and step is not None and step > room
    # Ranges of seconds step by a whole one when nothing else is said.
    too_near = name == "second" and stop is not None and step is None and stop - start < 1
    if step == 0 or too_far or too_near:
        raise ValueError(f"{name} is {text}: the step leads nowhere, {low} to {high}")


def _last(start: Decimal, stop: Decimal | None, step: Decimal | None, limit: Decimal) -> Decimal:
    """The last value that is reached: of 0..24/13 it is 13, and in bounds."""
    if stop is None:
        return limit
    return stop - (stop - start) % step if step and stop > start else stop


def _century(number: Decimal | float) -> int:
    """What systemd.time(7) adds to years of two digits: 69 is 2069, 70 is 1970."""
    if not 0 <= number < 100:  # noqa: PLR2004
        return 0
    return 2000 if number < 70 else 1900  # noqa: PLR2004


def from_cron(
    minute: Field, hour: Field, day: Field, month: Field, weekday: Field
) -> tuple[str, ...]:
    """The calendar events at which cron(8) would run: two when it joins both day fields by "or".

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
        return f"{_ONCALENDAR_WEEKDAYS[first]}..{_ONCALENDAR_WEEKDAYS[last]}"
    return ",".join(_ONCALENDAR_WEEKDAYS[first : last + 1])
