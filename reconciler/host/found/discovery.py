"""Answers to what only ``vmtune init`` and ``vmtune doctor`` ask."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from reconciler.core import discovery, facts
from reconciler.host import machine, process
from reconciler.host.found import imagefiles, libvirt
from reconciler.host.people import caller
from reconciler.host.system import filesystems, fstab, snapshotters, tmpfiles

if TYPE_CHECKING:
    from collections.abc import Callable

    from reconciler.core.snapshot import Query, Snapshot


def _who() -> discovery.Caller:
    who = caller.caller()
    return discovery.Caller(who.name, who.home.rstrip("/"), os.geteuid() == 0)


def _images(query: discovery.ImagesBelow, see: Snapshot) -> discovery.ImageFolders:
    mounted = frozenset(mount.target for mount in see(facts.Mounts()))
    return imagefiles.below(query.path, query.depth, mounted)


def _space(path: str) -> discovery.Space:
    found = os.statvfs(path)
    return discovery.Space(found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize)


def _faults() -> tuple[discovery.FstabFault, ...]:
    return tuple(discovery.FstabFault(target, text) for target, text in fstab.faults())


def _tools() -> tuple[discovery.SnapshotTool, ...]:
    return tuple(discovery.SnapshotTool(*each) for each in snapshotters.tools())


ANSWERS: dict[type[Query[Any]], Callable[[Any, Snapshot], Any]] = {
    discovery.FstabFaults: lambda _, __: _faults(),
    discovery.ImagesBelow: _images,
    discovery.LibvirtOf: lambda q, _: libvirt.look(q.whose),
    discovery.QuickemuIn: lambda q, _: imagefiles.machines(q.folder),
    discovery.RunningKernel: lambda _, __: discovery.Kernel(machine.kernel(), machine.has_btrfs()),
    discovery.SnapshotPlansOf: lambda q, _: filesystems.snapshot_plans(q.path),
    discovery.SnapshotTools: lambda _, __: _tools(),
    discovery.SpaceOn: lambda q, _: _space(q.path),
    discovery.SubvolumeRoot: lambda q, _: filesystems.is_subvolume_root(q.path),
    discovery.TmpfilesLines: lambda _, __: tmpfiles.lines(),
    discovery.VersionOf: lambda q, _: process.version(q.program),
    discovery.WhoAsks: lambda _, __: _who(),
}
