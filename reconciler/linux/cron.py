"""cron(8): whether it runs, and the jobs that people wrote by hand."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from reconciler.facts.host import ForeignJob
from reconciler.linux import files, process, users

if TYPE_CHECKING:
    from collections.abc import Iterator


FOLDER = "/etc/cron.d"

_SPOOLS = ("/var/spool/cron/crontabs", "/var/spool/cron")  # Debian; Fedora, openSUSE, Arch

_DAEMONS = frozenset({"cron", "crond", "fcron", "cronie"})


def installed() -> bool:
    """There is a folder that a cron daemon reads."""
    return os.path.isdir(FOLDER)


def runs() -> bool:
    """A daemon that reads /etc/cron.d is running."""
    return process.running(_DAEMONS)


def foreign_jobs() -> tuple[ForeignJob, ...]:
    """All that can be read, without files that vmtune made."""
    return (*_system_jobs(), *_user_jobs())


def _system_jobs() -> Iterator[ForeignJob]:
    from reconciler.formats import crontab  # noqa: PLC0415 - only where there is a schedule

    names = sorted(os.listdir(FOLDER)) if os.path.isdir(FOLDER) else []
    for path in ("/etc/crontab", *(f"{FOLDER}/{name}" for name in names)):
        data = files.read_gone(path)
        if crontab.is_ours(data):
            continue
        for job in crontab.parse(data, system=True):
            yield ForeignJob(path, job, users.home_of(job.user) or "/root")


def _user_jobs() -> Iterator[ForeignJob]:
    from reconciler.formats import crontab  # noqa: PLC0415

    for owner, path, data in _spooled():
        for job in crontab.parse(data, system=False):
            yield ForeignJob(path, job, users.home_of(owner) or "/")


def _spooled() -> Iterator[tuple[str, str, bytes]]:
    """Owner, path and text of each user's crontab: all of them for root, else one's own."""
    for spool in _SPOOLS:
        if hidden() or not os.path.isdir(spool):
            continue
        for name in sorted(os.listdir(spool)):
            path = f"{spool}/{name}"
            if os.path.isfile(path):
                yield name, path, files.read_gone(path)
        return
    if hidden() and process.find("crontab"):
        done = process.run("crontab", "-l")
        name = users.caller().name
        yield name, f"crontab of {name}", os.fsencode(done.stdout) if not done.returncode else b""


def hidden() -> str:
    """Why other users' crontabs cannot be read from here; "" when they can."""
    spool = next((spool for spool in _SPOOLS if os.path.isdir(spool)), "")
    if not spool or os.access(spool, os.R_OK | os.X_OK):
        return ""
    return "crontabs of other users are not readable without root"


def next_run(cron: str) -> str:
    """The next run in local time, in words; "" when it never comes."""
    from datetime import datetime  # noqa: PLC0415

    from reconciler.formats import calendar  # noqa: PLC0415

    now = datetime.now().astimezone()
    runs = calendar.next_runs(calendar.parse(cron), now, 1)
    return runs[0].strftime("%a %Y-%m-%d %H:%M") if runs else ""
