"""What limits a change: room, quotas, zoned Btrfs, files with a lease."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.facts.diagnostics import Finding, Note, Op, hidden
from reconciler.facts.host import REFERENCED
from reconciler.formats.sizes import binary

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from reconciler.facts.host import Filesystem, Limit
    from reconciler.facts.host_view import HostView
    from reconciler.facts.tree import Tree


ZONED = "zoned Btrfs writes each block to a new place, so the kernel refuses nocow (EPERM)"


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
