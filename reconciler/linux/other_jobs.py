"""Jobs of others that defragment: timers, tables of cron(8), scripts, btrfsmaintenance."""

from __future__ import annotations

import json
import os
import re
import shlex
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from reconciler.errors import HostError
from reconciler.facts.host import ForeignJob
from reconciler.formats import calendar, shell
from reconciler.linux import cron, files, managed_files, process, systemd, users

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from reconciler.formats.mountinfo import Mount


_OF_TIMER = "Id,Unit,ActiveState,UnitFileState,FragmentPath,SourcePath,TimersCalendar"

_STARTS = ("ExecStartPre", "ExecStart", "ExecStartPost")

_MANAGER = "org.freedesktop.systemd1"


def _foreign_timers() -> Iterator[tuple[str, str, list[str]]]:
    """Yield name, schedule and command lines of each timer whose service may defragment something.

    The schedule is its first OnCalendar expression; "" where it counts from a boot or a start.
    Timers that a generator made out of a crontab (systemd-cron) are left out: the crontab is read
    as such.
    """
    if not systemd.runs():
        return
    own = managed_files.own()
    found = [timer for timer in _timers() if _is_on(timer, own)]
    services = {of["Unit"]: of for of in found if of.get("Unit", "").endswith(".service")}
    for block in systemd.shown("Id," + ",".join(_STARTS), list(services)):
        name = next(iter(re.findall(r"^Id=(.*)$", block, re.MULTILINE)), "")
        if name in services and _may_defragment(block):
            timer = services[name]
            schedule = re.search(r"OnCalendar=(.*?) ;", timer.get("TimersCalendar", ""))
            lines = [shlex.join(argv) for argv in _commands(name, block)]
            yield timer["Id"], schedule[1] if schedule else "", lines


def _timers() -> Collection[dict[str, str]]:
    """Return the properties of each timer that is loaded, or is enabled for a boot.

    The pattern is for systemd, which reads every unit file where it is given none: seconds on a
    slow host. systemctl ends with 1, without a word, where no timer is enabled.
    """
    listed = process.run(
        "systemctl", "list-unit-files", "--state=enabled,enabled-runtime",
        "--no-legend", "--plain", "*.timer",
    )  # fmt: skip
    said = listed.stderr.strip()
    if listed.returncode and (listed.returncode != 1 or said):
        raise HostError(f"systemctl list-unit-files: exit {listed.returncode}: {said}")
    names = [line.split()[0] for line in listed.stdout.splitlines() if line.split()]
    enabled = [name for name in names if "@." not in name]  # a template is no timer
    shown = map(systemd.pairs, systemd.shown(_OF_TIMER, ["*.timer", *enabled]))
    return {timer.get("Id", ""): timer for timer in shown}.values()


def _is_on(timer: dict[str, str], own: Sequence[str]) -> bool:
    if timer.get("SourcePath") or timer.get("FragmentPath", "") in own:
        return False
    is_enabled = timer.get("UnitFileState", "").startswith("enabled")
    return is_enabled or timer.get("ActiveState") == "active"


def _commands(service: str, shown: str) -> Iterator[tuple[str, ...]]:
    """Yield the arguments of each program that a service starts.

    systemctl(1) joins them by blanks, whatever is in them; busctl(1) tells them one by one. Where
    busctl is missing, ``shown``, what systemctl said, is split at its blanks.
    """
    escaped = re.sub("[^A-Za-z0-9]", lambda match: f"_{ord(match[0]):02x}", service)
    unit = f"/org/freedesktop/systemd1/unit/{escaped}"
    try:
        for name in _STARTS:
            of = (_MANAGER, unit, f"{_MANAGER}.Service", name)
            answer = process.must("busctl", "--json=short", "get-property", *of)
            data: Any = json.loads(answer)["data"]
            yield from ((program, *arguments[1:]) for program, arguments, *_ in data)
    except HostError:
        for joined in re.findall(r"argv\[\]=(.*?) ; ignore_errors", shown):
            yield tuple(joined.split())


_LINE = "take that line out"


class _Looking:
    """One look at all places, and what btrfsmaintenance is told to do."""

    def __init__(self, mounts: tuple[Mount, ...]) -> None:
        # Where Debian and its kind have it; where the others do.
        places = ("/etc/default/btrfsmaintenance", "/etc/sysconfig/btrfsmaintenance")
        found = ((file, shell.maintenance_job(files.read_gone(file))) for file in places)
        self._file, self._told = next((each for each in found if each[1]), ("", None))
        self._mounts = mounts
        self._is_seen = False

    def jobs(self) -> Iterator[ForeignJob]:
        """Yield each job once, those of btrfsmaintenance where they are started."""
        yield from self._tables()
        yield from self._folders()
        for name, schedule, lines in _foreign_timers():
            stop = f"`systemctl disable --now {name}`"
            yield from self._job(name, schedule, lines, "/", stop)
        if self._told and not self._is_seen and self._told.period != "none":
            words = f"{shell.PATHS}, by btrfsmaintenance"
            yield ForeignJob(
                f"{self._file}:{self._told.line}", self._told.period, words, self._paths(),
                f"take the path out of {shell.PATHS}",
            )  # fmt: skip

    def _tables(self) -> Iterator[ForeignJob]:
        for table in cron.tables():
            jobs = calendar.parse_table(table.data, system=not table.home)
            for job in () if calendar.is_ours(table.data) else jobs:
                home = table.home or users.home_of(job.user) or "/root"
                name = f"{table.path}:{job.number}"
                stop = f"{_LINE} (crontab -e)" if table.home else _LINE
                yield from self._job(name, job.schedule, [job.command], home, stop)
        for job in calendar.anacron(files.read_gone("/etc/anacrontab")):
            name = f"/etc/anacrontab:{job.number}"
            yield from self._job(name, job.schedule, [job.command], "/root", _LINE)

    def _folders(self) -> Iterator[ForeignJob]:
        """/etc/cron.daily and its kind, of which run-parts(8) runs what its rules let it."""
        for period in ("hourly", "daily", "weekly", "monthly", "yearly"):
            for folder in (f"/etc/cron.{period}", f"/etc/periodic/{period}"):
                for path in files.listed(folder):
                    was_seen = self._is_seen
                    words = [shlex.quote(path)]
                    found = list(self._job(path, f"@{period}", words, "/", f"remove {path}"))
                    if found and _is_run(path):
                        yield from found
                    else:
                        self._is_seen = was_seen

    def _job(
        self, name: str, schedule: str, lines: list[str], home: str, stop: str
    ) -> Iterator[ForeignJob]:
        """Yield the job if one of its command lines, or a script that one starts, defragments."""
        texts = [*lines, *(text for line in lines for text in _scripts(_words(line)))]
        is_maintenance = any(shell.PATHS in text for text in texts)
        paths = tuple(path for text in texts for path in shell.defragmented(text, home))
        if is_maintenance:
            self._is_seen = True
            paths = self._paths()
            stop = f"take the path out of {shell.PATHS} in {self._file}"
        is_vague = not is_maintenance and any(shell.is_vague(text, home) for text in texts)
        if paths or is_vague:
            yield ForeignJob(name, schedule, "; ".join(lines), tuple(dict.fromkeys(paths)), stop)

    def _paths(self) -> tuple[str, ...]:
        if not self._told:
            return ()
        if shell.AUTO not in self._told.paths:
            return self._told.paths
        return tuple(mount.target for mount in self._mounts if mount.fstype == "btrfs")


def foreign_jobs(mounts: tuple[Mount, ...]) -> tuple[ForeignJob, ...]:
    """Return all that can be read, without jobs that vmtune made."""
    return tuple(_Looking(mounts).jobs())


def _may_defragment(shown: str) -> bool:
    return "defrag" in shown.lower() or any(_scripts(re.findall(r"(?<![\w.])/[^\s;]+", shown)))


def _words(line: str) -> list[str]:
    with suppress(ValueError):  # a quote that is not closed
        return shlex.split(line)
    return []


def _scripts(words: Iterable[str]) -> Iterator[str]:
    """Yield the text of each script among these paths that speaks of defragmenting."""
    for word in words:
        if word.startswith("/") and os.path.isfile(word):
            with suppress(OSError):
                data = files.start_of(word, 1 << 16)
                if data.startswith(b"#!") and b"defrag" in data.lower():
                    yield data.decode("utf-8", "surrogateescape")


def _is_run(path: str) -> bool:
    """Whether run-parts(8) would run a file; where there is none, whether it may be run."""
    if not os.access(path, os.X_OK):
        return False
    try:
        done = process.run("run-parts", "--test", os.path.dirname(path), timeout=10)
    except HostError:  # not installed
        return True
    return done.returncode != 0 or path in done.stdout.split("\n")
