"""Every question a plan may ask, and who answers it. Nothing here can change the host."""

from __future__ import annotations

from reconciler.core import facts, images, layout, places, rests, subvolume
from reconciler.core.snapshot import Hidden, Query, Snapshot
from reconciler.host import machine, process
from reconciler.host.directories import below, directory, outline, standing, tree
from reconciler.host.people import caller
from reconciler.host.refused import Refused
from reconciler.host.system import cron, filesystems, fstab, mounts, systemd, texts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from reconciler.core.tree import Tree


def _mounted(see: Snapshot) -> frozenset[str]:
    return frozenset(mount.target for mount in see(facts.Mounts()))


def _schedulers() -> frozenset[str]:
    there = {"systemd": systemd.runs(), "cron": cron.installed()}
    return frozenset(name for name, is_there in there.items() if is_there)


def _exports() -> tuple[str, ...]:
    from reconciler.host.system import exports  # noqa: PLC0415 - only where a file is exchanged

    return exports.exported()


def _layouts(query: layout.LayoutsOf, see: Snapshot) -> layout.Layouts:
    from reconciler.host.directories import layout as room  # noqa: PLC0415 - only status looks that close

    return room.layouts(query.path, see(facts.TreeOf(query.path, query.apart)))


def _layout(query: layout.LayoutOf, _see: Snapshot) -> layout.Layout | None:
    from reconciler.host.directories import layout as room  # noqa: PLC0415 - only explain asks

    return room.one(query.path)


def _service_run(query: layout.ServiceRunOf, see: Snapshot) -> layout.ServiceRun:
    from reconciler.host.system import lastrun  # noqa: PLC0415 - the same

    return lastrun.of(_unit(f"{query.stem}.timer", see), _unit(f"{query.stem}.service", see))


def _unit(name: str, see: Snapshot) -> Mapping[str, str]:
    """What systemd says of a unit; asked for all at once where it is one of those expected."""
    if not systemd.runs():
        return {}
    expected = see.expected()
    # Where one name among many is none to systemd, it must not hide the others.
    together = see.maybe(facts.Units(expected)) if name in expected else None
    return (together or see(facts.Units((name,))))[name]


def _needs_reload(name: str, see: Snapshot) -> bool:
    """The unit on disk is newer than the one that systemd holds."""
    return _unit(name, see).get("NeedDaemonReload") == "yes"


def _discovered(query: Query[Any], see: Snapshot) -> Any:
    from reconciler.host.found import discovery as room  # noqa: PLC0415 - only init and doctor ask

    return room.ANSWERS[type(query)](query, see)


def _subvolume(query: subvolume.Subvolume, _see: Snapshot) -> str:
    from reconciler.host.kernel import subvolume as kernel  # noqa: PLC0415 - only where one is declared

    return kernel.look(query.path)


def _contents(query: subvolume.ContentsOf, see: Snapshot) -> subvolume.Contents:
    from reconciler.host.subvolumes import subtree  # noqa: PLC0415 - the same

    mounted = see(facts.Mounts())
    return subtree.contents(query.path, mounted)


def _tree(query: facts.TreeOf, see: Snapshot) -> Tree:
    """As close as is asked for: where everything is nocow there is nothing to look closer at."""
    if not query.close:
        known = see.known(facts.TreeOf(query.path, query.apart, close=True))
        return known or outline.scan(query.path, _mounted(see), query.apart)
    found = see(facts.TreeOf(query.path, query.apart))
    if not found.cow.count and not found.plain.count:
        return found
    from reconciler.host.directories import survey  # noqa: PLC0415 - only where there is something

    return survey.scan(query.path, _mounted(see), query.apart)


READERS: dict[type[Query[Any]], Callable[[Any, Snapshot], Any]] = {
    facts.CalendarRuns: lambda q, _: systemd.elapse(q.expressions),
    facts.CronDaemon: lambda _, __: cron.runs(),
    facts.CronRuns: lambda q, _: cron.next_run(q.cron),
    facts.EntriesOf: lambda q, _: directory.entries(q.path),
    facts.FilesystemOf: lambda q, see: filesystems.filesystem(q.path, see),
    facts.ForeignJobs: lambda _, __: cron.foreign_jobs(),
    facts.FstabLines: lambda _, __: fstab.lines(),
    facts.FstabObstacle: lambda _, see: fstab.obstacle(see(facts.Mounts())),
    facts.HiddenCrontabs: lambda _, __: cron.hidden(),
    facts.KernelTakes: lambda q, _: mounts.kernel_takes(q.options),
    facts.Homes: lambda _, __: caller.homes(),
    facts.Locate: lambda q, see: filesystems.locate(q.path, see(facts.Homes())),
    facts.Mounts: lambda _, __: filesystems.mounts(),
    facts.NeedsReload: lambda q, see: _needs_reload(q.unit, see),
    facts.NfsExports: lambda _, __: _exports(),
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
    subvolume.ContentsOf: _contents,
    images.Images: standing.look,
    images.Strays: lambda q, see: see(facts.TreeOf(q.path, q.apart)).strays,
    subvolume.Subvolume: _subvolume,
    layout.KernelCommandLine: lambda _, __: machine.command_line(),
    layout.LayoutOf: _layout,
    layout.LayoutsOf: _layouts,
    layout.ServiceRunOf: _service_run,
    images.PropertyBelow: lambda q, see: below.standing(
        q, see(facts.TreeOf(q.path, q.apart, close=True))
    ),
    rests.DirectoryId: lambda q, _: directory.identity(q.path),
    places.Below: lambda q, see: see(facts.TreeOf(q.path, q.apart)).plain,
    places.Directory: lambda q, _: directory.look(q.path),
    places.FstabOptions: lambda q, see: fstab.options_of(q, see(facts.FstabLines())),
    places.LiveOption: lambda q, see: mounts.live(q, see(facts.Mounts())),
    places.TextFile: lambda q, _: texts.look(q.path),
    places.Timer: lambda q, see: systemd.timer(q.unit, _unit(q.unit, see)),
    places.UnitFile: lambda q, _: texts.look(q.path),
}


def read(query: Query[Any], see: Snapshot) -> Any:
    """Answer one query; what may not be seen is Hidden, with the reason."""
    try:
        reader: Callable[[Any, Snapshot], Any] = READERS.get(type(query), _discovered)
        return reader(query, see)
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
