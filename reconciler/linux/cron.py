"""cron(8): whether it runs, its tables, and when it runs what."""

from __future__ import annotations

import os
from datetime import datetime
from typing import TYPE_CHECKING

from reconciler.errors import HostError
from reconciler.facts.rights import denied
from reconciler.formats import calendar
from reconciler.linux import files, process, users
from reconciler.value import Value

if TYPE_CHECKING:
    from collections.abc import Iterator


FOLDER = "/etc/cron.d"

_SPOOLS = ("/var/spool/cron/crontabs", "/var/spool/cron")  # Debian; Fedora, openSUSE, Arch

_DAEMONS = frozenset({"cron", "crond", "fcron", "cronie"})


def installed() -> bool:
    """There is a folder that a cron daemon reads."""
    return os.path.isdir(FOLDER)


def runs() -> bool:
    """Tell whether anything reads /etc/cron.d: a daemon, or systemd-cron's generator of timers."""
    return process.running(_DAEMONS) or (_has_generator() and _is_active("cron.target"))


def _has_generator() -> bool:
    folders = ("/etc", "/usr/local/lib", "/usr/lib", "/lib")
    name = "systemd/system-generators/systemd-crontab-generator"
    return any(os.access(f"{folder}/{name}", os.X_OK) for folder in folders)


def _is_active(unit: str) -> bool:
    """Ask systemd, which is not there in a chroot or a plain container."""
    try:
        return process.run("systemctl", "is-active", "--quiet", unit).returncode == 0
    except HostError:
        return False


class Table(Value):
    """A crontab, also one of vmtune's. ``home`` is its owner's; "" where each line names a user."""

    path: str
    data: bytes
    home: str = ""

    @property
    def is_system(self) -> bool:
        """Whether its lines name a user."""
        return not self.home


def tables() -> Iterator[Table]:
    """Yield all that can be read: every user's for root, else the caller's own."""
    for path in ("/etc/crontab", *files.listed(FOLDER)):
        yield Table(path, files.read_gone(path))
    for owner, path, data in _spooled():
        yield Table(path, data, users.home_of(owner) or "/")


def _spooled() -> Iterator[tuple[str, str, bytes]]:
    """Yield owner, path and text of each user's crontab."""
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
