"""What forbids or limits a change: a filesystem that is not whole, room, files with a lease."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.facts.diagnostics import COST, Finding, Note, Op, Refusal
from reconciler.facts.host import REFERENCED
from reconciler.facts.rights import hidden
from reconciler.formats.sizes import binary, counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from reconciler.facts.host import Condition, Filesystem, Limit
    from reconciler.facts.host_view import HostView
    from reconciler.facts.tree import Tree


REDUNDANT = frozenset({"dup", "raid1", "raid1c3", "raid1c4", "raid10", "raid5", "raid6"})
"""Profiles that keep data twice, or so that a lost device can be made up for."""


ZONED = "zoned Btrfs writes each block to a new place, so the kernel refuses nocow (EPERM)"


UNSAFE = frozenset({"V111", "V112", "V113"})
"""The codes of ``refusal``: a plan refuses with them, and doctor's check says the same."""


def refusal(of: Condition, profiles: tuple[str, ...]) -> Refusal | None:
    """Say why nothing may be made nocow or rewritten there; None where it may.

    ``profiles`` are those of the data block groups, () where they are not known.

    All that is made nocow, moved, rewritten or defragmented asks this: each kind but mount,
    engine.obstacles, init and doctor. During a run images.worklist asks anew; defrag.now asks
    before it begins. What holds for rewriting alone belongs in a function beside this one, asked
    in images.kind and images.worklist.
    """
    if of.failed:
        return Refusal(
            "the kernel made this filesystem read-only after an error",
            "`dmesg` says which error: mend that, then unmount the filesystem and mount it again",
            "V113",
        )
    if of.missing:
        are = "is" if of.missing == 1 else "are"
        return Refusal(
            f"{of.missing} of the {counted(of.devices, 'device')} of this filesystem {are} "
            f"missing, so {_NOTHING}: {_price(profiles)}",
            "put the device back or replace it (`btrfs replace`), mount the filesystem without "
            "`degraded`, then run `btrfs scrub start`",
            "V111",
        )
    if of.degraded:
        return Refusal(
            f"this filesystem is mounted with the option `degraded`, so {_NOTHING}: a device that "
            "was away may hold old data, and nocow data has no checksums that tell it from new",
            "run `btrfs scrub start`, then mount the filesystem without `degraded`",
            "V111",
        )
    if of.replacing:
        return Refusal(
            f"a device of this filesystem is being replaced, so {_NOTHING}: nocow data has no "
            "checksums that tell a wrong copy",
            "apply again when `btrfs replace status` says that it has finished",
            "V112",
        )
    return None


_NOTHING = "nothing is made nocow and no image is moved"


def _price(profiles: tuple[str, ...]) -> str:
    if profiles and not REDUNDANT.intersection(profiles):
        return "what lies there cannot be read"
    return (
        "what is written to nocow files now has no checksum, and when the device is back, its old "
        "copy is read as often as the new one"
    )


def errors(of: Condition) -> Iterator[Note]:
    """Say which errors the devices have made so far: what they return is what nocow rests on."""
    if of.errors:
        yield Note(f"errors counted on its devices: {'; '.join(of.errors)}", "V115", COST)


def deciding(filesystem: Filesystem) -> Limit | None:
    """The limit that leaves less room than the disk does; None where the disk decides."""
    limit = filesystem.quota.tightest
    return limit if limit and limit.left < filesystem.free else None


def free(filesystem: Filesystem) -> int:
    """Bytes that can be written: what the disk has free, or what a limit leaves of that."""
    limit = deciding(filesystem)
    return limit.left if limit else filesystem.free


def have(filesystem: Filesystem) -> str:
    """``212.0 GiB are free``, or what a quota leaves of that, and which one."""
    limit = deciding(filesystem)
    return f"{binary(free(filesystem))} are free" + (f" ({limit.words})" if limit else "")


def remedy(filesystem: Filesystem, otherwise: str) -> str:
    """What makes room: raising the limit where a quota decides."""
    limit = deciding(filesystem)
    if limit is None:
        return otherwise
    option = "" if limit.sort == REFERENCED else "-e "
    return (
        f"raise the limit (`btrfs qgroup limit {option}SIZE {limit.qgroup} PATH`), or remove data "
        "that counts towards it"
    )


def notes(filesystem: Filesystem, host: HostView) -> Iterator[Note]:
    """Say what of the quotas could not be seen, or is not right."""
    if filesystem.quota.unseen:
        yield Note(hidden("see whether limits of qgroups count here", host, "checks"), "V116")
    if filesystem.quota.is_counting:
        text = "the figures of qgroups are not right now; `btrfs quota rescan` counts again"
        yield Note(text, "V116")


LEASED = "V720"


def leased_findings(tree: Tree, name: str) -> Mapping[str, Finding]:
    """A row for each such file below the directory of that name, by its relative path."""
    return {
        each.path: Finding(Op.UNKNOWN, f"{name}/{each.path}", each.who, code="V720")
        for each in tree.busy
    }
