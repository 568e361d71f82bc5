"""From what is seen of a host to the vmtune.yaml that ``vmtune init`` prints.

Hand-made cron lines that defragment become entries, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.discovery import entries, filesystems
from reconciler.discovery.candidates import candidates, looked_in, unread
from reconciler.discovery.facts import SESSION, SYSTEM, LibvirtOf, SnapshotTools, WhoAsks
from reconciler.discovery.paths import declarable, tilde
from reconciler.facts.advice import Entry, Remark, Suggestion
from reconciler.facts.host import CalendarRuns, FilesystemOf, ForeignJobs, HiddenCrontabs, Locate
from reconciler.formats import calendar

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from reconciler.facts.host import ForeignJob
    from reconciler.facts.host_view import HostView


_NAMED = 3


def suggest(host: str, see: HostView) -> Suggestion:
    """Everything found, each thing once: as an entry, or as a remark that it is none."""
    paths = [entries.suggest(candidate, see) for candidate in candidates(see)]
    mounts = [filesystems.suggest(each, see) for each in filesystems.filesystems(see)]
    jobs = list(suggest_schedules(_nocow(paths, see), see))
    said = [*paths, *mounts, *jobs]
    remarks = [*(word for word in said if isinstance(word, Remark)), *_tools(see)]
    return Suggestion(
        host,
        tuple(word for word in said if isinstance(word, Entry)),
        tuple(remark for remark in remarks if remark.label == "apart"),
        (*(r.text for r in remarks if r.label == "unseen"), *_unread(see)),
        see(WhoAsks()).is_root,
        (*looked_in(see),),
        see(WhoAsks()).home,
    )


def _nocow(paths: Iterable[Entry | Remark], see: HostView) -> frozenset[str]:
    """Where the suggested entries leave defragmenting nothing to do."""
    entries = (word for word in paths if isinstance(word, Entry) and word.active)
    home = see(WhoAsks()).home
    written = (str(entry.keys["path"]) for entry in entries)
    absolute = (home + path[1:] if path.startswith("~") else path for path in written)
    found = (see.maybe(Locate(path)) for path in absolute)
    return frozenset(where.path for where in found if where)


def _tools(see: HostView) -> Iterator[Remark]:
    for tool in see.maybe(SnapshotTools()) or ():
        yield Remark("apart", f"{tool.name} ({tool.file}) takes snapshots of {tool.path}")


def _unread(see: HostView) -> Iterator[str]:
    for whose in (SYSTEM, SESSION):
        files = see(LibvirtOf(whose)).unread
        yield from files[:_NAMED]
        if len(files) > _NAMED:
            yield f"{len(files) - _NAMED} more files of the {whose} libvirt"
    for path in unread(see):
        yield f"{path}: not all of it could be looked through"
    if hidden := see.maybe(HiddenCrontabs()):
        yield hidden


_WEEKLY = "Sun 03:00"

_USELESS = (
    "nocow files that no snapshot shares stay in one piece, so there is nothing for it to do "
    "(vmtune explain V309)"
)

_MOVE = (
    "a run of vmtune's leaves what snapshots share, is on idle priority and on mains power, and "
    "catches up on what was missed"
)

_PRICE = "guests write slower while a run goes on"


def suggest_schedules(nocow: Collection[str], see: HostView) -> Iterator[Entry | Remark]:
    """For each line, by the directory that it defragments; ``nocow``: those that need none."""
    seen: set[str] = set()
    home = see(WhoAsks()).home
    for job in see.maybe(ForeignJobs()) or ():
        if not job.paths:
            yield Remark("apart", f"{_line(job)}: what it defragments only its shell can tell")
        for path in job.paths:
            where, host = see.maybe(Locate(path)), see.maybe(FilesystemOf(path))
            real = where.path if where else path
            if host and host.type != "btrfs":
                yield Remark("apart", f"{_line(job)}: {path} is on {host.type}")
            elif unfit := declarable(tilde(real, home)):
                yield Remark("apart", f"{_line(job)}: {path} {unfit}")
            elif real not in seen:
                seen.add(real)
                useless = Remark("apart", f"{_line(job)}: {job.stop}: {_USELESS}")
                yield useless if real in nocow else _entry(job, tilde(real, home), see)


def _line(job: ForeignJob) -> str:
    return f"{job.name}: {job.schedule} {job.command}"


def _entry(job: ForeignJob, shown: str, see: HostView) -> Entry:
    schedule = job.schedule if _is_schedule(job.schedule, see) else _WEEKLY
    remarks = (
        Remark("found", _line(job)),
        Remark("suggest", f"to have vmtune do it, {job.stop}, and put this in: {_MOVE}"),
        Remark("price", _PRICE),
    )
    return Entry("defrag", {"path": shown, "schedule": schedule}, remarks, active=False)


def _is_schedule(text: str, see: HostView) -> bool:
    """Whether it can be declared: not @reboot, nor what only this scheduler reads."""
    try:
        found = calendar.parse(text)
    except ValueError:
        return False
    runs = None if found.is_cron else see.maybe(CalendarRuns(found.on_calendar))
    return found.is_cron or bool(runs and runs.next)
