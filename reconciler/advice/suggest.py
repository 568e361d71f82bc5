"""From what is seen of a host to the vmtune.yaml that ``vmtune init`` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.advice import filesystems, images, schedules
from reconciler.advice.candidates import candidates, unread
from reconciler.core.advice import Entry, Remark, Suggestion
from reconciler.core.discovery import SESSION, SYSTEM, LibvirtOf, SnapshotTools, WhoAsks
from reconciler.core.facts import HiddenCrontabs, Locate

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from reconciler.core.snapshot import Snapshot

_NAMED = 3


def suggest(host: str, see: Snapshot) -> Suggestion:
    """Everything found, each thing once: as an entry, or as a remark that it is none."""
    paths = [images.suggest(candidate, see) for candidate in candidates(see)]
    mounts = [filesystems.suggest(each, see) for each in filesystems.filesystems(see)]
    jobs = list(schedules.suggest(_nocow(paths, see), see))
    said = [*paths, *mounts, *jobs]
    remarks = [*(word for word in said if isinstance(word, Remark)), *_tools(see)]
    return Suggestion(
        host,
        tuple(word for word in said if isinstance(word, Entry)),
        tuple(remark for remark in remarks if remark.label == "apart"),
        (*(r.text for r in remarks if r.label == "unseen"), *_unread(see)),
        see(WhoAsks()).is_root,
    )


def _nocow(paths: Iterable[Entry | Remark], see: Snapshot) -> frozenset[str]:
    """Where the suggested entries leave defragmenting nothing to do."""
    entries = (word for word in paths if isinstance(word, Entry) and word.active)
    home = see(WhoAsks()).home
    written = (str(entry.keys["path"]) for entry in entries)
    absolute = (home + path[1:] if path.startswith("~") else path for path in written)
    found = (see.maybe(Locate(path)) for path in absolute)
    return frozenset(where.path for where in found if where)


def _tools(see: Snapshot) -> Iterator[Remark]:
    for tool in see.maybe(SnapshotTools()) or ():
        yield Remark("apart", f"{tool.name} ({tool.file}) takes snapshots of {tool.path}")


def _unread(see: Snapshot) -> Iterator[str]:
    for whose in (SYSTEM, SESSION):
        files = see(LibvirtOf(whose)).unread
        yield from files[:_NAMED]
        if len(files) > _NAMED:
            yield f"{len(files) - _NAMED} more files of the {whose} libvirt"
    for path in unread(see):
        yield f"{path}: not all of it could be looked through"
    if hidden := see.maybe(HiddenCrontabs()):
        yield hidden
