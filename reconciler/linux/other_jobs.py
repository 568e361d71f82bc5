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
from reconciler.formats import crontab, maintenance, shell
from reconciler.linux import cron, files, managed_files, process, systemd, users
from reconciler.value import Value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from reconciler.formats.mountinfo import Mount


_OF_TIMER = "Id,Unit,ActiveState,UnitFileState,FragmentPath,SourcePath,TimersCalendar"

_STARTS = ("ExecStartPre", "ExecStart", "ExecStartPost")

_MANAGER = "org.freedesktop.systemd1"


class ForeignTimer(Value):
    """A timer that vmtune did not make. ``commands`` are what its service starts, as arguments.

    ``schedule`` is its first OnCalendar expression; "" where it counts from a boot or a start.
    """

    name: str
    schedule: str
    commands: tuple[tuple[str, ...], ...]


def foreign_timers(may_defragment: Callable[[str], bool]) -> Iterator[ForeignTimer]:
    """Yield each timer that is enabled or started, where its service may defragment something.

    ``may_defragment`` is asked about what systemctl shows of the service's commands. Timers that
    a generator made out of a crontab (systemd-cron) are left out: the crontab is read as such.
    """
    if not systemd.runs():
        return
    own = managed_files.own()
    found = [timer for timer in _timers() if _is_on(timer, own)]
    services = {of["Unit"]: of for of in found if of.get("Unit", "").endswith(".service")}
    for block in _shown("Id," + ",".join(_STARTS), list(services)):
        name = _value(block, "Id")
        if name in services and may_defragment(block):
            timer = services[name]
            schedule = re.search(r"OnCalendar=(.*?) ;", timer.get("TimersCalendar", ""))
            words = schedule[1] if schedule else ""
            yield ForeignTimer(timer["Id"], words, tuple(_commands(name, block)))


def _timers() -> Iterator[dict[str, str]]:
    """Yield the properties of each timer that is loaded, and of each that is enabled for a boot."""
    names = [line.split()[0] for line in _enabled().splitlines() if line.split()]
    enabled = [name for name in names if "@." not in name]  # a template is no timer
    seen = set()
    for block in _shown(_OF_TIMER, ["*.timer", *enabled]):
        timer = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        if timer.get("Id") and timer["Id"] not in seen:
            seen.add(timer["Id"])
            yield timer


def _enabled() -> str:
    """Return what systemctl lists of the timers that are enabled.

    The pattern is for systemd, which reads every unit file where it is given none: seconds on a
    slow host. systemctl ends with 1, without a word, where no timer is enabled.
    """
    listed = process.run(
        "systemctl", "list-unit-files", "--state=enabled,enabled-runtime",
        "--no-legend", "--plain", "*.timer",
    )  # fmt: skip
    if listed.returncode and (listed.returncode != 1 or listed.stderr.strip()):
        raise HostError(
            f"systemctl list-unit-files: exit {listed.returncode}: {listed.stderr.strip()}"
        )
    return listed.stdout


def _is_on(timer: dict[str, str], own: Sequence[str]) -> bool:
    if timer.get("SourcePath") or timer.get("FragmentPath", "") in own:
        return False
    return timer.get("ActiveState") == "active" or timer.get("UnitFileState", "").startswith(
        "enabled"
    )


def _shown(properties: str, names: Sequence[str]) -> list[str]:
    """Return what systemctl shows, a block for each unit."""
    if not names:
        return []
    shown = process.must("systemctl", "show", f"--property={properties}", "--", *names)
    return shown.strip("\n").split("\n\n")


def _value(block: str, name: str) -> str:
    found = re.search(rf"^{name}=(.*)$", block, re.MULTILINE)
    return found[1] if found else ""


def _commands(service: str, shown: str) -> Iterator[tuple[str, ...]]:
    """Yield the arguments of each program that a service starts.

    systemctl(1) joins them by blanks, whatever is in them; busctl(1) tells them one by one. Where
    busctl is missing, ``shown``, what systemctl said, is split at its blanks.
    """
    escaped = re.sub("[^A-Za-z0-9]", lambda match: f"_{ord(match[0]):02x}", service)
    unit = f"/org/freedesktop/systemd1/unit/{escaped}"
    try:
        for name in _STARTS:
            answer = process.must(
                "busctl",
                "--json=short",
                "get-property",
                _MANAGER,
                unit,
                f"{_MANAGER}.Service",
                name,
            )
            data: Any = json.loads(answer)["data"]
            yield from ((program, *arguments[1:]) for program, arguments, *_ in data)
    except HostError:
        for joined in re.findall(r"argv\[\]=(.*?) ; ignore_errors", shown):
            yield tuple(joined.split())


_PERIODS = ("hourly", "daily", "weekly", "monthly", "yearly")

_MAINTENANCE = ("/etc/default/btrfsmaintenance", "/etc/sysconfig/btrfsmaintenance")
"""Where Debian and its kind have it; where the others do."""

_LARGEST_SCRIPT = 1 << 16

_LINE = "take that line out"


class _Looking:
    """One look at all places, and what btrfsmaintenance is told to do."""

    def __init__(self, mounts: tuple[Mount, ...]) -> None:
        found = ((file, maintenance.defrag(files.read_gone(file))) for file in _MAINTENANCE)
        self._file, self._told = next((each for each in found if each[1]), ("", None))
        self._mounts = mounts
        self._is_seen = False

    def jobs(self) -> Iterator[ForeignJob]:
        """Yield each job once, those of btrfsmaintenance where they are started."""
        yield from self._tables()
        yield from self._folders()
        for timer in foreign_timers(_may_defragment):
            lines = [shlex.join(argv) for argv in timer.commands]
            yield from self._job(
                timer.name, timer.schedule, lines, "/", f"`systemctl disable --now {timer.name}`"
            )
        if self._told and not self._is_seen and self._told.period != "none":
            words = f"{maintenance.PATHS}, by btrfsmaintenance"
            yield ForeignJob(
                f"{self._file}:{self._told.line}", self._told.period, words, self._paths(),
                f"take the path out of {maintenance.PATHS}",
            )  # fmt: skip

    def _tables(self) -> Iterator[ForeignJob]:
        for table in cron.tables():
            jobs = crontab.parse(table.data, system=not table.home)
            for job in () if crontab.is_ours(table.data) else jobs:
                home = table.home or users.home_of(job.user) or "/root"
                name = f"{table.path}:{job.number}"
                stop = f"{_LINE} (crontab -e)" if table.home else _LINE
                yield from self._job(name, job.schedule, [job.command], home, stop)
        for job in crontab.anacron(files.read_gone("/etc/anacrontab")):
            name = f"/etc/anacrontab:{job.number}"
            yield from self._job(name, job.schedule, [job.command], "/root", _LINE)

    def _folders(self) -> Iterator[ForeignJob]:
        """/etc/cron.daily and its kind, of which run-parts(8) runs what its rules let it."""
        for period in _PERIODS:
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
        is_maintenance = any(maintenance.PATHS in text for text in texts)
        paths = tuple(path for text in texts for path in shell.defragmented(text, home))
        if is_maintenance:
            self._is_seen = True
            paths = self._paths()
            stop = f"take the path out of {maintenance.PATHS} in {self._file}"
        is_vague = not is_maintenance and any(shell.is_vague(text, home) for text in texts)
        if paths or is_vague:
            yield ForeignJob(name, schedule, "; ".join(lines), tuple(dict.fromkeys(paths)), stop)

    def _paths(self) -> tuple[str, ...]:
        if not self._told:
            return ()
        if maintenance.AUTO not in self._told.paths:
            return self._told.paths
        return tuple(mount.target for mount in self._mounts if mount.fstype == "btrfs")


def foreign_jobs(mounts: tuple[Mount, ...]) -> tuple[ForeignJob, ...]:
    """Return all that can be read, without jobs that vmtune made."""
    return tuple(_Looking(mounts).jobs())


def _may_defragment(shown: str) -> bool:
    return "defrag" in shown.lower() or any(_scripts(re.findall(r"(?<![\w.])/[^\s;]+", shown)))


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError:  # a quote that is not closed
        return []


def _scripts(words: Iterable[str]) -> Iterator[str]:
    """Yield the text of each script among these paths that speaks of defragmenting."""
    for word in words:
        if word.startswith("/") and os.path.isfile(word):
            with suppress(OSError):
                data = files.start_of(word, _LARGEST_SCRIPT)
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
