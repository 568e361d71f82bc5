"""The table of who answers which question of facts/: nothing here can change the host.

How an answer is found stands in the module that its line names. Questions of one kind are answered
in resources/<kind>/linux.py, those of ``init`` and ``doctor`` alone in discovery/linux.py.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from reconciler.engine.directory import Directory
from reconciler.facts import host as facts
from reconciler.facts import layouts as image_layouts
from reconciler.facts import mountable
from reconciler.facts.rights import AsRoot
from reconciler.linux import (
    cron,
    directory,
    filesystems,
    in_use,
    installation,
    layouts,
    machine,
    other_jobs,
    process,
    selinux,
    sharers,
    subvolume_list,
    systemd,
    tree_walk,
    users,
)

if TYPE_CHECKING:
    from reconciler.engine.place import Reads
    from reconciler.facts.host_view import HostView


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
    return layouts.layouts(query.path, host(facts.TreeOf(query.path, query.apart)))


READS: Reads = {
    Directory: lambda q, _: directory.look(q.path),
    AsRoot: lambda _, __: users.is_root(),
    facts.BtrfsIn: lambda q, host: filesystems.btrfs_in(q.path, host),
    facts.CalendarRuns: lambda q, _: systemd.elapse(q.expressions),
    facts.CronDaemon: lambda _, __: cron.runs(),
    facts.CronRuns: lambda q, _: cron.next_run(q.cron),
    mountable.DefaultSubvolume: lambda q, _: subvolume_list.default_identifier(q.on),
    mountable.SubvolumeNamed: lambda q, _: subvolume_list.subvolume_named(q.on, q.name),
    mountable.SubvolumePath: lambda q, _: subvolume_list.subvolume_path(q.on, q.identifier),
    facts.DefaultAcl: lambda q, _: directory.has_default_acl(q.path),
    facts.DirectoryId: lambda q, _: directory.identity(q.path),
    facts.EntriesOf: lambda q, _: directory.names_in(q.path),
    facts.FilesystemOf: lambda q, host: filesystems.filesystem(q.path, host),
    facts.Fixed: lambda q, _: directory.fixed(q.path),
    facts.ForeignJobs: lambda _, host: other_jobs.foreign_jobs(host(facts.Mounts())),
    facts.OwnCommand: lambda _, __: installation.of_root(),
    facts.HiddenCrontabs: lambda _, __: cron.hidden(),
    facts.Homes: lambda _, __: users.homes(),
    facts.KernelCommandLine: lambda _, __: machine.command_line(),
    image_layouts.LayoutOf: lambda q, _: layouts.layout_of(q.path),
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
    facts.SharersOf: lambda q, host: sharers.look(q.images, host(facts.Mounts())),
    facts.SharedBelow: lambda q, _: tree_walk.sharing(q.path),
    facts.SnapshotsIn: lambda q, _: filesystems.snapshots_in(q.path),
    facts.SnapshotsOf: lambda q, host: filesystems.snapshots(q.path, host),
    facts.SourceUuid: lambda q, _: filesystems.source_uuid(q.source),
    facts.SubvolumeAt: lambda q, _: filesystems.subvolume_at(q.target),
    facts.StubOf: lambda q, _: subvolume_list.whither(q.path),
    facts.Units: lambda q, _: systemd.units(q.names),
    facts.UseOf: lambda q, _: in_use.use_of(q.path),
    facts.Uses: lambda _, __: in_use.look(),
}
