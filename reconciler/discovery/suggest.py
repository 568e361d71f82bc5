"""From what is seen of a host to the vmtune.yaml that ``vmtune init`` prints.

Hand-made cron lines that defragment become entries, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.discovery import entries, filesystems
from reconciler.discovery.candidates import candidates, declarable, looked_in, tilde, unread
from reconciler.discovery.facts import SESSION, SYSTEM, LibvirtOf, SnapshotTools, WhoAsks
from reconciler.facts.discovered import Entry, Remark, Suggestion
from reconciler.facts.host import CalendarRuns, FilesystemOf, ForeignJobs, HiddenCrontabs, Locate
from reconciler.formats import calendar

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from reconciler.facts.host import ForeignJob
    from reconciler.facts.host_view import HostView


_NAMED = 3


def suggest(filesystem: str, host: HostView) -> Suggestion:
    """Everything found, each thing once: as an entry, or as a remark that it is none."""
    paths = [entries.suggest(candidate, host) for candidate in candidates(host)]
    mounts = [filesystems.suggest(each, host) for each in filesystems.filesystems(host)]
    jobs = list(suggest_schedules(_nocow(paths, host), host))
    said = [*paths, *mounts, *jobs]
    tools = host.maybe(SnapshotTools()) or ()
    remarks = [word for word in said if isinstance(word, Remark)]
    remarks += [
        Remark("apart", f"{tool.name} ({tool.file}) takes snapshots of {tool.path}")
        for tool in tools
    ]
    return Suggestion(
        filesystem,
        tuple(word for word in said if isinstance(word, Entry)),
        tuple(remark for remark in remarks if remark.label == "apart"),
        (*(r.text for r in remarks if r.label == "unseen"), *_unread(host)),
        host(WhoAsks()).is_root,
        (*looked_in(host),),
        host(WhoAsks()).home,
    )


def _nocow(paths: Iterable[Entry | Remark], host: HostView) -> frozenset[str]:
    """Where the suggested entries leave defragmenting nothing to do."""
    entries = (word for word in paths if isinstance(word, Entry) and word.active)
    home = host(WhoAsks()).home
    written = (str(entry.keys["path"]) for entry in entries)
    absolute = (home + path[1:] if path.startswith("~") else path for path in written)
    found = (host.maybe(Locate(path)) for path in absolute)
    return frozenset(where.path for where in found if where)


def _unread(host: HostView) -> Iterator[str]:
    for whose in (SYSTEM, SESSION):
        files = host(LibvirtOf(whose)).unread
        yield from files[:_NAMED]
        if len(files) > _NAMED:
            yield f"{len(files) - _NAMED} more files of the {whose} libvirt"
    for path in unread(host):
        yield f"{path}: not all of it could be looked through"
    if hidden := host.maybe(HiddenCrontabs()):
        yield hidden


_USELESS = (
    "nocow files that no snapshot shares stay in one piece, so the job has nothing to do "
    "(vmtune explain V309)"
)

_MOVE = (
    "vmtune leaves data that snapshots share, works with idle priority and on mains power, and "
    "catches up on a run that was missed"
)


def suggest_schedules(nocow: Collection[str], host: HostView) -> Iterator[Entry | Remark]:
    """For each directory that others defragment, with all of them; ``nocow``: those need none."""
    by_path: dict[str, list[ForeignJob]] = {}
    home = host(WhoAsks()).home
    for job in host.maybe(ForeignJobs()) or ():
        if not job.paths:
            yield Remark("apart", f"{_line(job)}: only its shell can tell what it defragments")
        for path in job.paths:
            where, filesystem = host.maybe(Locate(path)), host.maybe(FilesystemOf(path))
            real = where.path if where else path
            if filesystem and filesystem.type != "btrfs":
                yield Remark("apart", f"{_line(job)}: {path} is on {filesystem.type}")
            elif unfit := declarable(tilde(real, home)):
                yield Remark("apart", f"{_line(job)}: {path} {unfit}")
            elif job not in by_path.setdefault(real, []):
                by_path[real].append(job)
    for real, jobs in by_path.items():
        if real in nocow:
            yield from (Remark("apart", f"{_line(j)}: {j.stop}: {_USELESS}") for j in jobs)
        else:
            yield _entry(jobs, tilde(real, home), host)


def _line(job: ForeignJob) -> str:
    return f"{job.name}: {job.schedule} {job.command}"


def _entry(jobs: Sequence[ForeignJob], shown: str, host: HostView) -> Entry:
    """Return what takes the place of all jobs of a directory, at the time of the first."""
    fit = (job.schedule for job in jobs if _is_schedule(job.schedule, host))
    schedule, stop = next(fit, "Sun 03:00"), ", ".join(job.stop for job in jobs)
    remarks = (
        *(Remark("found", _line(job)) for job in jobs),
        Remark("suggest", f"to let vmtune do this, {stop}, and use this entry: {_MOVE}"),
        Remark("price", "guests write more slowly while it runs"),
    )
    return Entry("defrag", {"path": shown, "schedule": schedule}, remarks, active=False)


def _is_schedule(text: str, host: HostView) -> bool:
    """Whether it can be declared: not @reboot, nor what only this scheduler reads."""
    try:
        found = calendar.parse(text)
    except ValueError:
        return False
    runs = None if found.cron else host.maybe(CalendarRuns(found.on_calendar))
    return bool(found.cron or (runs and runs.next))
