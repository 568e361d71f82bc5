"""Is a directory of images defragmented by a job of somebody else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.facts import other_jobs
from reconciler.facts.advice import ASK_ROOT, Health, Row
from reconciler.facts.host import HiddenCrontabs
from reconciler.facts.host_view import NotVisible

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.discovery.subjects import Subjects
    from reconciler.facts.host_view import HostView


_SUBJECT = "other jobs"


def check(subjects: Subjects, host: HostView) -> Iterator[Row]:
    """Yield a row for each job that meets a directory, and one where there is none."""
    try:
        rows = [*_doubled(subjects, host), *_vague(host)]
    except NotVisible as hidden:
        yield Row(Health.UNSEEN, _SUBJECT, hidden.why, "V530", ASK_ROOT)
        return
    yield from rows
    if hidden_tables := host.maybe(HiddenCrontabs()):
        yield Row(Health.UNSEEN, _SUBJECT, hidden_tables, "V530", ASK_ROOT)
    elif not rows:
        yield Row(Health.OK, _SUBJECT, "none defragments a directory of images", "V530")


def _doubled(subjects: Subjects, host: HostView) -> Iterator[Row]:
    """The plan refuses a schedule beside another job; without one the job may do harm alone."""
    for subject in subjects.found:
        for job in other_jobs.same(subject.state.where.path, host):
            is_declared = subject.state.where.path in subjects.defragmented
            text = f"{job.name} defragments it: {job.schedule} {job.command}"
            if not is_declared:
                text += ". Most such jobs copy what snapshots and clones share"
            yield Row(
                Health.FAIL if is_declared else Health.WARN,
                subject.name,
                text,
                "V530",
                f"{job.stop}, or drop the `defrag` entry"
                if is_declared
                else f"to have that left alone: {job.stop}, and declare it under `defrag`",
            )


def _vague(host: HostView) -> Iterator[Row]:
    for job in other_jobs.vague(host):
        text = f"{job.name} defragments, and what that is only its shell can tell: {job.command}"
        yield Row(Health.WARN, _SUBJECT, text, "V530", "read it; end it if it names your images")
