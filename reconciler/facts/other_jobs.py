"""Jobs of others that defragment what an entry is about: work that would be done twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.facts.host import DirectoryId, ForeignJobs, Locate
from reconciler.formats.paths import is_below, parent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.facts.host import ForeignJob
    from reconciler.facts.host_view import HostView


def same(path: str, host: HostView) -> tuple[ForeignJob, ...]:
    """Find the jobs that defragment a directory, all that is around it, or a part of it.

    ``path`` has no links in it. Raise NotVisible where the jobs cannot be seen.
    """
    return tuple(
        job
        for job in host(ForeignJobs())
        if any(
            _meets(where.path, path, host)
            for each in job.paths
            if (where := host.maybe(Locate(each)))
        )
    )


def vague(host: HostView) -> Iterator[ForeignJob]:
    """Yield the jobs of which only a shell can tell what they defragment."""
    yield from (job for job in host(ForeignJobs()) if not job.paths)


def _meets(one: str, other: str, host: HostView) -> bool:
    """Whether one lies in the other; `defragment -r` enters no other subvolume or mount."""
    if is_below(one, other) or is_below(other, one):
        return _subvolume(one, host) == _subvolume(other, host)
    return one == other


def _subvolume(path: str, host: HostView) -> str:
    """Tell the filesystem and the subvolume of a directory, or of where it would be made."""
    where = host.maybe(Locate(path))
    there = where.missing[0] if where and where.missing else path
    if where and where.kind != "directory":  # it is not there yet, or is a file
        there = parent(there)
    return (host.maybe(DirectoryId(there)) or "").partition(" inode ")[0]
