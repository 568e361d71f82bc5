"""Is there what vmtune works with: the kernel, programs, a scheduler, and libvirt's own policy."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from reconciler.core.advice import ASK_ROOT, Health, Row
from reconciler.core.discovery import SESSION, SYSTEM, LibvirtOf, RunningKernel, VersionOf
from reconciler.core.facts import CronDaemon, FilesystemOf, Locate, Schedulers
from reconciler.core.places import Directory
from reconciler.core.sizes import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.advice.subjects import Subjects
    from reconciler.core.snapshot import Snapshot
    from reconciler.formats.libvirtxml import Pool

_STRICT = (6, 8)
"""Since then Btrfs parses mount options with the new mount API, which can be asked."""


def check(subjects: Subjects, see: Snapshot) -> Iterator[Row]:
    """One row for each thing; several for pools."""
    yield _kernel(see)
    yield _progs(subjects, see)
    yield _findmnt(see)
    yield _scheduler(subjects, see)
    yield from _libvirt(subjects, see)


def _kernel(see: Snapshot) -> Row:
    kernel = see(RunningKernel())
    if not kernel.btrfs:
        return Row(
            Health.WARN,
            "kernel",
            f"{kernel.release} has no Btrfs: there is nothing to tune here",
            "V501",
            "modprobe btrfs, if there should be",
        )
    numbers = [int(number) for number in re.findall(r"\d+", kernel.release)[:2]]
    asked = "can be asked about mount options"
    tried = "tells only when it mounts: options are tried on the live mount"
    text = f"{kernel.release}, {asked if tuple(numbers) >= _STRICT else tried}"
    return Row(Health.OK, "kernel", text, "V501")


def _progs(subjects: Subjects, see: Snapshot) -> Row:
    if version := see.maybe(VersionOf("btrfs")):
        return Row(Health.OK, "btrfs-progs", version, "V502")
    health = Health.FAIL if subjects.schedulers else Health.WARN
    text = "not installed: nothing can be defragmented"
    return Row(health, "btrfs-progs", text, "V502", "install btrfs-progs")


def _findmnt(see: Snapshot) -> Row:
    if version := see.maybe(VersionOf("findmnt")):
        return Row(Health.OK, "util-linux", version, "V503")
    text = "no findmnt: a changed /etc/fstab would not be verified"
    return Row(Health.WARN, "util-linux", text, "V503", "install util-linux")


def _scheduler(subjects: Subjects, see: Snapshot) -> Row:
    runs = ["systemd"] if "systemd" in see(Schedulers()) else []
    runs += ["cron"] if see(CronDaemon()) else []
    asked = subjects.schedulers - {"auto", *runs}
    if asked:
        text = f"declared schedules name {', '.join(sorted(asked))}, which is not running"
        return Row(Health.FAIL, "scheduler", text, "V504", "start it, or write `scheduler: auto`")
    if runs:
        return Row(Health.OK, "scheduler", f"{' and '.join(runs)} running", "V504")
    health = Health.FAIL if subjects.schedulers else Health.WARN
    text = "neither systemd nor a cron daemon is running: no schedule would run"
    return Row(health, "scheduler", text, "V504", "start cron")


def _libvirt(subjects: Subjects, see: Snapshot) -> Iterator[Row]:
    pools: list[Pool] = []
    unread: list[str] = []
    for whose in (SYSTEM, SESSION):
        libvirt = see(LibvirtOf(whose))
        pools += [pool for pool in libvirt.pools if pool.path]
        unread += libvirt.unread
    nocow = {subject.state.where.path for subject in subjects.found if subject.is_nocow}
    rows = [row for pool in pools for row in _pool(pool, nocow, see)]
    yield from rows
    if unread:
        text = f"{unread[0]}" + (f", and {len(unread) - 1} more" if unread[1:] else "")
        yield Row(Health.UNSEEN, "libvirt", text, "V505", ASK_ROOT)
    elif not rows:
        text = f"{counted(len(pools), 'pool')}, none against nocow" if pools else "no pools"
        yield Row(Health.OK, "libvirt", text, "V505")


def _pool(pool: Pool, nocow: set[str], see: Snapshot) -> Iterator[Row]:
    where, host = see.maybe(Locate(pool.path)), see.maybe(FilesystemOf(pool.path))
    if not where or not host:
        return
    name = f"pool {pool.name}"
    if host.type != "btrfs" and pool.cow:
        text = f"<cow state='{pool.cow}'/>, but {pool.path} is on {host.type}: pool-build will fail"
        yield Row(Health.WARN, name, text, "V505", f"take it out: virsh pool-edit {pool.name}")
    elif pool.cow == "yes" and where.path in nocow:
        text = f"<cow state='yes'/>, but {pool.path} is nocow: its next pool-build undoes that"
        yield Row(Health.WARN, name, text, "V505", f"take it out: virsh pool-edit {pool.name}")
    elif host.type == "btrfs" and not pool.cow and where.path not in nocow:
        folder = see.maybe(Directory(where.path)) if where.kind == "directory" else None
        if folder and not folder.nocow:
            text = f"{pool.path} is copy-on-write: pool-build would make it nocow, and did not run"
            yield Row(Health.WARN, name, text, "V505", "declare the directory with `nocow: true`")
