"""The questions of every plan, and who answers them. Nothing here can change the host.

Those that most plans never ask are in ``seldom.py``, loaded with the first of them.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from reconciler.core import facts, places
from reconciler.core.snapshot import Hidden, Query, Snapshot
from reconciler.host import process
from reconciler.host.directories import directory, outline, survey, tree
from reconciler.host.people import caller
from reconciler.host.refused import Refused
from reconciler.host.system import cron, filesystems, fstab, mounts, systemd, texts

if TYPE_CHECKING:
    from collections.abc import Callable

    from reconciler.core.tree import Tree


def _mounted(see: Snapshot) -> frozenset[str]:
    return frozenset(mount.target for mount in see(facts.Mounts()))


def _schedulers() -> frozenset[str]:
    there = {"systemd": systemd.runs(), "cron": cron.installed()}
    return frozenset(name for name, is_there in there.items() if is_there)


def _needs_reload(name: str, see: Snapshot) -> bool:
    """The unit on disk is newer than the one that systemd holds."""
    return systemd.properties(name, see).get("NeedDaemonReload") == "yes"


def _tree(query: facts.TreeOf, see: Snapshot) -> Tree:
    """As close as is asked for: where everything is nocow there is nothing to look closer at."""
    if not query.close:
        known = see.known(facts.TreeOf(query.path, query.apart, close=True))
        return known or outline.scan(query.path, _mounted(see), query.apart)
    found = see(facts.TreeOf(query.path, query.apart))
    if not found.cow.count and not found.plain.count:
        return found
    # What was held for as long as a look waits is not waited for once more.
    patient = not found.busy
    uses = lambda: see(facts.Uses())  # noqa: E731
    return survey.scan(query.path, _mounted(see), query.apart, uses, patient=patient)


READERS: dict[type[Query[Any]], Callable[[Any, Snapshot], Any]] = {
    facts.CalendarRuns: lambda q, _: systemd.elapse(q.expressions),
    facts.CronDaemon: lambda _, __: cron.runs(),
    facts.CronRuns: lambda q, _: cron.next_run(q.cron),
    facts.EntriesOf: lambda q, _: directory.entries(q.path),
    facts.FilesystemOf: lambda q, see: filesystems.filesystem(q.path, see),
    facts.ForeignJobs: lambda _, __: cron.foreign_jobs(),
    facts.Fixed: lambda q, _: directory.fixed(q.path),
    facts.FstabLines: lambda _, __: fstab.lines(),
    facts.FstabObstacle: lambda _, see: fstab.obstacle(see(facts.Mounts())),
    facts.HiddenCrontabs: lambda _, __: cron.hidden(),
    facts.KernelTakes: lambda q, _: mounts.kernel_takes(q.options),
    facts.Homes: lambda _, __: caller.homes(),
    facts.Locate: lambda q, see: filesystems.locate(q.path, see(facts.Homes())),
    facts.Mounts: lambda _, __: filesystems.mounts(),
    facts.NeedsReload: lambda q, see: _needs_reload(q.unit, see),
    facts.OwnFiles: lambda _, __: texts.own(),
    facts.Program: lambda q, _: process.find(q.name),
    facts.Schedulers: lambda _, __: _schedulers(),
    facts.ShadowingUnit: lambda q, _: systemd.shadowing_unit(q.target),
    facts.SharedBelow: lambda q, _: tree.sharing(q.path),
    facts.BtrfsIn: lambda q, see: filesystems.btrfs_in(q.path, see),
    facts.SnapshotsIn: lambda q, _: filesystems.snapshots_in(q.path),
    facts.SnapshotsOf: lambda q, see: filesystems.snapshots(q.path, see),
    facts.SourceUuid: lambda q, _: filesystems.source_uuid(q.source),
    facts.Units: lambda q, _: systemd.units(q.names),
    facts.TreeOf: _tree,
    places.Below: lambda q, see: see(facts.TreeOf(q.path, q.apart)).plain,
    places.Directory: lambda q, _: directory.look(q.path),
    places.FstabOptions: lambda q, see: fstab.options_of(q, see(facts.FstabLines())),
    places.LiveOption: lambda q, see: mounts.live(q, see(facts.Mounts())),
    places.TextFile: lambda q, _: texts.look(q.path),
    places.Timer: lambda q, see: systemd.timer(q.unit, systemd.properties(q.unit, see)),
    places.UnitFile: lambda q, _: texts.look(q.path),
}


def _seldom(query: Query[Any]) -> Callable[[Any, Snapshot], Any]:
    from reconciler.host import seldom  # noqa: PLC0415 - a plan in sync asks none of these

    return seldom.reader(query)


def read(query: Query[Any], see: Snapshot) -> Any:
    """Answer one query; what may not be seen is Hidden, with the reason."""
    try:
        reader = READERS.get(type(query)) or _seldom(query)
        return reader(query, see)
    except PermissionError as error:
        raise Hidden(f"{_where(error, query)} is not readable as {caller.caller().name}") from None
    except Refused as refused:
        raise Hidden(refused.message) from None
    except OSError as error:
        why = _stub(query) if error.errno == errno.ENOTTY else ""
        raise Hidden(why or f"{_where(error, query)}: {error.strerror}", for_all=True) from None


def _where(error: OSError, query: Query[Any]) -> str:
    """The path that an error is about; that of the query where a descriptor was asked."""
    name = error.filename
    return name if name and isinstance(name, str) else getattr(query, "path", "")


def _stub(query: Query[Any]) -> str:
    """What to say of a path that answers no ioctl: a stub of a subvolume; "" where it is none."""
    from reconciler.host.kernel import stub  # noqa: PLC0415 - a rollback is seldom

    path = getattr(query, "path", "")
    with suppress(OSError):
        return stub.refused(path).message if stub.is_stub(path, os.lstat(path)) else ""
    return ""


def look() -> Snapshot:
    """A snapshot of this host that has seen nothing yet."""
    return Snapshot(read)
