"""Room for new data: what the disk has, and what quotas of the subvolume still allow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.core.model import Note
from reconciler.core.sizes import binary
from reconciler.value import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.core.facts import Filesystem

REFERENCED, EXCLUSIVE = "referenced", "exclusive"
"""What a limit counts: all data of the subvolume, or only what it shares with no other one."""


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit of a quota group, in bytes; ``sort`` is REFERENCED or EXCLUSIVE."""

    qgroup: str
    """As btrfs-qgroup(8) writes it: "0/256"."""
    sort: str
    most: int
    used: int

    @property
    def left(self) -> int:
        return max(0, self.most - self.used)

    @property
    def words(self) -> str:
        """``qgroup 0/256 is limited to 200.0 MiB (referenced), of which 180.0 MiB are used``."""
        return (
            f"qgroup {self.qgroup} is limited to {binary(self.most)} ({self.sort}), of which "
            f"{binary(self.used)} are used"
        )


@dataclass(frozen=True, slots=True)
class Quota:
    """The limits that count for what is written in a subvolume, the tightest first.

    ``own`` is the subvolume's own qgroup. ``simple``: quotas count what a subvolume has
    allocated (simple quotas), and a new subvolume gets the parent qgroups of the one around it.
    ``unseen``: there are limits of which only root can see whether they count here.
    ``is_counting``: the kernel says that its figures are not right now (a rescan is due).
    """

    limits: tuple[Limit, ...] = ()
    simple: bool = False
    unseen: bool = False
    is_counting: bool = False

    @property
    def tightest(self) -> Limit | None:
        return min(self.limits, key=lambda limit: limit.left, default=None)


def deciding(host: Filesystem) -> Limit | None:
    """The limit that leaves less room than the disk does; None where the disk decides."""
    limit = host.quota.tightest
    return limit if limit and limit.left < host.free else None


def free(host: Filesystem) -> int:
    """Bytes that can be written: what the disk has free, or what a limit leaves of that."""
    limit = deciding(host)
    return limit.left if limit else host.free


def have(host: Filesystem) -> str:
    """``212.0 GiB are``, or what a quota leaves and which one: to stand behind "must be free, "."""
    limit = deciding(host)
    return f"{binary(free(host))} are" + (f" ({limit.words})" if limit else "")


def remedy(host: Filesystem, otherwise: str) -> str:
    """What makes room: raising the limit where a quota decides."""
    limit = deciding(host)
    if limit is None:
        return otherwise
    option = "" if limit.sort == REFERENCED else "-e "
    return (
        f"raise the limit (`btrfs qgroup limit {option}SIZE {limit.qgroup} PATH`), or remove data "
        "that counts towards it"
    )


def notes(host: Filesystem) -> Iterator[Note]:
    """Say what of the quotas could not be seen, or is not right."""
    if host.quota.unseen:
        yield Note("which limits of qgroups count here only root can see; apply looks", "V116")
    if host.quota.is_counting:
        text = "the figures of qgroups are not right now; `btrfs quota rescan` counts anew"
        yield Note(text, "V116")
