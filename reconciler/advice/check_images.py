"""Do images get what nocow promises, and is there room for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.core import room, wholeness
from reconciler.core.advice import ASK_ROOT, Health, Row
from reconciler.core.discovery import SpaceOn
from reconciler.core.sizes import binary, counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from reconciler.advice.filesystems import Btrfs
    from reconciler.advice.subjects import Subject, Subjects
    from reconciler.core.snapshot import Snapshot

_TIGHT, _FULL = 0.10, 0.01
"""Parts of the filesystem that are free: guests pause when a write finds no room."""


def check(subjects: Subjects, found: Sequence[Btrfs], see: Snapshot) -> Iterator[Row]:
    """Rows for what is wrong, and one for each check that found nothing."""
    for name, told in subjects.stubs:
        yield Row(Health.FAIL, name, told.text, "V519", told.hint)
    if not subjects.found and not subjects.unseen and not subjects.stubs:
        yield Row(Health.OK, "images", "no directory of images on Btrfs", "V506")
        return
    for text in subjects.unseen:
        yield Row(Health.UNSEEN, "images", text, "V506", ASK_ROOT)
    nocow = [subject for subject in subjects.found if subject.is_nocow]
    yield from _raid(nocow)
    yield from _snapshots(nocow)
    yield from _lost(nocow)
    for filesystem in found:
        of = [s for s in subjects.found if s.state.host.uuid == filesystem.uuid]
        if of:
            yield from _filesystem(filesystem, of, see)


def _raid(nocow: Sequence[Subject]) -> Iterator[Row]:
    rows = [
        Row(
            Health.WARN,
            subject.name,
            f"nocow on {subject.state.redundant}: errors on one copy are not healed",
            "V506",
            "give up nocow there, or accept it: `allow: [raid]`",
        )
        for subject in nocow
        if subject.state.redundant and "raid" not in subject.allow
    ]
    kept = next((subject.state.redundant for subject in nocow if subject.state.redundant), "")
    text = f"{kept} under nocow, as accepted" if kept else "no nocow where data is kept twice"
    yield from rows or [Row(Health.OK, "data profile", text, "V506")]


def _snapshots(nocow: Sequence[Subject]) -> Iterator[Row]:
    rows = [
        Row(
            Health.WARN,
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
        text = f"whether there are any of {', '.join(hidden)}"
        rows.append(Row(Health.UNSEEN, "snapshots", text, "V507", ASK_ROOT))
    taken = any(subject.state.snapshots for subject in nocow)
    text = "of nocow images, as accepted" if taken else "of no nocow images"
    yield from rows or [Row(Health.OK, "snapshots", text, "V507")]


_ANEW = {
    "": "`vmtune plan` names them; `existing: rewrite` writes them anew",
    "rewrite": "`vmtune apply` writes them anew; it names those that are in use",
}
"""The remedy, by what is declared about such files."""


def _lost(nocow: Sequence[Subject]) -> Iterator[Row]:
    """A file keeps what it was made with: a backup that is restored brings copy-on-write back."""
    rows = []
    for subject in nocow:
        tree = subject.state.tree
        if subject.state.is_nocow and tree and tree.cow.count:
            files = counted(tree.cow.count, "file with data is", "files with data are")
            rows.append(
                Row(
                    Health.WARN,
                    subject.name,
                    f"{files} copy-on-write in a nocow directory: older than it, or restored",
                    "V514",
                    _ANEW.get(subject.existing, _ANEW[""]),
                )
            )
        elif subject.state.where.kind == "directory" and (tree is None or tree.unseen.count):
            text = "not all of its files are readable"
            rows.append(Row(Health.UNSEEN, subject.name, text, "V514", ASK_ROOT))
    yield from rows or [Row(Health.OK, "files", "none that lost nocow", "V514")]


def _filesystem(of: Btrfs, subjects: Sequence[Subject], see: Snapshot) -> Iterator[Row]:
    name = f"Btrfs {of.uuid[:8]}"
    yield from _room(of, name, see)
    yield from _whole(of, name)
    yield from _quotas(subjects)
    cow = [subject.name for subject in subjects if not subject.is_nocow]
    if of.compress.startswith("compress-force") and cow:
        text = f"{of.compress} compresses {', '.join(cow)}, whatever `compression:` says"
        remedy = "plain compress=, or `nocow: true` there"
        yield Row(Health.WARN, name, text, "V512", remedy)
    if of.has_autodefrag:
        text = "autodefrag rewrites data around every small write, which images are full of"
        remedy = "declare `autodefrag: false` for its mount point"
        yield Row(Health.WARN, name, text, "V513", remedy)


def _whole(of: Btrfs, name: str) -> Iterator[Row]:
    """Its devices: whether all are there, and whether they made errors."""
    found = of.host.condition
    if unsafe := wholeness.refusal(found, of.host.profiles):
        yield Row(Health.FAIL, name, unsafe.text, "V516", unsafe.hint)
    if found.errors:
        remedy = (
            "`btrfs scrub start` looks for damage, `dmesg` names it; when the cause is mended, "
            "`btrfs device stats --reset` sets the counters to zero"
        )
        text = f"errors counted on its devices: {'; '.join(found.errors)}"
        yield Row(Health.WARN, name, text, "V517", remedy)
    if not unsafe and not found.errors:
        are = "is there" if found.devices == 1 else "are there"
        text = f"{counted(found.devices, 'device')} {are}, no errors counted"
        yield Row(Health.OK, name, text, "V516")


def _quotas(subjects: Sequence[Subject]) -> Iterator[Row]:
    """Directories where a quota leaves less room than the disk has."""
    for subject in subjects:
        host = subject.state.host
        limit = room.deciding(host)
        if host.quota.unseen:
            text = "quotas are on: which limits count for it"
            yield Row(Health.UNSEEN, subject.name, text, "V518", ASK_ROOT)
        if not limit:
            continue
        part = limit.left / limit.most if limit.most else 0
        health = Health.FAIL if part < _FULL else Health.WARN if part < _TIGHT else Health.OK
        remedy = "" if health is Health.OK else room.remedy(host, "")
        yield Row(health, subject.name, limit.words, "V518", remedy)


def _room(of: Btrfs, name: str, see: Snapshot) -> Iterator[Row]:
    space = see.maybe(SpaceOn(of.mounts[0].target))
    if not space or not space.total:
        yield Row(Health.UNSEEN, name, "its free space is not visible", "V508", ASK_ROOT)
        return
    part = space.free / space.total
    health = Health.FAIL if part < _FULL else Health.WARN if part < _TIGHT else Health.OK
    text = f"{binary(space.free)} of {binary(space.total)} free"
    remedy = "" if health is Health.OK else "make room: a guest whose write finds none is paused"
    yield Row(health, name, text, "V508", remedy)
