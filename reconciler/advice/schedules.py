"""Hand-made cron lines that defragment, and what they would be in vmtune.yaml."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.advice.words import declarable, tilde
from reconciler.core.advice import Entry, Remark
from reconciler.core.discovery import WhoAsks
from reconciler.core.facts import FilesystemOf, ForeignJobs, Locate
from reconciler.formats import calendar, shell

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from reconciler.core.facts import ForeignJob
    from reconciler.core.snapshot import Snapshot

_WEEKLY = "Sun 03:00"
_USELESS = (
    "take that line out: nocow files that no snapshot shares stay in one piece, so there is "
    "nothing for it to do (vmtune explain V309)"
)
_MOVE = (
    "to have vmtune do it, take that line out and this one in: it then runs at idle priority, "
    "on mains power, and catches up on what was missed"
)
_PRICE = "defragmenting copies what snapshots and clones share, and guests write slower meanwhile"


def suggest(nocow: Collection[str], see: Snapshot) -> Iterator[Entry | Remark]:
    """For each line, by the directory that it defragments; ``nocow``: those that need none."""
    seen: set[str] = set()
    home = see(WhoAsks()).home
    for job in see.maybe(ForeignJobs()) or ():
        for path in shell.defragmented(job.job.command, job.home):
            where, host = see.maybe(Locate(path)), see.maybe(FilesystemOf(path))
            real = where.path if where else path
            if host and host.type != "btrfs":
                yield Remark("apart", f"{_line(job)}: {path} is on {host.type}")
            elif unfit := declarable(tilde(real, home)):
                yield Remark("apart", f"{_line(job)}: {path} {unfit}")
            elif real not in seen:
                seen.add(real)
                useless = Remark("apart", f"{_line(job)}: {_USELESS}")
                yield useless if real in nocow else _entry(job, tilde(real, home))


def _line(job: ForeignJob) -> str:
    return f"{job.file}:{job.job.number}: {job.job.schedule} {job.job.command}"


def _entry(job: ForeignJob, shown: str) -> Entry:
    schedule = job.job.schedule
    try:
        calendar.parse(schedule)
    except ValueError:  # @reboot, or what only this cron reads
        schedule = _WEEKLY
    remarks = (
        Remark("found", _line(job)),
        Remark("suggest", _MOVE),
        Remark("price", _PRICE),
    )
    return Entry("defrag", {"path": shown, "schedule": schedule}, remarks, active=False)
