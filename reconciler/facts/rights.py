"""What to say of what the kernel shows to root alone: to a user, and to root who is denied it too.

SELinux, a user namespace, a container without CAP_SYS_ADMIN and seccomp deny root as well. Nobody
who is root is told that only root sees something, or to become root.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.facts.host_view import Fact

if TYPE_CHECKING:
    from reconciler.facts.host_view import HostView


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
