"""Do directories of images have the SELinux labels that the policy has for them."""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING

from reconciler.discovery.facts import LabelOf
from reconciler.facts.advice import Health, Row

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.discovery.subjects import Subjects
    from reconciler.facts.host_view import HostView


def check(subjects: Subjects, host: HostView) -> Iterator[Row]:
    """Yield a row for each directory of another type than the policy's; none without SELinux."""
    for subject in subjects.found:
        where = subject.state.where
        label = host.maybe(LabelOf(where.path)) if where.kind == "directory" else None
        if label and label.differs:
            yield Row(
                Health.WARN,
                subject.name,
                f"its SELinux label is {label.have or 'missing'}, the policy has {label.want}: "
                "what is made in it gets the wrong one, too",
                "V538",
                f"restorecon -R -v {quote(where.path)}",
            )
