"""What may happen to a declared directory: a rollback, jobs of others, a wrong label."""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING

from reconciler.discovery.facts import LabelOf, SnapshotTools
from reconciler.facts import other_jobs
from reconciler.facts.discovered import ASK_ROOT, Health, Row
from reconciler.facts.host import HiddenCrontabs, Locate, Mounts
from reconciler.facts.host_view import NotVisible
from reconciler.formats import mountinfo
from reconciler.formats.paths import is_at_or_below

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from reconciler.discovery.facts import SnapshotTool
    from reconciler.discovery.subjects import Subject, Subjects
    from reconciler.facts.host_view import HostView
    from reconciler.formats.mountinfo import Mount


def check_paths(subjects: Subjects, host: HostView) -> Iterator[Row]:
    """Yield rows for what is wrong, and one where no other job was found."""
    yield from _rollback(subjects, host)
    yield from _labels(subjects, host)
    yield from _jobs(subjects, host)


def _rollback(subjects: Subjects, host: HostView) -> Iterator[Row]:
    """Yield a row for each subvolume that the next rollback leaves in the old place."""
    apart = [subject for subject in subjects.found if subject.state.is_subvolume]
    roll_back = {"snapper", "Timeshift"}
    tools = [tool for tool in host.maybe(SnapshotTools()) or () if tool.name in roll_back]
    if not apart or not tools:
        return
    mounts = host(Mounts())
    for subject in apart:
        if tool := _left_by(subject, tools, mounts, host):
            text = (
                f"a subvolume inside of {tool.path}: after a rollback by {tool.name} "
                f"({tool.file}) it stays in the old one, with all images"
            )
            remedy = (
                "keep it at the top level of the filesystem, with its own line in /etc/fstab "
                "(subvol=...): `vmtune explain subvolume` says how"
            )
            yield Row(Health.WARN, subject.name, text, "V535", remedy)


def _left_by(
    subject: Subject, tools: Sequence[SnapshotTool], mounts: Sequence[Mount], host: HostView
) -> SnapshotTool | None:
    path = subject.state.where.path
    own = mountinfo.at(mounts, path)
    here = mountinfo.containing(mounts, path)
    for tool in tools:
        where = host.maybe(Locate(tool.path))
        around = mountinfo.containing(mounts, where.path) if where else None
        if not where or not here or not around or here.device != around.device:
            continue
        top = _in_filesystem(around, where.path)
        inner = _in_filesystem(here, path)
        # Whatever is mounted at the path from the top level itself is not rolled back with that.
        if inner != top and is_at_or_below(inner, top) and not (own and top == "/"):
            return tool
    return None


def _in_filesystem(mount: Mount, path: str) -> str:
    """Return where a path lies in its filesystem, from the top level (proc_pid_mountinfo(5))."""
    inside = path.removeprefix(mount.target.rstrip("/")).strip("/")
    return f"{mount.root.rstrip('/')}/{inside}".rstrip("/") or "/"


_SUBJECT = "other jobs"


def _jobs(subjects: Subjects, host: HostView) -> Iterator[Row]:
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
        yield Row(
            Health.OK, _SUBJECT, "of the system: none defragments a directory of images", "V530"
        )


def _doubled(subjects: Subjects, host: HostView) -> Iterator[Row]:
    """The plan refuses a schedule beside another job; without one the job may do harm alone."""
    for subject in subjects.found:
        for job in other_jobs.same(subject.state.where.path, host):
            text = f"{job.name} defragments it: {job.schedule} {job.command}"
            health, remedy = Health.FAIL, f"{job.stop}, or drop the `defrag` entry"
            if subject.state.where.path not in subjects.defragmented:
                text += ". Most such jobs copy what snapshots and clones share"
                health = Health.WARN
                remedy = f"to have that left alone: {job.stop}, and declare it under `defrag`"
            yield Row(health, subject.name, text, "V530", remedy)


def _vague(host: HostView) -> Iterator[Row]:
    for job in other_jobs.vague(host):
        text = f"{job.name} defragments, and what that is only its shell can tell: {job.command}"
        yield Row(Health.WARN, _SUBJECT, text, "V530", "read it; end it if it names your images")


def _labels(subjects: Subjects, host: HostView) -> Iterator[Row]:
    """Yield a row for each directory of another type than the policy's; none without SELinux."""
    for subject in subjects.found:
        where = subject.state.where
        label = host.maybe(LabelOf(where.path)) if where.kind == "directory" else None
        if label and label.differs:
            yield Row(
                Health.WARN,
                subject.name,
                f"its SELinux label is {label.have or 'missing'}, the policy has {label.want}: "
                "what is made in it gets the wrong one, too",
                "V538",
                f"restorecon -R -v {quote(where.path)}",
            )
