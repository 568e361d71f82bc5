"""Regular defragmentation of a directory, as a systemd timer or a file in /etc/cron.d.

Defragmenting rewrites what is in fragments. It copies what snapshots and clones
share, so space that was used once is then used for each of them. A scheduled
run leaves shared data alone. Where root owns the installation of vmtune, the
run is `vmtune defrag`, which leaves out the files that share data. Elsewhere
the run is btrfs-progs, and it is skipped while anything is shared. `allow:
[snapshots]` copies shared data as well. Nocow files that are never snapshotted
do not fragment, so a schedule does nothing for them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reconciler.engine.managed_files import TextFile, Timer, UnitFile
from reconciler.engine.model import Desired, Reload
from reconciler.engine.resource import Kind, ScheduleRuns, Section
from reconciler.errors import ConfigError
from reconciler.facts import compression, limits, locate, other_jobs, rights
from reconciler.facts.diagnostics import COST, Note, Refusal, Summary
from reconciler.facts.host import (
    OFF,
    ON,
    CalendarRuns,
    CronDaemon,
    CronRuns,
    FilesystemOf,
    HiddenCrontabs,
    Locate,
    NeedsReload,
    OwnCommand,
    OwnFiles,
    Program,
    Schedulers,
    SelinuxEnforces,
    ServiceRun,
    ServiceRunOf,
    SharedBelow,
    TreeOf,
)
from reconciler.facts.host_view import NotVisible
from reconciler.formats import calendar
from reconciler.formats.sizes import binary
from reconciler.resources.defrag import job as defrag_job

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from reconciler.engine.model import Said
    from reconciler.engine.place import Place
    from reconciler.engine.planned_state import Outlook
    from reconciler.engine.resource import Item, Items
    from reconciler.facts.host import Location, Sharing
    from reconciler.facts.host_view import HostView
    from reconciler.facts.tree import Tree
    from reconciler.formats.node import Node


@dataclass(frozen=True)
class Spec:
    name: str
    path: str
    schedule: calendar.Schedule
    scheduler: str
    allow: frozenset[str]
    nocow: bool
    """The same path is declared nocow."""
    at: str
    """Where its schedule is written: file, line and column."""


def parse(item: Item, items: Items) -> Spec:
    from reconciler.formats import calendar  # noqa: PLC0415 - many hosts have no schedule

    data = item.data
    same = items.at(item.path)
    return Spec(
        item.name,
        item.path,
        calendar.parse(data["schedule"]),
        data.get("scheduler", "auto"),
        frozenset(data.get("allow", ())),
        any(other.section == "paths" and other.data.get("nocow") for other in same),
        str(item.marks.get("schedule", item.origin)),
    )


def want(spec: Spec, host: HostView) -> Iterator[Said]:
    """The files of the chosen scheduler, and none of the other's."""
    ground = locate.ground(spec.path, host, ", not on Btrfs")
    if not isinstance(ground, tuple):
        yield ground
        return
    where, filesystem = ground
    scheduler = _scheduler(spec, host)
    if (
        refusal := _no_directory(where)
        or _unsayable(where)
        or _unable(spec, scheduler, host)
        or _doubled(where, host)
    ):
        yield refusal
        return
    stem = defrag_job.stem(where.path)
    unsafe = limits.refusal(filesystem.condition, filesystem.profiles)
    if refusal := _foreign(stem, host) or (unsafe and _moves(unsafe, spec, stem, scheduler, host)):
        yield refusal
        return
    try:
        yield from tuple(_goals(spec, where, stem, scheduler, host))
    except ValueError as error:  # a path that the scheduler's files cannot hold
        yield Refusal(str(error), "give the directory a plainer name")
        return
    yield from _sharing(spec, where, host)
    yield from _advice(spec, where, host)


def _scheduler(spec: Spec, host: HostView) -> str:
    """By systemd where it runs, else cron, unless the file says which."""
    if spec.scheduler != "auto":
        return spec.scheduler
    return "systemd" if "systemd" in host(Schedulers()) else "cron"


def _no_directory(where: Location) -> Refusal | None:
    if where.kind in {"directory", "missing"}:
        return None
    return Refusal(f"{where.path} is {where.kind}", "declare a directory")


def _unsayable(where: Location) -> Refusal | None:
    """The declared path is clean text; what its links lead to need not be."""
    if any(ord(c) < 0x20 or ord(c) == 0x7F or 0xDC80 <= ord(c) <= 0xDCFF for c in where.path):  # noqa: PLR2004 - ASCII's controls, PEP 383's bytes
        text = "has control characters or is no UTF-8: vmtune writes it to no crontab or unit file"
        return Refusal(f"{where.path} {text}", "give the directory a plainer name", "V311")
    return None


def _unable(spec: Spec, scheduler: str, host: HostView) -> Refusal | None:
    if not host(Program("btrfs")):
        return Refusal("the program btrfs is missing", "install btrfs-progs", "V301")
    if scheduler not in host(Schedulers()):
        return Refusal(
            f"there is no {'/etc/cron.d' if scheduler == 'cron' else 'systemd'} on this host",
            "install cron" if scheduler == "cron" else "write `scheduler: cron`",
            "V302",
        )
    if scheduler == "cron" and not spec.schedule.cron:
        return Refusal(
            f"{spec.at}: a crontab has five fields, and {spec.schedule.text!r} has systemd's form",
            'write five cron fields, as in "0 12 * * *", or `scheduler: systemd`',
            "V303",
        )
    if scheduler == "systemd" and (error := host(CalendarRuns(spec.schedule.on_calendar)).error):
        return Refusal(
            f"{spec.at}: systemd finds no run in the schedule: {error}",
            "see systemd.time(7)",
            "V304",
        )
    return None


def _doubled(where: Location, host: HostView) -> Refusal | None:
    """Refuse a second schedule for what another job defragments: two help nobody."""
    found = other_jobs.same(where.path, host)
    if not found:
        return None
    first, *more = found
    also = f"; and so does {', '.join(job.name for job in more)}" if more else ""
    stops = ", ".join(dict.fromkeys(job.stop for job in found))
    return Refusal(
        f"{first.name} already defragments there: {first.schedule} {first.command}{also}",
        f"{stops} to have vmtune do it, or drop this entry",
        "V305",
    )


def _moves(unsafe: Refusal, spec: Spec, stem: str, scheduler: str, host: HostView) -> Refusal:
    """Refuse a schedule on a filesystem that is not whole; say what one that is there would do."""
    if _work(spec, host).prints:
        return unsafe  # vmtune refuses to defragment there
    if scheduler == "cron":
        is_on, stop = host(TextFile(paths(stem)["cron"])) is not None, f"rm {paths(stem)['cron']}"
    else:
        is_on, stop = host(Timer(f"{stem}.timer")) != OFF, f"systemctl stop {stem}.timer"
    if not is_on:
        return unsafe
    return Refusal(
        f"{unsafe.text}. The schedule that is set up would move images all the same",
        f"`{stop}` until this is mended; {unsafe.hint}",
        unsafe.code,
    )


def _work(spec: Spec, host: HostView) -> defrag_job.Command:
    """What a run does, and how it leaves what snapshots and clones share."""
    btrfs = host(Program("btrfs"))
    if "snapshots" in spec.allow:
        return defrag_job.copying(btrfs)
    vmtune = host(OwnCommand())
    return defrag_job.own(vmtune) if vmtune else defrag_job.guarded(btrfs)


def _sharing(spec: Spec, where: Location, host: HostView) -> Iterator[Note]:
    """Say what a run leaves as of now; ``holds`` drops that where the plan ends the sharing."""
    found = host.maybe(SharedBelow(where.path)) if where.kind == "directory" else None
    if not found or not found.shared or "snapshots" in spec.allow:
        return
    left = (
        "a run leaves the files that have them, and says so"
        if _work(spec, host).prints
        else "while that is so, a run is skipped, and says so"
    )
    where_to = "the journal" if _scheduler(spec, host) == "systemd" else "the log"
    yield Note(
        f"{binary(found.shared)} are shared with snapshots or clones: {left} in {where_to}. "
        "`allow: [snapshots]` has shared data copied",
        "V306",
    )


def paths(stem: str) -> dict[str, str]:
    """The files of one schedule, of which each scheduler has its own."""
    return {
        "cron": f"/etc/cron.d/{stem}",
        "service": f"/etc/systemd/system/{stem}.service",
        "timer": f"/etc/systemd/system/{stem}.timer",
    }


def _foreign(stem: str, host: HostView) -> Refusal | None:
    ours = host(OwnFiles())
    for path in paths(stem).values():
        if path not in ours and host(TextFile(path)) is not None:
            return Refusal(f"{path} is there, and vmtune did not make it", "move it away", "V307")
    return None


def _goals(
    spec: Spec, where: Location, stem: str, scheduler: str, host: HostView
) -> Iterator[Said]:
    file, work = paths(stem), _work(spec, host)
    if scheduler == "cron":
        runs = host(CronRuns(spec.schedule.cron))
        yield Summary(f"next run {runs}, by cron" if runs else "by cron")
        text = defrag_job.cron(spec.schedule, where.path, work)
        yield Desired(TextFile(file["cron"]), text, part=_part(spec))
        yield from _without_timer(stem)
        if not host(CronDaemon()):
            yield Note(_NO_DAEMON, "V310", is_of_host=True)
        if host(SelinuxEnforces()):
            remedy = "; `scheduler: systemd` has systemd run it"
            text = f"{rights.CRONS_JOBS}{remedy if 'systemd' in host(Schedulers()) else ''}"
            yield Note(text, "V313", is_of_host=True)
        return
    runs = host(CalendarRuns(spec.schedule.on_calendar)).next
    yield Summary(f"next run {runs}, by systemd" if runs else "by systemd")
    part = _part(spec)
    yield Desired(UnitFile(file["service"]), defrag_job.service(where.path, work), part=part)
    yield Desired(UnitFile(file["timer"]), defrag_job.timer(spec.schedule, where.path), part=part)
    yield Desired(Timer(f"{stem}.timer"), want=ON)
    yield Desired(TextFile(file["cron"]), None)
    if any(host(NeedsReload(f"{stem}.{kind}")) for kind in ("timer", "service")):
        yield Reload()


_NO_DAEMON = "no cron daemon is running, so no run begins until there is one"


def _part(spec: Spec) -> dict[str, str]:
    """What an entry decides of its files: the schedule, whatever text a version writes for it."""
    return {"is": "; ".join(spec.schedule.on_calendar)}


def places(spec: Spec, host: HostView) -> Iterator[Place[Any]]:
    """The files of both schedulers, and the timer."""
    stem = defrag_job.stem(host(Locate(spec.path)).path)
    yield TextFile(paths(stem)["cron"])
    yield from (goal.place for goal in _without_timer(stem))


def _without_timer(stem: str) -> Iterator[Desired[Any]]:
    yield Desired(Timer(f"{stem}.timer"), want=OFF)
    yield Desired(UnitFile(paths(stem)["timer"]), None)
    yield Desired(UnitFile(paths(stem)["service"]), None)


def _advice(spec: Spec, where: Location, host: HostView) -> Iterator[Said]:
    if where.path != spec.path:
        yield Note(f"the path leads to {where.path}")
    if hidden := host(HiddenCrontabs()):
        yield Note(f"{hidden}, so a job that was written there is not seen", is_of_host=True)
    for job in other_jobs.vague(host):
        text = f"defragments as well ({job.schedule} {job.command})"
        yield Note(f"{job.name} {text}; only its shell can tell what", "V320", is_of_host=True)
    tree = host.maybe(TreeOf(where.path))
    for name in tree.subvolumes if tree else ():
        yield Note(f"{name} is a subvolume of its own, which a run does not enter", "V308")
    if where.kind == "missing" and not spec.nocow:
        ends = "is skipped" if _work(spec, host).btrfs else "fails"
        yield Note(f"there is no such directory yet: until there is one, a run {ends}")
    yield from worth(where, spec.nocow, host)


def holds(spec: Spec, note: Note | Refusal, outlook: Outlook) -> bool:
    """What is said of sharing and of its worth rests on other entries, too."""
    if note.code == "V306":
        return outlook.stays_shared(spec.path)
    if isinstance(note, Refusal):
        return True
    return advice_holds(spec.path, note, outlook)


def leftovers(
    specs: Sequence[Spec], host: HostView
) -> Iterator[tuple[str, Sequence[Desired[Any]]]]:
    """Schedules that vmtune made for paths no longer declared."""
    if not host(OwnFiles()):
        return
    kept = {defrag_job.stem(host(Locate(spec.path)).path) for spec in specs}
    for stem in dict.fromkeys(defrag_job.stem_of(path) for path in host(OwnFiles())):
        if stem and stem not in kept:
            gone: Desired[Any] = Desired(TextFile(paths(stem)["cron"]), None)
            yield _path_of(stem, host), [*_without_timer(stem), gone]


def _path_of(stem: str, host: HostView) -> str:
    """The directory that a schedule was made for, as its files say; else their name."""
    made = [path for path in host(OwnFiles()) if defrag_job.stem_of(path) == stem]
    texts = (host((TextFile if "/cron.d/" in path else UnitFile)(path)) for path in made)
    return next((path for text in texts if text and (path := defrag_job.path_of(text))), stem)


def units(specs: Sequence[Spec], host: HostView) -> Iterator[str]:
    """Those of what is declared, and of what was made before."""
    where = (host.maybe(Locate(spec.path)) for spec in specs)
    declared = {defrag_job.stem(found.path) for found in where if found}
    made = {defrag_job.stem_of(path) for path in host.maybe(OwnFiles()) or ()}
    for stem in (declared | made) - {""}:
        yield from (f"{stem}.service", f"{stem}.timer")


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
    if not calendar.parse(schedule.text).is_cron:
        message = f"cron cannot read the schedule {schedule.text!r}"
        yield ConfigError(
            schedule.origin, message, "write five cron fields, or `scheduler: systemd`"
        )


def schedules(items: Sequence[Item], host: HostView) -> Iterator[ScheduleRuns]:
    """Tell what the scheduler of each entry knows of its runs."""
    for item in items:
        try:
            where = host(Locate(item.path))
            stem = defrag_job.stem(where.path)
            made = [path for path in host(OwnFiles()) if defrag_job.stem_of(path) == stem]
            by_cron = any("/cron.d/" in path for path in made)
            scheduler = "cron" if by_cron else "systemd" if made else ""
            if not made and host(FilesystemOf(where.path)).type != "btrfs":
                continue  # nothing is to be set up there
            unit = f"{stem}.service" if scheduler == "systemd" else ""
            yield ScheduleRuns(item.name, scheduler, _run(item, stem, scheduler, host), unit=unit)
        except NotVisible as hidden:
            yield ScheduleRuns(item.name, "", ServiceRun(), hidden.why)


def _run(item: Item, stem: str, scheduler: str, host: HostView) -> ServiceRun:
    if scheduler == "cron":
        schedule = calendar.parse(item.data["schedule"])
        return ServiceRun(next=host(CronRuns(schedule.cron)) if schedule.cron else "")
    if scheduler == "systemd" and "systemd" in host(Schedulers()):
        return host(ServiceRunOf(stem))
    return ServiceRun()


DEFRAG = Section("defrag", "path", "Defragmentation", required=("schedule",))

KIND = Kind(
    "defrag",
    DEFRAG,
    parse,
    want,
    leftovers,
    units=units,
    holds=holds,
    places=places,
    defaults={"scheduler": "auto", "allow": ()},
    wrong=wrong,
    conflicts=conflicts,
    schedules=schedules,
)

_IDLE = Note(
    "nocow files that no snapshot shares stay in one piece, so this schedule has nothing to do",
    "V309",
)

_EMPTY = Note(
    "new files will be nocow, and stay in one piece while no snapshot shares them, so this "
    "schedule will have nothing to do",
    "V309",
)

_WILL_BE_IDLE = Note(
    "the images become nocow, and stay in one piece while no snapshot shares them, so this "
    "schedule will have nothing to do",
    "V309",
)


_WILL_COMPRESS = Note(
    "this plan switches compression on, so a run will compress what it rewrites", "V312", COST
)


def worth(where: Location, nocow: bool, host: HostView) -> Iterator[Note]:
    """``nocow``: the same path is declared so. ``holds`` says which of the notes stay."""
    tree = host.maybe(TreeOf(where.path))
    sharing = host.maybe(SharedBelow(where.path)) if tree and tree.files else None
    shared = bool(sharing and (sharing.shared or sharing.unseen))
    if tree and not tree.files and nocow:
        yield _EMPTY
        return
    if tree and not shared and _idle(tree, sharing):
        yield _IDLE
        return
    if nocow and sharing and not shared:
        yield _WILL_BE_IDLE
    if token := compression.live(where.path, host):
        text = f"the filesystem is mounted with {token}, so a run compresses what it rewrites"
        yield Note(text, "V312", COST)
    else:
        yield _WILL_COMPRESS


def _idle(tree: Tree, sharing: Sharing | None) -> bool:
    """All that a run would find is nocow."""
    all_nocow = tree.nocow_only or not tree.data_files
    return bool(sharing and sharing.nocow_only and all_nocow)


def advice_holds(path: str, note: Note, outlook: Outlook) -> bool:
    """Once the plan is done: what the images become, and whether compression stays on."""
    if note == _EMPTY:
        return outlook.is_nocow(path)
    if note == _WILL_BE_IDLE:
        return outlook.rewrites(path)
    return note.code != "V312" or outlook.compresses(path)
