"""Tables for cron: crontab(5), as Debian's cron and cronie read them, and vmtune's first line.

That line begins every file that is vmtune's alone to write and delete.
"""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from reconciler.value import Value

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


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


class Job(Value):
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


def parse(data: bytes, *, system: bool) -> tuple[Job, ...]:
    """The jobs of a table, `system`: one with user names (/etc/crontab, /etc/cron.d).

    Comments, variables and lines that no cron would run are left out; it never raises.
    """
    return tuple(
        Job(number, " ".join(row["time"].split()), row["user"], _as_run(row["command"]))
        for number, row in _rows(data, _SYSTEM_LINE if system else _USER_LINE)
        if not _VARIABLE.match(row.string)
    )


def anacron(data: bytes) -> tuple[Job, ...]:
    """Return the jobs of an anacrontab(5): period, delay, name and command. It never raises."""
    rows = _rows(data, _ANACRON)
    return tuple(Job(at, _period(row["period"]), "root", row["command"]) for at, row in rows)


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
