"""The five time fields of crontab(5), read strictly.

cron(8) takes more than it understands: of ``5#2`` it drops the tail, ``5-1``
never runs, ``*/90`` is not every 90 minutes. Here these are errors.
"""

from __future__ import annotations

import re

from reconciler.value import dataclass

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


def parse(words: list[str]) -> tuple[Field, Field, Field, Field, Field]:
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
        raise ValueError(f"{column} is {field}: {_expected(column, text)}")
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
        raise ValueError(f"{column} is {text}: {_expected(column, text)}")
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


def _expected(column: Column, text: str) -> str:
    if not text:
        return "a comma stands between two numbers, write 1,15"
    names = f", {', '.join(column.names)}" if column.names else ""
    foreign = "; L, W, # and ? are not known to cron(8)" if re.search(r"[LW#?]", text) else ""
    example = f"*, {column.low + 1}, {column.low + 1}-5, 1,3 or */2"
    return f"write {column.low} to {column.high}{names}, as {example}{foreign}"
