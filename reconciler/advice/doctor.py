"""All that ``vmtune doctor`` looks at, in the order in which it matters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.advice import check_fstab, check_host, check_images
from reconciler.advice.filesystems import filesystems
from reconciler.core.advice import ASK_ROOT
from reconciler.core.discovery import WhoAsks
from reconciler.value import replace

if TYPE_CHECKING:
    from reconciler.advice.subjects import Subjects
    from reconciler.core.advice import Row
    from reconciler.core.snapshot import Snapshot


def examine(subjects: Subjects, see: Snapshot) -> tuple[Row, ...]:
    """The host, then /etc/fstab, then the images."""
    found = filesystems(see)
    rows = (
        *check_host.check(subjects, see),
        *check_fstab.check(found, see),
        *check_images.check(subjects, found, see),
    )
    if not see(WhoAsks()).is_root:
        return rows
    return tuple(replace(row, remedy="") if row.remedy == ASK_ROOT else row for row in rows)
