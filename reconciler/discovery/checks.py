"""What ``vmtune doctor`` checks: the host's programs, /etc/fstab, all images and filesystems.

What a plan refuses is not checked here: ``discovery.doctor`` adds each refused row by itself. Here
is what no plan refuses: notes, and what is not declared. What may happen to one directory is
checked by ``check_paths`` of doctor.py, the next boot by ``check_boot``.
"""

from __future__ import annotations

import re
from shlex import quote
from typing import TYPE_CHECKING

from reconciler.discovery.facts import (
    SESSION,
    SYSTEM,
    LibvirtOf,
    RunningKernel,
    SpaceOn,
    VersionOf,
)
from reconciler.engine.directory import Directory
from reconciler.facts import (
    booted,
    condition,
    diagnostics,
    fstab_line,
    limits,
    mountable,
)
from reconciler.facts.discovered import ASK_ROOT, Health, Row
from reconciler.facts.host import (
    CronDaemon,
    FilesystemOf,
    FstabFaults,
    FstabLines,
    KernelTakes,
    Locate,
    Schedulers,
    SelinuxEnforces,
)
from reconciler.facts.host_view import NotVisible
from reconciler.facts.images import NotStarted
from reconciler.formats import datamode, options
from reconciler.formats.sizes import binary, counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from reconciler.discovery.filesystems import Btrfs
    from reconciler.discovery.subjects import Subject, Subjects
    from reconciler.facts.host_view import HostView
    from reconciler.formats.fstab import Line
    from reconciler.formats.libvirtxml import Pool


def check_host(subjects: Subjects, host: HostView) -> Iterator[Row]:
    """One row for each thing; several for pools."""
    yield _kernel(host)
    yield _progs(subjects, host)
    yield _findmnt(host)
    yield _scheduler(subjects, host)
    yield from _policy(subjects, host)
    yield from _libvirt(subjects, host)
    yield from _saved_machines(host)


def _saved_machines(host: HostView) -> Iterator[Row]:
    """Yield a row for each machine that stands still because a run was ended in the middle."""
    try:
        saved = host(NotStarted())
    except NotVisible as hidden:
        text = f"whether a run left a machine off cannot be told: {hidden.why}"
        yield Row(Health.WARN, "machines", text, "V539", "`vmtune explain V539` says more")
        return
    for each in saved:
        remedy = f"`vmtune apply`, or {each.command(quote(each.name))}"
        yield Row(Health.FAIL, f"machine {each.name}", each.told, "V539", remedy)


def _kernel(host: HostView) -> Row:
    kernel = host(RunningKernel())
    if not kernel.btrfs:
        none = f"{kernel.release} has loaded no Btrfs, so none is mounted: nothing to tune here"
        return Row(Health.WARN, "kernel", none, "V501", "modprobe btrfs, if there should be")
    numbers = [int(number) for number in re.findall(r"\d+", kernel.release)[:2]]
    asked = "can be asked about mount options"
    tried = "tells only when it mounts: options are tried on the live mount"
    # Since 6.8 Btrfs parses mount options with the new mount API, which can be asked.
    text = f"{kernel.release}, {asked if numbers >= [6, 8] else tried}"
    return Row(Health.OK, "kernel", text, "V501")


def _progs(subjects: Subjects, host: HostView) -> Row:
    if version := host.maybe(VersionOf("btrfs")):
        return Row(Health.OK, "btrfs-progs", version, "V502")
    health = Health.FAIL if subjects.schedulers else Health.WARN
    text = "not installed: vmtune sets up no schedule without it"
    return Row(health, "btrfs-progs", text, "V502", "install btrfs-progs")


def _findmnt(host: HostView) -> Row:
    if version := host.maybe(VersionOf("findmnt")):
        try:
            host(FstabFaults())
        except NotVisible as hidden:
            text = f"{version}; /etc/fstab is not verified: {hidden.why}"
            remedy = "a line that is no entry ends findmnt 2.41: comment it out, then try again"
            return Row(Health.WARN, "util-linux", text, "V503", remedy)
        return Row(Health.OK, "util-linux", version, "V503")
    text = "no findmnt: a changed /etc/fstab would not be verified"
    return Row(Health.WARN, "util-linux", text, "V503", "install util-linux")


def _scheduler(subjects: Subjects, host: HostView) -> Row:
    runs = ["systemd"] if "systemd" in host(Schedulers()) else []
    runs += ["cron"] if host(CronDaemon()) else []
    asked = subjects.schedulers - {"auto", *runs}
    if asked:
        text = f"declared schedules name {', '.join(sorted(asked))}, which is not running"
        return Row(Health.FAIL, "scheduler", text, "V504", "start it, or write `scheduler: auto`")
    if runs:
        return Row(Health.OK, "scheduler", f"{' and '.join(runs)} running", "V504")
    health = Health.FAIL if subjects.schedulers else Health.WARN
    text = "neither systemd nor a cron daemon is running: no schedule would run"
    return Row(health, "scheduler", text, "V504", "start cron")


def _policy(subjects: Subjects, host: HostView) -> Iterator[Row]:
    """Say of schedules that cron is to run whether a policy may deny it."""
    has_systemd = "systemd" in host(Schedulers())
    by_cron = {"cron"} if has_systemd else {"auto", "cron"}
    if not by_cron.isdisjoint(subjects.schedulers) and host(SelinuxEnforces()):
        remedy = "write `scheduler: systemd`" if has_systemd else ""
        yield Row(Health.WARN, "scheduler", diagnostics.CRONS_JOBS, "V540", remedy)


def _libvirt(subjects: Subjects, host: HostView) -> Iterator[Row]:
    pools: list[Pool] = []
    unread: list[str] = []
    for whose in (SYSTEM, SESSION):
        libvirt = host(LibvirtOf(whose))
        pools += [pool for pool in libvirt.pools if pool.path]
        unread += libvirt.unread
    nocow = {subject.state.where.path for subject in subjects.found if subject.is_nocow}
    rows = [row for pool in pools for row in _pool(pool, nocow, host)]
    yield from rows
    if unread:
        text = unread[0] + (f", and {len(unread) - 1} more" if unread[1:] else "")
        yield Row(Health.UNSEEN, "libvirt", text, "V505", ASK_ROOT)
    elif not rows:
        text = f"{counted(len(pools), 'pool')}, none against nocow" if pools else "no pools"
        yield Row(Health.OK, "libvirt", text, "V505")


def _pool(pool: Pool, nocow: set[str], host: HostView) -> Iterator[Row]:
    where, filesystem = host.maybe(Locate(pool.path)), host.maybe(FilesystemOf(pool.path))
    if not where or not filesystem:
        return
    name = f"pool {pool.name}"
    remedy = f"take it out: virsh pool-edit {quote(pool.name)}"
    if filesystem.type != "btrfs" and pool.cow:
        is_on = f"but {pool.path} is on {filesystem.type}: pool-build will fail"
        yield Row(Health.WARN, name, f"<cow state='{pool.cow}'/>, {is_on}", "V505", remedy)
    elif pool.cow == "yes" and where.path in nocow:
        text = f"<cow state='yes'/>, but {pool.path} is nocow: its next pool-build undoes that"
        yield Row(Health.WARN, name, text, "V505", remedy)
    elif filesystem.type == "btrfs" and not pool.cow and where.path not in nocow:
        folder = host.maybe(Directory(where.path)) if where.kind == "directory" else None
        if folder and not folder.nocow:
            text = f"{pool.path} is copy-on-write: pool-build would make it nocow, and did not run"
            yield Row(Health.WARN, name, text, "V505", "declare the directory with `nocow: true`")


_OF_THE_LINE = frozenset({"subvol", "subvolid", "device"})
"""Options that say what to mount, not how."""


def check_fstab(found: Sequence[Btrfs], host: HostView) -> Iterator[Row]:
    """Rows for what is wrong; one row where nothing is."""
    try:
        entries = host(FstabLines())
    except NotVisible as hidden:
        health, remedy = Health.UNSEEN, ASK_ROOT
        if hidden.for_all:
            health, remedy = Health.FAIL, "it must be a file that can be read"
        yield Row(health, "/etc/fstab", hidden.why, "V509", remedy)
        return
    mounted = {line.number for filesystem in found for line in filesystem.lines}
    # Those of type auto, too, whose filesystem is known to be Btrfs.
    lines = [line for line in entries if line.fstype == "btrfs" or line.number in mounted]
    bad = [*_sound(lines, found, host), *_mounting(lines, found, host)]
    is_verified = host.maybe(FstabFaults()) is not None  # check_host says why not
    yield from bad or [_count(lines, found)] * is_verified
    if any(row.health is Health.FAIL for row in bad):
        yield from _untried(lines, found)
    for filesystem in found:
        yield from _plain(filesystem)
    yield from _idle(lines)
    yield from _taken([line for line in lines if not line.problem], host)


def _count(lines: Sequence[Line], found: Sequence[Btrfs]) -> Row:
    """How many lines are sound; one whose filesystem is not known to be here was not tried."""
    away = _away(lines, found)
    if away and away == len(lines):
        return next(_untried(lines, found))
    count = counted(len(lines) - away, "sound line") if lines else "no line"
    also = f"; {away} more not tried: not known to be mounted here" if away else ""
    return Row(Health.OK, "/etc/fstab", f"{count} for Btrfs{also}", "V509")


def _untried(lines: Sequence[Line], found: Sequence[Btrfs]) -> Iterator[Row]:
    if away := _away(lines, found):
        text = f"{counted(away, 'line')} for Btrfs not tried: not known to be mounted here"
        yield Row(Health.UNSEEN, "/etc/fstab", text, "V509")


def _away(lines: Sequence[Line], found: Sequence[Btrfs]) -> int:
    """Count the lines whose filesystem is not mounted here, or that name it in an unknown way."""
    known = {line.number for filesystem in found for line in filesystem.lines}
    return sum(line.number not in known and not line.problem for line in lines)


def _mounting(lines: Sequence[Line], found: Sequence[Btrfs], host: HostView) -> Iterator[Row]:
    """Lines that cannot mount, or would mount another subvolume than the one that is there."""
    of = {line.number: filesystem for filesystem in found for line in filesystem.lines}
    for line in lines:
        if line.problem or fstab_line.binds(line):
            continue
        subject, filesystem = f"/etc/fstab:{line.number}", of.get(line.number)
        try:
            named = mountable.of_line(line, filesystem.mounts if filesystem else (), host)
        except NotVisible as hidden:
            if filesystem:
                text = f"whether it can mount is not known: {hidden.why}"
                remedy = "" if hidden.for_all else ASK_ROOT
                yield Row(Health.UNSEEN, subject, text, "V521", remedy)
            continue
        if isinstance(named, mountable.Fault):
            text = f"the next mount by it fails: {named.text}"
            yield Row(Health.FAIL, subject, text, "V521", named.remedy)
            continue
        there = mountable.mounted_by(line, host) if filesystem else None
        if line.target == "/" and booted.in_place_of_the_system(host)[0]:
            continue  # check_boot says that a snapshot was booted
        if there and there.identifier != named.identifier:
            text = f"it mounts {named.words}, but {there.words} is mounted at {line.target}"
            remedy = "mount what the line says, or mend the line"
            health = Health.WARN if line.target == "/" else Health.FAIL
            yield Row(health, subject, text, "V521", remedy)


def _plain(of: Btrfs) -> Iterator[Row]:
    """A filesystem mounted nodatacow or nodatasum: all that is made on it has no checksums."""
    if not of.plain:
        return
    how = "is written in place, " if of.plain == "nodatacow" else ""
    text = f"mounted {of.plain}: each file made on it {how}has no checksums, and stays so"
    if of.host.redundant:
        kept = of.host.redundant
        text += f"; data is kept as {kept}, and nothing tells the good copy from a bad one"
    words = {"nodatacow", "nodatasum"}
    lines = [
        f"/etc/fstab:{line.number}"
        for line in of.lines
        if not line.problem and options.value(line.options, words) is not None
    ]
    remedy = f"take {of.plain} out of {' and '.join(lines)}; " if lines else ""
    remedy += "`nocow: true` does the same for one directory"
    yield Row(Health.WARN, f"Btrfs {of.uuid[:8]}", text, "V520", remedy)


def _idle(lines: Sequence[Line]) -> Iterator[Row]:
    """Words of compress, nodatacow and nodatasum that a later one of them ends."""
    for line in lines:
        for word, by in () if line.problem else datamode.idle(line.options):
            text = f"{word} has no effect: {by} behind it ends it"
            subject = f"/etc/fstab:{line.number}"
            yield Row(Health.WARN, subject, text, "V524", "leave one of the two")


def _sound(lines: Sequence[Line], found: Sequence[Btrfs], host: HostView) -> list[Row]:
    rows = [
        Row(Health.FAIL, f"/etc/fstab:{line.number}", line.problem, "V509", "mend that line")
        for line in lines
        if line.problem
    ]
    targets = {line.target for line in lines}
    places = {fstab_line.leads_to(line, host) for line in lines}
    among = [line for line in host(FstabLines()) if fstab_line.leads_to(line, host) in places]
    first = [fstab_line.leads_to(line, host) for line in among]
    rows += [
        Row(Health.WARN, f"/etc/fstab:{line.number}", text, "V509", "keep one of them")
        for at, line in enumerate(among)
        if first.index(place := first[at]) != at
        if (text := f"a second line for {place}: systemd uses the first, `mount -a` tries both")
    ]
    mounted = {line.target for filesystem in found for line in filesystem.lines}
    return rows + [
        Row(Health.WARN, f"fstab {fault.target}", fault.text, "V509", "see findmnt --verify")
        for fault in host.maybe(FstabFaults()) or ()
        # Without udev findmnt does not find the source of a filesystem that is mounted.
        if fault.target in targets and not ("source" in fault.text and fault.target in mounted)
    ]


def _taken(lines: Sequence[Line], host: HostView) -> Iterator[Row]:
    """A word that the kernel refuses boots to a read-only root, or to an emergency shell."""
    refused, untold = False, ""
    for line in lines:
        asked = tuple(
            token
            for token in options.for_filesystem(line.options)
            if options.name(token) not in _OF_THE_LINE
        )
        try:
            verdict = host(KernelTakes(asked)) if asked else None
        except NotVisible as hidden:
            yield Row(Health.UNSEEN, "mount options", hidden.why, "V515", ASK_ROOT)
            return
        if verdict and verdict.takes is None:
            untold = verdict.text
        elif verdict and not verdict.takes:
            refused, is_root = True, line.target == "/"
            then = "it boots to a read-only root" if is_root else "the mount fails at boot"
            subject, remedy = f"/etc/fstab:{line.number}", "mend that line before the next boot"
            yield Row(Health.FAIL, subject, f"{verdict.text}: {then}", "V515", remedy)
    if untold:
        yield Row(Health.UNSEEN, "mount options", untold, "V515")
    elif lines and not refused:
        yield Row(Health.OK, "mount options", "the kernel takes all those in /etc/fstab", "V515")


_TIGHT, _FULL = 0.10, 0.01
"""Parts of the filesystem that are free: guests pause when a write finds no room."""


def check_images(subjects: Subjects, found: Sequence[Btrfs], host: HostView) -> Iterator[Row]:
    """Rows for what is wrong, and one for each check that found nothing."""
    for name, told in subjects.stubs:
        yield Row(Health.FAIL, name, told.text, "V519", told.hint)
    if not subjects.found and not subjects.unseen and not subjects.stubs:
        yield Row(Health.OK, "images", "no directory of images on Btrfs", "V506")
        return
    for text in subjects.unseen:
        yield Row(Health.UNSEEN, "images", text, "V506", ASK_ROOT)
    nocow = [subject for subject in subjects.found if subject.is_nocow]
    yield from _raid(nocow, found)
    yield from _snapshots(nocow, host)
    yield from _lost(nocow)
    for filesystem in found:
        of = [s for s in subjects.found if s.state.host.uuid == filesystem.uuid]
        if of:
            yield from _filesystem(filesystem, of, host)


def _raid(nocow: Sequence[Subject], found: Sequence[Btrfs]) -> Iterator[Row]:
    """Nocow directories where data is kept twice; V520 speaks of a filesystem mounted so."""
    rows = [
        Row(
            Health.FAIL if subject.declared else Health.WARN,
            subject.name,
            f"nocow on {subject.state.host.redundant}: errors on one copy are not healed",
            "V506",
            "give up nocow there, or accept it: `allow: [raid]`",
        )
        for subject in nocow
        if subject.state.host.redundant and "raid" not in subject.allow
    ]
    kept = [subject.state.host.redundant for subject in nocow if subject.state.host.redundant]
    text = "no nocow directory where data is kept twice"
    if kept:
        text = f"{kept[0]} under nocow, as accepted"
    is_plain = any(of.plain and of.host.redundant for of in found)
    yield from rows or [Row(Health.OK, "data profile", text, "V506")] * (not is_plain)


def _snapshots(nocow: Sequence[Subject], host: HostView) -> Iterator[Row]:
    rows = [
        Row(
            Health.FAIL if subject.declared and not subject.becomes else Health.WARN,
            subject.name,
            f"{'; '.join(subject.state.snapshots)}: its images fragment all the same",
            "V507",
            "leave that subvolume out of the snapshots"
            if subject.state.is_subvolume
            else "`subvolume: true` keeps images out of them",
        )
        for subject in nocow
        if subject.state.snapshots and "snapshots" not in subject.allow
    ]
    hidden = [subject.name for subject in nocow if subject.state.snapshots is None]
    if hidden:
        text = _unseen(f"whether there are any of {', '.join(hidden)}", host)
        rows.append(Row(Health.UNSEEN, "snapshots", text, "V507", ASK_ROOT))
    taken = any(subject.state.snapshots for subject in nocow)
    text = "of nocow images, as accepted" if taken else "none of them holds nocow images"
    yield from rows or [Row(Health.OK, "snapshots", text, "V507")]


def _unseen(whether: str, host: HostView) -> str:
    """Return the row's text: beside it stands that root sees it, which root is not told."""
    as_root = host(diagnostics.AsRoot())
    return diagnostics.hidden(f"see {whether}", host) if as_root else f"not known {whether}"


def _lost(nocow: Sequence[Subject]) -> Iterator[Row]:
    """A file keeps what it was made with: a backup that is restored brings copy-on-write back."""
    rows = []
    for subject in nocow:
        tree = subject.state.tree
        if subject.state.is_nocow and tree and tree.cow.count:
            files = counted(tree.cow.count, "file with data is", "files with data are")
            cow = f"{files} copy-on-write in a nocow directory: older than it, or restored"
            remedy = "`vmtune plan` names them; `existing: rewrite` rewrites them"
            if subject.existing == "rewrite":
                remedy = (
                    "`vmtune plan` says which of them `vmtune apply` rewrites, and why the others "
                    "stay"
                )
            rows.append(Row(Health.WARN, subject.name, cow, "V514", remedy))
        elif subject.state.where.kind == "directory" and (tree is None or tree.unseen.count):
            text = "not all of its files are readable"
            rows.append(Row(Health.UNSEEN, subject.name, text, "V514", ASK_ROOT))
    yield from rows or [Row(Health.OK, "files", "no file has lost nocow", "V514")]


def _filesystem(of: Btrfs, subjects: Sequence[Subject], host: HostView) -> Iterator[Row]:
    name = f"Btrfs {of.uuid[:8]}"
    yield from _room(of, name, host)
    yield from _whole(of, name)
    yield from _quotas(subjects, host)
    cow = [subject.name for subject in subjects if not subject.is_nocow]
    if of.compress.startswith("compress-force") and cow:
        text = f"{of.compress} compresses {', '.join(cow)}, whatever `compression:` says"
        remedy = "plain compress=, or `nocow: true` there"
        yield Row(Health.WARN, name, text, "V512", remedy)
    for option in of.mounts[0].super_options.split(","):
        text, remedy = options.price(option)
        if not text:
            continue
        if options.name(option) == "autodefrag":
            yield Row(Health.WARN, name, text, "V513", remedy)
        elif options.name(option) == "discard":
            yield Row(Health.WARN, name, text, "V522", remedy)
        else:
            yield Row(Health.WARN, name, text, "V523", remedy)


def _whole(of: Btrfs, name: str) -> Iterator[Row]:
    """Its devices: whether all are there, and whether they made errors."""
    found = of.host.condition
    if unsafe := condition.refusal(found, of.host.profiles):
        yield Row(Health.FAIL, name, unsafe.text, "V516", unsafe.hint)
    if found.errors:
        at = quote(of.mounts[0].target)
        remedy = (
            f"`btrfs scrub start {at}` looks for damage, `dmesg` names it; when the cause is "
            f"mended, `btrfs device stats --reset {at}` sets the counters to zero"
        )
        text = f"errors counted on its devices: {'; '.join(found.errors)}"
        yield Row(Health.WARN, name, text, "V517", remedy)
    if not unsafe and not found.errors:
        are = "is there" if found.devices == 1 else "are there"
        text = f"{counted(found.devices, 'device')} {are}, no errors counted"
        yield Row(Health.OK, name, text, "V516")


def _quotas(subjects: Sequence[Subject], host: HostView) -> Iterator[Row]:
    """Directories where a quota leaves less room than the disk has."""
    for subject in subjects:
        filesystem = subject.state.host
        limit = limits.deciding(filesystem)
        if filesystem.quota.unseen:
            text = _unseen("whether limits of qgroups count for it", host)
            yield Row(Health.UNSEEN, subject.name, text, "V518", ASK_ROOT)
        if not limit:
            continue
        part = limit.left / limit.most if limit.most else 0
        health = Health.FAIL if part < _FULL else Health.WARN if part < _TIGHT else Health.OK
        remedy = "" if health is Health.OK else limits.remedy(filesystem, "")
        yield Row(health, subject.name, limit.words, "V518", remedy)


def _room(of: Btrfs, name: str, host: HostView) -> Iterator[Row]:
    space = host.maybe(SpaceOn(of.mounts[0].target))
    if not space or not space.total:
        yield Row(Health.UNSEEN, name, "its free space is not visible", "V508", ASK_ROOT)
        return
    part = space.free / space.total
    health = Health.FAIL if part < _FULL else Health.WARN if part < _TIGHT else Health.OK
    text = f"{binary(space.free)} of {binary(space.total)} free"
    remedy = "" if health is Health.OK else "make room: a guest whose write finds none is paused"
    yield Row(health, name, text, "V508", remedy)
