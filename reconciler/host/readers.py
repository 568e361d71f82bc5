"""Every question a plan may ask, and who answers it. Nothing here can change the host."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reconciler.core import facts, places
from reconciler.core.snapshot import Hidden, Query, Snapshot
from reconciler.host import (
    caller,
    cron,
    directory,
    filesystems,
    fstab,
    mounts,
    process,
    systemd,
    texts,
    tree,
)
from reconciler.host.refused import Refused

if TYPE_CHECKING:
    from collections.abc import Callable


def _mounted(see: Snapshot) -> frozenset[str]:
    return frozenset(mount.target for mount in see(facts.Mounts()))


def _schedulers() -> frozenset[str]:
    there = {"systemd": systemd.runs(), "cron": cron.installed()}
    return frozenset(name for name, is_there in there.items() if is_there)


READERS: dict[type[Query[Any]], Callable[[Any, Snapshot], Any]] = {
    facts.CalendarRuns: lambda q, _: systemd.elapse(q.expressions),
    facts.CronDaemon: lambda _, __: cron.runs(),
    facts.CronRuns: lambda q, _: cron.next_run(q.cron),
    facts.EntriesOf: lambda q, _: directory.entries(q.path),
    facts.FilesystemOf: lambda q, _: filesystems.filesystem(q.path),
    facts.ForeignJobs: lambda _, __: cron.foreign_jobs(),
    facts.FstabLines: lambda _, __: fstab.lines(),
    facts.FstabObstacle: lambda _, see: fstab.obstacle(see(facts.Mounts())),
    facts.HiddenCrontabs: lambda _, __: cron.hidden(),
    facts.KernelTakes: lambda q, _: mounts.kernel_takes(q.options),
    facts.Locate: lambda q, _: filesystems.locate(q.path),
    facts.Mounts: lambda _, __: filesystems.mounts(),
    facts.NeedsReload: lambda q, _: systemd.needs_reload(q.unit),
    facts.OwnFiles: lambda _, __: texts.own(),
    facts.Program: lambda q, _: process.find(q.name),
    facts.Schedulers: lambda _, __: _schedulers(),
    facts.ShadowingUnit: lambda q, _: systemd.shadowing_unit(q.target),
    facts.SharedBelow: lambda q, _: tree.sharing(q.path),
    facts.SnapshotsOf: lambda q, _: filesystems.snapshots(q.path),
    facts.SourceUuid: lambda q, _: filesystems.source_uuid(q.source),
    facts.TreeOf: lambda q, see: tree.scan(q.path, _mounted(see), q.apart),
    places.Below: lambda q, see: see(facts.TreeOf(q.path, q.apart)).plain,
    places.Directory: lambda q, _: directory.look(q.path),
    places.FstabOptions: lambda q, see: fstab.options_of(q, see(facts.FstabLines())),
    places.LiveOption: lambda q, see: mounts.live(q, see(facts.Mounts())),
    places.TextFile: lambda q, _: texts.look(q.path),
    places.Timer: lambda q, _: systemd.timer(q.unit),
    places.UnitFile: lambda q, _: texts.look(q.path),
}


def read(query: Query[Any], see: Snapshot) -> Any:
    """Answer one query; what may not be seen is Hidden, with the reason."""
    try:
        return READERS[type(query)](query, see)
    except PermissionError as error:
        where = error.filename or getattr(query, "path", "")
        raise Hidden(f"{where} is not readable as {caller.caller().name}") from None
    except Refused as refused:
        raise Hidden(refused.message) from None
    except OSError as error:
        where = error.filename or getattr(query, "path", "")
        raise Hidden(f"{where}: {error.strerror}") from None


def look() -> Snapshot:
    """A snapshot of this host that has seen nothing yet."""
    return Snapshot(read)
