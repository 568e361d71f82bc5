"""What is said of one entry beside its values: notes, refusals, and who is shown what.

SELinux, a user namespace, a container without CAP_SYS_ADMIN and seccomp deny root as well. Nobody
who is root is told that only root sees something, or to become root.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from reconciler.facts.host_view import Fact
from reconciler.value import Value

if TYPE_CHECKING:
    from reconciler.facts.host_view import HostView


class Op(StrEnum):
    """What a row of the plan says; the value is the printed symbol."""

    ADD = "+"
    CHANGE = "~"
    REMOVE = "-"
    BLOCKED = "!"
    UNKNOWN = "?"
    WAITS = "R"
    """Done, as far as it can be: the rest takes effect when the filesystem is mounted afresh."""
    SAME = "="


ALSO, COST, WHY, DO = "also", "cost", "why", "do"
"""What stands before a line below a row: a remark, a price, a reason, something to do."""

LABELS = frozenset({ALSO, COST, WHY, DO})


class Note(Value):
    """A line under the resource: advice, a price, a reason. Never a verdict.

    ``label`` is ALSO, COST, WHY or DO. ``is_of_host``: it says nothing of the entry itself, so a
    plan prints it once, however many entries say it.
    """

    text: str
    code: str = ""
    label: str = ALSO
    is_of_host: bool = False


class Summary(Value):
    """What stands behind the resource's name; the last one given wins."""

    text: str


class NotApplicable(Value):
    """The resource means nothing here (a filesystem that is not Btrfs): no failure."""

    text: str


class Refusal(Value):
    """The whole resource cannot or must not be done; none of its goals is followed."""

    text: str
    hint: str = ""
    code: str = ""


class Finding(Value):
    """A row of its own beside the resource: a difference that apply cannot end, or cannot see.

    ``kind`` is what the row is about where that is not the kind that says it.
    """

    op: Op
    subject: str
    text: str
    hint: str = ""
    code: str = ""
    kind: str = ""


class AsRoot(Fact[bool]):
    """Whether vmtune runs as root: what it is not shown then, a policy denies."""


CRONS_JOBS = (
    "SELinux enforces here, and its policy may keep cron's jobs from images, as Debian's does"
)
"""What is said of a schedule that cron is to run, where it enforces."""

POLICY = "SELinux, a container or another policy"


def denied(what: str, *, as_root: bool) -> str:
    """Say who is shown it; ``what`` begins with a verb, as in "see whether a program uses it"."""
    if as_root:
        return f"vmtune, as root, was not allowed to {what} ({POLICY})"
    return f"only root can {what}"


def hidden(what: str, host: HostView, apply: str = "") -> str:
    """Say the same to the caller; ``apply`` is what `vmtune apply` does about it, as root."""
    as_root = host(AsRoot())
    told = denied(what, as_root=as_root)
    if not apply:
        return told
    return f"{told}; `apply` {'is not allowed to either' if as_root else apply}"
