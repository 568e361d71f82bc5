"""All that ``vmtune doctor`` looks at, in the order in which it matters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.discovery import check_boot, check_jobs, check_labels, check_rollback, checks
from reconciler.discovery.facts import WhoAsks
from reconciler.discovery.filesystems import filesystems
from reconciler.facts.advice import ASK_ROOT
from reconciler.value import replace

if TYPE_CHECKING:
    from reconciler.discovery.subjects import Subjects
    from reconciler.facts.advice import Row
    from reconciler.facts.host_view import HostView


def examine(subjects: Subjects, host: HostView) -> tuple[Row, ...]:
    """The host, then /etc/fstab, then the images and who else works on them."""
    found = filesystems(host)
    rows = (
        *checks.check_host(subjects, host),
        *checks.check_fstab(found, host),
        *check_boot.check_boot(subjects, found, host),
        *checks.check_images(subjects, found, host),
        *check_rollback.check(subjects, host),
        *check_labels.check(subjects, host),
        *check_jobs.check(subjects, host),
    )
    if not host(WhoAsks()).is_root:
        return rows
    return tuple(replace(row, remedy="") if row.remedy == ASK_ROOT else row for row in rows)
