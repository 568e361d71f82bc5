"""What a rollback would leave behind: a subvolume of images inside one that is rolled back.

snapper and Timeshift put a snapshot in the place of the subvolume that they look after. A
subvolume inside it is in no snapshot, so it stays in the old one. btrbk restores nothing by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.discovery.facts import SnapshotTools
from reconciler.engine.place import is_at_or_below
from reconciler.facts.advice import Health, Row
from reconciler.facts.host import Locate, Mounts
from reconciler.formats import mountinfo

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from reconciler.discovery.facts import SnapshotTool
    from reconciler.discovery.subjects import Subject, Subjects
    from reconciler.facts.host_view import HostView
    from reconciler.formats.mountinfo import Mount


_ROLL_BACK = frozenset({"snapper", "Timeshift"})


def check(subjects: Subjects, host: HostView) -> Iterator[Row]:
    """Yield a row for each subvolume that the next rollback leaves in the old place."""
    apart = [subject for subject in subjects.found if subject.state.is_subvolume]
    tools = [tool for tool in host.maybe(SnapshotTools()) or () if tool.name in _ROLL_BACK]
    if not apart or not tools:
        return
    mounts = host(Mounts())
    for subject in apart:
        if tool := _left_by(subject, tools, mounts, host):
            yield Row(
                Health.WARN,
                subject.name,
                f"a subvolume inside of {tool.path}: after a rollback by {tool.name} "
                f"({tool.file}) it stays in the old one, with all images",
                "V535",
                "keep it at the top level of the filesystem, with its own line in /etc/fstab "
                "(subvol=...): `vmtune explain subvolume` says how",
            )


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
