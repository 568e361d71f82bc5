"""Every question that is asked of a host, and who answers it. Nothing here can change the host."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from reconciler.engine import directory as directory_place
from reconciler.engine import subvolume as subvolume_places
from reconciler.errors import HostError
from reconciler.facts import host as facts
from reconciler.facts.host_view import HostView, NotVisible
from reconciler.linux import (
    cron,
    directory,
    filesystems,
    machine,
    process,
    systemd,
    tree_walk,
    users,
)
from reconciler.resources.compression import linux as compression_linux
from reconciler.resources.compression import places as compression_places
from reconciler.resources.defrag import linux as defrag_linux
from reconciler.resources.defrag import places as defrag_places
from reconciler.resources.images import places as images_places
from reconciler.resources.images import scan
from reconciler.resources.mount import linux as mount_linux
from reconciler.resources.mount import places as mount_places
from reconciler.resources.nocow import places as nocow_places

if TYPE_CHECKING:
    from collections.abc import Callable

    from reconciler.facts.host_view import Fact
    from reconciler.facts.stub import Stub
    from reconciler.facts.tree import NameList, Tree


def _mounted(see: HostView) -> frozenset[str]:
    return frozenset(mount.target for mount in see(facts.Mounts()))


def _schedulers() -> frozenset[str]:
    there = {"systemd": systemd.runs(), "cron": cron.installed()}
    return frozenset(name for name, is_there in there.items() if is_there)


def _needs_reload(name: str, see: HostView) -> bool:
    """The unit on disk is newer than the one that systemd holds."""
    return systemd.properties(name, see).get("NeedDaemonReload") == "yes"


def _tree(query: facts.TreeOf, see: HostView) -> Tree:
    """As close as is asked for: where everything is nocow there is nothing to look closer at."""
    if not query.close:
        known = see.known(facts.TreeOf(query.path, query.apart, close=True))
        return known or scan.scan_outline(query.path, _mounted(see), query.apart)
    found = see(facts.TreeOf(query.path, query.apart))
    if not found.cow.count and not found.plain.count:
        return found
    # What was held for as long as a look waits is not waited for once more.
    patient = not found.busy
    uses = lambda: see(facts.Uses())  # noqa: E731
    return scan.scan(query.path, _mounted(see), query.apart, uses, patient=patient)


READERS: dict[type[Fact[Any]], Callable[[Any, HostView], Any]] = {
    facts.CalendarRuns: lambda q, _: systemd.elapse(q.expressions),
    facts.CronDaemon: lambda _, __: cron.runs(),
    facts.CronRuns: lambda q, _: cron.next_run(q.cron),
    facts.EntriesOf: lambda q, _: directory.names_in(q.path),
    facts.FilesystemOf: lambda q, see: filesystems.filesystem(q.path, see),
    facts.ForeignJobs: lambda _, __: cron.foreign_jobs(),
    facts.Fixed: lambda q, _: directory.fixed(q.path),
    facts.FstabLines: lambda _, __: mount_linux.lines(),
    facts.FstabObstacle: lambda _, see: mount_linux.obstacle(see(facts.Mounts())),
    facts.HiddenCrontabs: lambda _, __: cron.hidden(),
    facts.KernelTakes: lambda q, _: mount_linux.kernel_takes(q.options),
    facts.Homes: lambda _, __: users.homes(),
    facts.Locate: lambda q, see: filesystems.locate(q.path, see(facts.Homes())),
    facts.Mounts: lambda _, __: filesystems.mounts(),
    facts.NeedsReload: lambda q, see: _needs_reload(q.unit, see),
    facts.OwnFiles: lambda _, __: defrag_linux.own(),
    facts.Program: lambda q, _: process.find(q.name),
    facts.Schedulers: lambda _, __: _schedulers(),
    facts.ShadowingUnit: lambda q, _: systemd.shadowing_unit(q.target),
    facts.SharedBelow: lambda q, _: tree_walk.sharing(q.path),
    facts.BtrfsIn: lambda q, see: filesystems.btrfs_in(q.path, see),
    facts.SnapshotsIn: lambda q, _: filesystems.snapshots_in(q.path),
    facts.SnapshotsOf: lambda q, see: filesystems.snapshots(q.path, see),
    facts.SourceUuid: lambda q, _: filesystems.source_uuid(q.source),
    facts.Units: lambda q, _: systemd.units(q.names),
    facts.TreeOf: _tree,
    nocow_places.Below: lambda q, see: see(facts.TreeOf(q.path, q.apart)).plain,
    directory_place.Directory: lambda q, _: directory.look(q.path),
    mount_places.FstabOptions: lambda q, see: mount_linux.options_of(q, see(facts.FstabLines())),
    mount_places.LiveOption: lambda q, see: mount_linux.live(q, see(facts.Mounts())),
    defrag_places.TextFile: lambda q, _: defrag_linux.look(q.path),
    defrag_places.Timer: lambda q, see: systemd.timer(q.unit, systemd.properties(q.unit, see)),
    defrag_places.UnitFile: lambda q, _: defrag_linux.look(q.path),
}


def _seldom(query: Fact[Any]) -> Callable[[Any, HostView], Any]:

    return reader(query)


def read(query: Fact[Any], see: HostView) -> Any:
    """Answer one query; what may not be seen is Hidden, with the reason."""
    try:
        reader = READERS.get(type(query)) or _seldom(query)
        return reader(query, see)
    except PermissionError as error:
        raise NotVisible(
            f"{_where(error, query)} is not readable as {users.caller().name}"
        ) from None
    except HostError as refused:
        raise NotVisible(refused.message) from None
    except OSError as error:
        why = _stub(query) if error.errno == errno.ENOTTY else ""
        raise NotVisible(why or f"{_where(error, query)}: {error.strerror}", for_all=True) from None


def _where(error: OSError, query: Fact[Any]) -> str:
    """The path that an error is about; that of the query where a descriptor was asked."""
    name = error.filename
    return name if name and isinstance(name, str) else getattr(query, "path", "")


def _stub(query: Fact[Any]) -> str:
    """What to say of a path that answers no ioctl: a stub of a subvolume; "" where it is none."""
    from reconciler.linux import tree_search  # noqa: PLC0415 - a rollback is seldom

    path = getattr(query, "path", "")
    with suppress(OSError):
        return (
            tree_search.stub_refused(path).message
            if tree_search.is_stub(path, os.lstat(path))
            else ""
        )
    return ""


def look() -> HostView:
    """A snapshot of this host that has seen nothing yet."""
    return HostView(read)


def _layouts(query: facts.LayoutsOf, see: HostView) -> facts.Layouts:
    from reconciler.linux import fiemap  # noqa: PLC0415 - only status looks that close

    return fiemap.layouts(query.path, see(facts.TreeOf(query.path, query.apart)))


def _layout(query: facts.LayoutOf, _see: HostView) -> facts.Layout | None:
    from reconciler.linux import fiemap  # noqa: PLC0415 - only explain asks

    return fiemap.layout_of(query.path)


def _service_run(query: facts.ServiceRunOf, see: HostView) -> facts.ServiceRun:
    from reconciler.linux import systemd  # noqa: PLC0415 - only status and explain ask

    return systemd.last_run(
        *(systemd.properties(f"{query.stem}.{kind}", see) for kind in ("timer", "service"))
    )


def _images(query: images_places.Images, see: HostView) -> NameList:
    from reconciler.resources.images import worklist  # noqa: PLC0415 - the same

    return worklist.images_left(query, see)


def _property(query: compression_places.PropertyBelow, see: HostView) -> NameList:
    return compression_linux.property_below(
        query, see(facts.TreeOf(query.path, query.apart, close=True))
    )


def _seldom_stub(path: str) -> Stub:
    from reconciler.linux import tree_search  # noqa: PLC0415 - a rollback is seldom

    return tree_search.whither(path)


def _subvolume(query: subvolume_places.Subvolume, _see: HostView) -> str:
    from reconciler.linux import subvolumes  # noqa: PLC0415 - only where one is declared

    return subvolumes.look(query.path)


def _contents(query: subvolume_places.ContentsOf, see: HostView) -> subvolume_places.Contents:
    from reconciler.resources.subvolume import inventory  # noqa: PLC0415 - the same

    mounted = see(facts.Mounts())
    return inventory.contents(query.path, mounted, see(facts.Uses()))


def _uses(_query: facts.Uses, _see: HostView) -> Any:
    from reconciler.linux import in_use  # noqa: PLC0415 - only where something is exchanged

    return in_use.look()


def _use_of(query: facts.UseOf, _see: HostView) -> str:
    from reconciler.linux import in_use  # noqa: PLC0415 - only where one is removed

    return in_use.use_of(query.path)


ANSWERS: dict[type[Fact[Any]], Callable[[Any, HostView], Any]] = {
    facts.StubOf: lambda q, _: _seldom_stub(q.path),
    facts.UseOf: _use_of,
    facts.Uses: _uses,
    images_places.Images: _images,
    compression_places.PropertyBelow: _property,
    images_places.Strays: lambda q, see: see(facts.TreeOf(q.path, q.apart)).strays,
    facts.KernelCommandLine: lambda _, __: machine.command_line(),
    facts.LayoutOf: _layout,
    facts.LayoutsOf: _layouts,
    facts.ServiceRunOf: _service_run,
    facts.DirectoryId: lambda q, _: directory.identity(q.path),
    subvolume_places.ContentsOf: _contents,
    subvolume_places.Subvolume: _subvolume,
}


def reader(query: Fact[Any]) -> Callable[[Any, HostView], Any]:
    """Who answers; what is left is asked by ``init`` and ``doctor``."""
    if found := ANSWERS.get(type(query)):
        return found
    from reconciler.discovery import linux as discovery_linux  # noqa: PLC0415 - it reads libvirt's files

    return discovery_linux.ANSWERS[type(query)]
