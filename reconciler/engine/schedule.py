"""What runs by itself for an entry: its scheduler, its files and their places, its runs.

For every kind that has a job.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from reconciler.engine.model import Desired, Reload
from reconciler.engine.place import Place
from reconciler.engine.resource import ScheduleRuns
from reconciler.errors import ConfigError
from reconciler.facts import diagnostics
from reconciler.facts.diagnostics import Note, Refusal, Summary
from reconciler.facts.host import (
    OFF,
    ON,
    CalendarRuns,
    CronDaemon,
    CronRuns,
    FilesystemOf,
    Locate,
    NeedsReload,
    OwnFiles,
    Program,
    Schedulers,
    SelinuxEnforces,
    ServiceRun,
    ServiceRunOf,
)
from reconciler.facts.host_view import NotVisible
from reconciler.formats import calendar, jsondata, unit
from reconciler.formats.paths import parent
from reconciler.formats.sizes import counted
from reconciler.value import Value

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from reconciler.engine.item import Item
    from reconciler.engine.model import Said
    from reconciler.engine.place import Who
    from reconciler.facts.host_view import HostView
    from reconciler.formats.node import Node


# ruff: noqa: ARG002 - a method of a place need not use all that every place is given


_UNITS = "/etc/systemd/system"


class TextFile(Place[str | None]):
    """A file that is wholly vmtune's: its text, or None when there is none."""

    path: str
    rank: ClassVar[int] = 40

    @staticmethod
    def decoded(data: Any) -> str | None:
        return jsondata.optional(data)

    def written_paths(self, have: str | None, want: str | None) -> Iterator[str]:
        yield from (parent(self.path), self.path)

    @property
    def label(self) -> str:
        return self.path

    def words(self, value: str | None) -> str:
        return "none" if value is None else counted(len(value.splitlines()), "line")

    def shown(self, value: str | None) -> str:
        return "missing" if value is None else self.words(value)

    def in_full(
        self, have: str | None, want: str | None, who: Who
    ) -> tuple[str | None, str | None]:
        return have, want

    def stays(self, original: str | None) -> bool:
        """What vmtune took away was its own, from before its journal: nobody wants it back."""
        return original is not None


class UnitFile(TextFile):
    """A unit file: systemd reads it only after a daemon-reload."""

    rank: ClassVar[int] = 41
    loaded_by_systemd: ClassVar[bool] = True

    def units(self) -> tuple[str, ...]:
        return (self.path.rpartition("/")[2],)


class Timer(Place[str]):
    """Whether a timer is enabled (from the next boot) and active (now).

    "on" is both, "off" neither; "enabled" and "active" are one without the other.
    """

    unit: str
    rank: ClassVar[int] = 60
    nothing: ClassVar[str] = OFF
    uses_loaded_units: ClassVar[bool] = True

    @staticmethod
    def decoded(data: Any) -> str:
        return jsondata.name(data)

    def turn(self, want: str) -> tuple[int, str]:
        """A timer is switched off before the files that describe it go."""
        return (0, "") if want == OFF else self.order

    def written_paths(self, have: str, want: str) -> Iterator[str]:
        """Enabling a timer makes a link there."""
        yield _UNITS

    @property
    def label(self) -> str:
        return self.unit

    def words(self, value: str) -> str:
        return {"on": "enabled, active", "active": "active, not enabled"}.get(value, value)

    def half_done(self, have: str, now: str, want: str) -> bool:
        """One without the other; a link left of a lost file enables the new one at once."""
        return now in {"enabled", "active"}

    def stays(self, original: str) -> bool:
        """As with its file."""
        return original != OFF


DEFAULTS = {"scheduler": "auto"}
"""What a key of every schedule means where it is not written."""

_LONGEST = 60
"""Characters of a path in a name: cron and systemd limit names to 255 bytes."""


class OfPath(Protocol):
    """The spec of an entry that is about a path."""

    @property
    def path(self) -> str: ...


class Job(Value):
    """What the schedules of one kind have in common.

    ``name`` begins the names of their files, and is the tag in the log: "vmtune-" and the kind.
    ``does`` is a verb ("checks") before the path in the second line of each file, ``title`` the
    same verb ("Check") before the path in what systemd shows. ``manual`` is the page that systemd
    names. ``capabilities`` are all that the service may use of root's. ``skips`` says why the
    check of its Work skips a run.
    """

    name: str
    does: str
    title: str
    manual: str
    capabilities: str
    skips: str = ""

    def stem(self, path: str) -> str:
        """The base name of a path's files, readable and unique.

        cron.d takes letters, digits, hyphens and underscores only; the digest
        tells ``/a-b`` from ``/a/b``.
        """
        raw = path.encode("utf-8", "surrogateescape")
        readable = re.sub(r"[^A-Za-z0-9]+", "-", path).strip("-")[-_LONGEST:].strip("-") or "root"
        return f"{self.name}-{readable}-{hashlib.sha256(raw).hexdigest()[:8]}"

    def stem_of(self, file: str) -> str:
        """The base name of a file that was made for a schedule; "" for other files."""
        name = file.rpartition("/")[2].partition(".")[0]
        return name if name.startswith(f"{self.name}-") else ""

    def path_of(self, text: str) -> str:
        """The path that a made file says it is for, in its second line; "" when it does not."""
        second = "".join(text.split("\n")[1:2])
        _, found, path = second.partition(f"# {self.does} ")
        return path if found else ""

    def made(self, stem: str, host: HostView) -> list[str]:
        """The files of a base name that vmtune made."""
        return [path for path in host(OwnFiles()) if self.stem_of(path) == stem]


class When(Value):
    """What an entry says of its runs; ``scheduler`` is auto, systemd or cron.

    ``at`` is where the schedule is written: file, line and column.
    """

    schedule: calendar.Schedule
    scheduler: str
    at: str


class Setup(Value):
    """What is set up for one entry: whose job, for which path, when, by systemd or cron.

    ``path`` has no links in it.
    """

    job: Job
    path: str
    when: When
    scheduler: str

    @property
    def stem(self) -> str:
        return self.job.stem(self.path)

    @property
    def part(self) -> dict[str, str]:
        """What an entry decides of its files: the schedule, whatever text a version writes."""
        return {"is": "; ".join(self.when.schedule.on_calendar)}


class Work(Value):
    """What a run does: ``command`` is a program with its arguments, behind which the path comes.

    ``check`` is shell with the path in ``$p``. Where it ends with another code than 0, the run is
    skipped, and prints ``skipped``, which stands in the shell's double quotes. "" skips no run.
    ``prints``: the command says on its standard output what a person should read.
    """

    command: tuple[str, ...]
    check: str = ""
    skipped: str = ""
    prints: bool = False

    def guard(self, to_log: str = "") -> str:
        """Write the shell that ends the run with 1 where it is to be skipped."""
        return f'{self.check} || {{ echo "{self.skipped}"{to_log}; exit 1; }}'


# --- what is declared


def parse(item: Item) -> When:
    """Read the schedule of a valid entry."""
    return When(
        calendar.parse(item.data["schedule"]),
        item.data.get("scheduler", DEFAULTS["scheduler"]),
        str(item.marks.get("schedule", item.origin)),
    )


def wrong(entry: Node) -> Iterator[ConfigError]:
    """Say what is wrong with a schedule."""
    if node := entry.get("schedule"):
        try:
            calendar.parse(node.text)
        except ValueError as error:
            yield ConfigError(node.origin, f"schedule: {error}")


def conflicts(entry: Node) -> Iterator[ConfigError]:
    """Cron reads five fields, and no other calendar."""
    scheduler, schedule = entry.get("scheduler"), entry.get("schedule")
    if not scheduler or scheduler.value != "cron" or not schedule or any(wrong(entry)):
        return
    if not calendar.parse(schedule.text).cron:
        message = f"cron cannot read the schedule {schedule.text!r}"
        yield ConfigError(
            schedule.origin, message, "write five cron fields, or `scheduler: systemd`"
        )


# --- whether it can be set up


def setup(job: Job, path: str, when: When, host: HostView) -> Setup:
    """Choose the scheduler: systemd where it runs, else cron, unless the entry says which."""
    chosen = when.scheduler
    if chosen == "auto":
        chosen = "systemd" if "systemd" in host(Schedulers()) else "cron"
    return Setup(job, path, when, chosen)


def unsayable(path: str) -> Refusal | None:
    """The declared path is clean text; what its links lead to need not be."""
    if any(ord(c) < 0x20 or ord(c) == 0x7F or 0xDC80 <= ord(c) <= 0xDCFF for c in path):  # noqa: PLR2004 - ASCII's controls, PEP 383's bytes
        text = "has control characters or is no UTF-8: vmtune writes it to no crontab or unit file"
        return Refusal(f"{path} {text}", "give the directory a plainer name", "V311")
    return None


def lacks(program: str, package: str, host: HostView) -> Refusal | None:
    """Refuse a job whose program is not there; ``package`` is the one to install."""
    if host(Program(program)):
        return None
    return Refusal(f"the program {program} is missing", f"install {package}", "V301")


def unable(of: Setup, host: HostView) -> Refusal | None:
    """Refuse a scheduler that is not there, or that cannot read the schedule."""
    schedule, at = of.when.schedule, of.when.at
    is_cron = of.scheduler == "cron"
    if of.scheduler not in host(Schedulers()):
        hint = "install cron" if is_cron else "write `scheduler: cron`"
        text = f"there is no {'/etc/cron.d' if is_cron else 'systemd'} on this host"
        return Refusal(text, hint, "V302")
    if is_cron and not schedule.cron:
        text = f"{at}: a crontab has five fields, and {schedule.text!r} has systemd's form"
        hint = 'write five cron fields, as in "0 12 * * *", or `scheduler: systemd`'
        return Refusal(text, hint, "V303")
    if not is_cron and (error := host(CalendarRuns(schedule.on_calendar)).error):
        text = f"{at}: systemd finds no run in the schedule: {error}"
        return Refusal(text, "see systemd.time(7)", "V304")
    return None


def foreign(of: Setup, host: HostView) -> Refusal | None:
    """Refuse to write over a file that somebody else made.

    The text itself says who made it: a list of vmtune's files would be older than the text, and
    would not have what another run made in between.
    """
    for path in files(of.stem).values():
        text = host(TextFile(path))
        if text is not None and not calendar.is_ours(text.encode("utf-8", "surrogateescape")):
            return Refusal(f"{path} is there, and vmtune did not make it", "move it away", "V307")
    return None


def stop(of: Setup, host: HostView) -> str:
    """Name the command that ends what is set up already; "" where nothing is."""
    if of.scheduler == "cron":
        path = files(of.stem)["cron"]
        return f"rm {path}" if host(TextFile(path)) is not None else ""
    timer = f"{of.stem}.timer"
    return f"systemctl stop {timer}" if host(Timer(timer)) != OFF else ""


# --- its places, and what they should hold


def files(stem: str) -> dict[str, str]:
    """The files of one schedule, of which each scheduler has its own."""
    return {
        "cron": f"/etc/cron.d/{stem}",
        "service": f"/etc/systemd/system/{stem}.service",
        "timer": f"/etc/systemd/system/{stem}.timer",
    }


def places(job: Job, spec: OfPath, host: HostView) -> Iterator[Place[Any]]:
    """The files of both schedulers, and the timer."""
    stem = job.stem(host(Locate(spec.path)).path)
    yield TextFile(files(stem)["cron"])
    yield from (goal.place for goal in _without_timer(stem))


def goals(of: Setup, work: Work, host: HostView) -> tuple[Said, ...] | Refusal:
    """The files of the chosen scheduler, and none of the other's; when it runs next."""
    try:
        return tuple((_by_cron if of.scheduler == "cron" else _by_systemd)(of, work, host))
    except ValueError as error:  # a path that the scheduler's files cannot hold
        return Refusal(str(error), "give the directory a plainer name")


def _by_cron(of: Setup, work: Work, host: HostView) -> Iterator[Said]:
    runs = host(CronRuns(of.when.schedule.cron))
    yield Summary(f"next run {runs}, by cron" if runs else "by cron")
    yield Desired(TextFile(files(of.stem)["cron"]), cron(of, work), part=of.part)
    yield from _without_timer(of.stem)
    if not host(CronDaemon()):
        text = "no cron daemon is running, so no run begins until there is one"
        yield Note(text, "V310", is_of_host=True)
    if host(SelinuxEnforces()):
        remedy = "; `scheduler: systemd` has systemd run it"
        text = f"{diagnostics.CRONS_JOBS}{remedy if 'systemd' in host(Schedulers()) else ''}"
        yield Note(text, "V313", is_of_host=True)


def _by_systemd(of: Setup, work: Work, host: HostView) -> Iterator[Said]:
    file = files(of.stem)
    runs = host(CalendarRuns(of.when.schedule.on_calendar)).next
    yield Summary(f"next run {runs}, by systemd" if runs else "by systemd")
    yield Desired(UnitFile(file["service"]), service(of, work), part=of.part)
    yield Desired(UnitFile(file["timer"]), timer(of), part=of.part)
    yield Desired(Timer(f"{of.stem}.timer"), want=ON)
    yield Desired(TextFile(file["cron"]), None)
    if any(host(NeedsReload(f"{of.stem}.{kind}")) for kind in ("timer", "service")):
        yield Reload()


def _without_timer(stem: str) -> Iterator[Desired[Any]]:
    yield Desired(Timer(f"{stem}.timer"), want=OFF)
    yield Desired(UnitFile(files(stem)["timer"]), None)
    yield Desired(UnitFile(files(stem)["service"]), None)


# --- the texts of its files


def cron(of: Setup, work: Work) -> str:
    """Write a file for /etc/cron.d; ValueError as ``calendar.table``.

    cron(8) mails what a job prints, or drops it; the log is where a person looks.
    """
    to_log = f" | {{ logger -t {of.job.name} 2>/dev/null || cat; }}"
    idle = ("/usr/bin/nice", "-n", "19", "/usr/bin/ionice", "-c", "3")
    guard = f"{work.guard(to_log)}; " if work.check else ""
    line = f'p={calendar.quoted(of.path)}; {guard}{calendar.command((*idle, *work.command))} "$p"'
    line += to_log if work.prints else ""
    data = calendar.table(f"{of.job.does} {of.path}", [of.when.schedule.cron], "root", line)
    return data.decode("utf-8", "surrogateescape")


def _about(of: Setup) -> str:
    """For people: a blank or a backslash at the end of a line would be read as none."""
    return f"{of.job.title} {unit.literal(of.path)}".rstrip(" \\")


def service(of: Setup, work: Work) -> str:
    """The unit that does it once: on idle time only, with no right it does not need.

    What ExecCondition= prints goes to the journal; its failure skips the run, which is then no
    failed unit (systemd.service(5), since 243).
    """
    guard = ("/bin/sh", "-c", f"p=$1; {work.guard()}", "sh", of.path)
    condition = [("ExecCondition", unit.command(guard))] if work.check else []
    about = [
        ("Description", _about(of)),
        ("Documentation", of.job.manual),
        ("RequiresMountsFor", unit.path(of.path)),
        ("ConditionACPower", "true"),
    ]
    run = [
        ("Type", "oneshot"),
        *condition,
        ("ExecStart", unit.command((*work.command, of.path))),
        ("Nice", "19"),
        ("IOSchedulingClass", "idle"),
        ("CPUSchedulingPolicy", "idle"),
        ("CapabilityBoundingSet", of.job.capabilities),
        *_HARDENED,
    ]
    return unit.render([f"{of.job.does} {of.path}"], [("Unit", about), ("Service", run)])


_HARDENED = (
    ("NoNewPrivileges", "true"),
    ("PrivateNetwork", "true"),
    ("ProtectKernelModules", "true"),
    ("ProtectKernelTunables", "true"),
    ("ProtectControlGroups", "true"),
    ("ProtectClock", "true"),
    ("ProtectHostname", "true"),
    ("RestrictAddressFamilies", "AF_UNIX"),
    ("RestrictNamespaces", "true"),
    ("RestrictRealtime", "true"),
    ("LockPersonality", "true"),
    ("MemoryDenyWriteExecute", "true"),
    ("SystemCallArchitectures", "native"),
)


def timer(of: Setup) -> str:
    """The timer; Persistent catches up on what was missed while the machine was off."""
    schedule = of.when.schedule
    calendars = [("OnCalendar", expression) for expression in schedule.on_calendar]
    return unit.render(
        [f"{of.job.does} {of.path}", f"declared as {schedule.text.strip()}"],
        [
            ("Unit", [("Description", f"{_about(of)} regularly")]),
            ("Timer", [*calendars, ("Persistent", "true")]),
            ("Install", [("WantedBy", "timers.target")]),
        ],
    )


# --- what is left of it, and what it did


def leftovers(
    job: Job, specs: Sequence[OfPath], host: HostView
) -> Iterator[tuple[str, Sequence[Desired[Any]]]]:
    """Schedules that vmtune made for paths no longer declared."""
    if not host(OwnFiles()):
        return
    kept = {job.stem(host(Locate(spec.path)).path) for spec in specs}
    for stem in dict.fromkeys(job.stem_of(path) for path in host(OwnFiles())):
        if stem and stem not in kept:
            gone: Desired[Any] = Desired(TextFile(files(stem)["cron"]), None)
            yield _path_of(job, stem, host), [*_without_timer(stem), gone]


def _path_of(job: Job, stem: str, host: HostView) -> str:
    """The path that a schedule was made for, as its files say; else their name."""
    made = job.made(stem, host)
    texts = (host((TextFile if "/cron.d/" in path else UnitFile)(path)) for path in made)
    return next((path for text in texts if text and (path := job.path_of(text))), stem)


def units(job: Job, specs: Sequence[OfPath], host: HostView) -> Iterator[str]:
    """Those of what is declared, and of what was made before."""
    where = (host.maybe(Locate(spec.path)) for spec in specs)
    declared = {job.stem(found.path) for found in where if found}
    made = {job.stem_of(path) for path in host.maybe(OwnFiles()) or ()}
    for stem in (declared | made) - {""}:
        yield from (f"{stem}.service", f"{stem}.timer")


def schedules(job: Job, items: Sequence[Item], host: HostView) -> Iterator[ScheduleRuns]:
    """Tell what the scheduler of each entry knows of its runs."""
    for item in items:
        try:
            where = host(Locate(item.path))
            stem = job.stem(where.path)
            made = job.made(stem, host)
            by_cron = any("/cron.d/" in path for path in made)
            scheduler = "cron" if by_cron else "systemd" if made else ""
            if not made and host(FilesystemOf(where.path)).type != "btrfs":
                continue  # nothing is to be set up there
            service_unit = f"{stem}.service" if scheduler == "systemd" else ""
            run = _run(item, stem, scheduler, host)
            yield ScheduleRuns(item.name, scheduler, run, unit=service_unit, skips=job.skips)
        except NotVisible as hidden:
            yield ScheduleRuns(item.name, "", ServiceRun(), hidden.why)


def _run(item: Item, stem: str, scheduler: str, host: HostView) -> ServiceRun:
    if scheduler == "cron":
        schedule = calendar.parse(item.data["schedule"])
        return ServiceRun(next=host(CronRuns(schedule.cron)) if schedule.cron else "")
    if scheduler == "systemd" and "systemd" in host(Schedulers()):
        return host(ServiceRunOf(stem))
    return ServiceRun()
