"""When something runs: five cron fields, ``@daily`` and its like, or systemd's OnCalendar.

crontab(5) of Debian's cron and systemd.time(7). Daylight saving is each
scheduler's own affair: only they agree minute by minute, not on skipped hours.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from reconciler.formats import cronfields, oncalendar
from reconciler.value import dataclass

if TYPE_CHECKING:
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
    if len(words) == len(cronfields.COLUMNS) and not any(":" in word for word in words):
        return _cron(text, words)
    if not oncalendar.check(words):
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
    fields = cronfields.parse(words)
    cron = " ".join(map(str, fields))
    return Schedule(text, is_cron=True, cron=cron, on_calendar=oncalendar.from_cron(*fields))


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
