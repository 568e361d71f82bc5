"""The shape of a systemd calendar event, systemd.time(7), and cron fields written as one.

Only the shape and the bounds are looked at: ``systemd-analyze calendar`` is
the judge where it exists, and knows the time zones.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from decimal import Decimal

    from reconciler.formats.cronfields import Field, Term

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
_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
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
        order = [_WEEKDAYS.index(day[:3].capitalize()) for day in re.split(r"\.\.|-", item) if day]
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
        return f"{_WEEKDAYS[first]}..{_WEEKDAYS[last]}"
    return ",".join(_WEEKDAYS[first : last + 1])
