"""One view of the host: every fact, and each kind's places. Nothing here can change the host."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from reconciler.errors import HostError
from reconciler.facts.host_view import HostView, NotVisible
from reconciler.linux import host_facts, managed_files, subvolume_list, users
from reconciler.resources.registry import modules_of_kinds

if TYPE_CHECKING:
    from collections.abc import Callable

    from reconciler.facts.host_view import Fact


READS: dict[type[Fact[Any]], Callable[[Any, HostView], Any]] = {
    **host_facts.READS,
    **managed_files.READS,
}
"""All that a plan can ask; what `init` and `doctor` ask beside that is in discovery/linux.py."""


for _kind in modules_of_kinds("reads"):
    READS.update(_kind.READS)


def read(fact: Fact[Any], host: HostView) -> Any:
    """Answer one fact; what may not be seen is NotVisible, with the reason."""
    answer = READS.get(type(fact)) or _of_discovery(type(fact))
    try:
        return answer(fact, host)
    except PermissionError as error:
        where, name = _where(error, fact), users.acting()
        if where and error.errno == errno.EPERM and users.is_root():  # of no owner, and no mode
            raise users.not_visible(f"look into {where}") from None
        why = f"{where} is not readable as {name}" if where else f"{error.strerror} to {name}"
        raise NotVisible(why) from None
    except HostError as refused:
        raise NotVisible(refused.message) from None
    except OSError as error:
        why = _stub(fact) if error.errno == errno.ENOTTY else ""
        raise NotVisible(why or f"{_where(error, fact)}: {error.strerror}", for_all=True) from None


def _of_discovery(kind: type[Fact[Any]]) -> Callable[[Any, HostView], Any]:
    """Who answers what only ``vmtune init`` and ``vmtune doctor`` ask."""
    from reconciler.discovery import linux  # noqa: PLC0415 - no other command loads it

    return linux.READS[kind]


def _where(error: OSError, fact: Fact[Any]) -> str:
    """The path that an error is about; that of the fact where a descriptor was asked."""
    name = error.filename
    return name if name and isinstance(name, str) else getattr(fact, "path", "")


def _stub(fact: Fact[Any]) -> str:
    """What to say of a path that answers no ioctl: a stub of a subvolume; "" where it is none."""
    path = getattr(fact, "path", "")
    with suppress(OSError):
        return (
            subvolume_list.stub_refused(path).message
            if subvolume_list.is_stub(path, os.lstat(path))
            else ""
        )
    return ""


def look() -> HostView:
    """A view of this host that has seen nothing yet."""
    return HostView(read)
