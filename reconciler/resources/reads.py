"""One view of the host: who answers which fact. Nothing here can change the host.

How an answer is found stands in the module that its line names. Questions of one kind are answered
in resources/<kind>/reads.py, those of ``init`` and ``doctor`` alone in discovery/linux.py.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from reconciler.engine.directory import Directory
from reconciler.errors import HostError
from reconciler.facts import host as facts
from reconciler.facts import images as image_layouts
from reconciler.facts import mountable
from reconciler.facts.diagnostics import AsRoot
from reconciler.facts.host_view import HostView, NotVisible
from reconciler.linux import (
    cron,
    directory,
    extents,
    filesystems,
    in_use,
    machine,
    managed_files,
    other_jobs,
    process,
    selinux,
    systemd,
    tree_walk,
    trees,
    users,
)
from reconciler.resources.registry import modules_of_kinds

if TYPE_CHECKING:
    from collections.abc import Callable

    from reconciler.engine.place import Reads
    from reconciler.facts.host_view import Fact


def _schedulers() -> frozenset[str]:
    there = {"systemd": systemd.runs(), "cron": os.path.isdir(cron.FOLDER)}
    return frozenset(name for name, is_there in there.items() if is_there)


def _needs_reload(name: str, host: HostView) -> bool:
    """The unit on disk is newer than the one that systemd holds."""
    return systemd.properties(name, host).get("NeedDaemonReload") == "yes"


def _service_run(query: facts.ServiceRunOf, host: HostView) -> facts.ServiceRun:
    units = (f"{query.stem}.{kind}" for kind in ("timer", "service"))
    return systemd.last_run(query.stem, *(systemd.properties(unit, host) for unit in units))


def _layouts(query: image_layouts.LayoutsOf, host: HostView) -> image_layouts.Layouts:
    return extents.image_layouts(query.path, host(facts.TreeOf(query.path, query.apart)))


HOST_READS: Reads = {
    Directory: lambda q, _: directory.look(q.path),
    AsRoot: lambda _, __: users.is_root(),
    facts.BtrfsIn: lambda q, host: filesystems.btrfs_in(q.path, host),
    facts.CalendarRuns: lambda q, _: systemd.elapse(q.expressions),
    facts.CronDaemon: lambda _, __: cron.runs(),
    facts.CronRuns: lambda q, _: cron.next_run(q.cron),
    mountable.DefaultSubvolume: lambda q, _: trees.default_identifier(q.on),
    mountable.SubvolumeNamed: lambda q, _: trees.subvolume_named(q.on, q.name),
    mountable.SubvolumePath: lambda q, _: trees.subvolume_path(q.on, q.identifier),
    facts.DefaultAcl: lambda q, _: directory.has_default_acl(q.path),
    facts.DirectoryId: lambda q, _: directory.identity(q.path),
    facts.EntriesOf: lambda q, _: directory.names_in(q.path),
    facts.FilesystemOf: lambda q, host: filesystems.filesystem(q.path, host),
    facts.Fixed: lambda q, _: directory.fixed(q.path),
    facts.ForeignJobs: lambda _, host: other_jobs.foreign_jobs(host(facts.Mounts())),
    facts.OwnCommand: lambda _, __: machine.command_of_root(),
    facts.HiddenCrontabs: lambda _, __: cron.hidden(),
    facts.Homes: lambda _, __: users.homes(),
    facts.KernelCommandLine: lambda _, __: machine.command_line(),
    image_layouts.LayoutOf: lambda q, _: extents.layout_of(q.path),
    image_layouts.LayoutsOf: _layouts,
    facts.Locate: lambda q, host: filesystems.locate(q.path, host(facts.Homes())),
    facts.MountUnits: lambda _, __: systemd.mount_units(),
    facts.Mounts: lambda _, __: filesystems.mounts(),
    facts.NeedsReload: lambda q, host: _needs_reload(q.unit, host),
    facts.Program: lambda q, _: process.find(q.name),
    facts.SelinuxEnforces: lambda _, __: selinux.enforces(),
    facts.Schedulers: lambda _, __: _schedulers(),
    facts.ServiceRunOf: _service_run,
    facts.ShadowingUnit: lambda q, _: systemd.shadowing_unit(q.target),
    facts.SharersOf: lambda q, host: extents.sharers(q.images, host(facts.Mounts())),
    facts.SharedBelow: lambda q, _: tree_walk.sharing(q.path),
    facts.SnapshotsIn: lambda q, _: filesystems.snapshots_in(q.path),
    facts.SnapshotsOf: lambda q, host: filesystems.snapshots(q.path, host),
    facts.SourceUuid: lambda q, _: filesystems.source_uuid(q.source),
    facts.SubvolumeAt: lambda q, _: filesystems.subvolume_at(q.target),
    facts.StubOf: lambda q, _: trees.whither(q.path),
    facts.Units: lambda q, _: systemd.units(q.names),
    facts.UseOf: lambda q, _: in_use.use_of(q.path),
    facts.Uses: lambda _, __: in_use.look(),
}


READS: dict[type[Fact[Any]], Callable[[Any, HostView], Any]] = {
    **HOST_READS,
    **managed_files.READS,
}
"""All that a plan can ask; what `init` and `doctor` ask beside that is in discovery/linux.py."""


for _kind in modules_of_kinds("reads"):
    READS.update(_kind.READS)


def read(fact: Fact[Any], host: HostView) -> Any:
    """Answer one fact; what may not be seen is NotVisible, with the reason."""
    answer = READS.get(type(fact)) or _of_discovery(type(fact))
    try:
        return answer(fact, host)
    except PermissionError as error:
        where, name = _where(error, fact), users.acting()
        if where and error.errno == errno.EPERM and users.is_root():  # of no owner, and no mode
            raise users.not_visible(f"look into {where}") from None
        why = f"{where} is not readable as {name}" if where else f"{error.strerror} to {name}"
        raise NotVisible(why) from None
    except HostError as refused:
        raise NotVisible(refused.message) from None
    except OSError as error:
        why = _stub(fact) if error.errno == errno.ENOTTY else ""
        raise NotVisible(why or f"{_where(error, fact)}: {error.strerror}", for_all=True) from None


def _of_discovery(kind: type[Fact[Any]]) -> Callable[[Any, HostView], Any]:
    """Who answers what only ``vmtune init`` and ``vmtune doctor`` ask."""
    from reconciler.discovery import linux  # noqa: PLC0415 - no other command loads it

    return linux.READS[kind]


def _where(error: OSError, fact: Fact[Any]) -> str:
    """The path that an error is about; that of the fact where a descriptor was asked."""
    name = error.filename
    return name if name and isinstance(name, str) else getattr(fact, "path", "")


def _stub(fact: Fact[Any]) -> str:
    """What to say of a path that answers no ioctl: a stub of a subvolume; "" where it is none."""
    path = getattr(fact, "path", "")
    with suppress(OSError):
        return trees.stub_refused(path).message if trees.is_stub(path, os.lstat(path)) else ""
    return ""


def look() -> HostView:
    """A view of this host that has seen nothing yet."""
    return HostView(read)
