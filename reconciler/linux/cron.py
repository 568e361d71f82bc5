"""cron(8): whether it runs, its tables, and when it runs what."""

from __future__ import annotations

import os
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING

from reconciler.errors import HostError
from reconciler.facts.diagnostics import denied
from reconciler.formats import calendar
from reconciler.linux import files, process, users
from reconciler.value import Value

if TYPE_CHECKING:
    from collections.abc import Iterator


FOLDER = "/etc/cron.d"


def runs() -> bool:
    """Tell whether anything reads /etc/cron.d: a daemon, or systemd-cron's generator of timers."""
    if process.running(frozenset({"cron", "crond", "fcron", "cronie"})):
        return True
    folders = ("/etc", "/usr/local/lib", "/usr/lib", "/lib")
    name = "systemd/system-generators/systemd-crontab-generator"
    if any(os.access(f"{folder}/{name}", os.X_OK) for folder in folders):
        with suppress(HostError):  # systemd is not there in a chroot or a plain container
            return process.run("systemctl", "is-active", "--quiet", "cron.target").returncode == 0
    return False


class Table(Value):
    """A crontab, also one of vmtune's. ``home`` is its owner's; "" where each line names a user."""

    path: str
    data: bytes
    home: str = ""


def tables() -> Iterator[Table]:
    """Yield all that can be read: every user's for root, else the caller's own."""
    for path in ("/etc/crontab", *files.listed(FOLDER)):
        yield Table(path, files.read_gone(path))
    if not hidden():
        spool = _spool()
        for name in sorted(os.listdir(spool)) if spool else ():
            path = f"{spool}/{name}"
            if os.path.isfile(path):
                yield Table(path, files.read_gone(path), users.home_of(name) or "/")
    elif process.find("crontab"):
        done = process.run("crontab", "-l")
        name = users.caller().name
        data = os.fsencode(done.stdout) if not done.returncode else b""
        yield Table(f"crontab of {name}", data, users.home_of(name) or "/")


def _spool() -> str:
    """Where crontabs of users lie: Debian; Fedora, openSUSE, Arch."""
    folders = ("/var/spool/cron/crontabs", "/var/spool/cron")
    return next(filter(os.path.isdir, folders), "")


def hidden() -> str:
    """Why other users' crontabs cannot be read from here; "" when they can."""
    spool = _spool()
    if not spool or os.access(spool, os.R_OK | os.X_OK):
        return ""
    return denied("read the crontabs of other users", as_root=users.is_root())


def next_run(cron: str) -> str:
    """Tell the next run in local time, in words; "" where it never comes, or nobody can compute it.

    Debian 12 has no package of cronsim, and vmtune does all else without it.
    """
    now = datetime.now().astimezone()
    try:
        runs = calendar.next_runs(calendar.parse(cron), now, 1)
    except ImportError:
        return ""
    return runs[0].strftime("%a %Y-%m-%d %H:%M") if runs else ""
