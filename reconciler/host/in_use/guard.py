"""Whether a file that is held by a write lease is in use all the same: asked as it is exchanged.

A lease says that nobody has the file open. It says nothing of a bind mount of the file, of an
overlay that has the file in a layer, of a handle (O_PATH), or of a client of the NFS server. These
are looked for, and one look serves all files that it is recent enough for.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from reconciler.host.in_use.look import Look, inode_of, look
from reconciler.host.kernel import inode
from reconciler.host.kernel.proc import named
from reconciler.host.refused import Refused
from reconciler.value import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

OPEN, MOUNTED, EXPORTED, UNSEEN = "open", "mounted", "exported", "unseen"
_RECENT = 10.0
"""Seconds: how old a look may be that is not the last one."""


@dataclass(frozen=True, slots=True)
class Use:
    """Why a file must be left: OPEN, MOUNTED, EXPORTED or UNSEEN, and in words."""

    sort: str
    words: str


_last: list[Look] = []
"""The last look of this process, at most one."""


def use(fd: int, after: float | None = None) -> Use | None:
    """How an open file is used without being opened; None where it is not.

    ``after`` (time.monotonic) is when the look must have begun at the earliest; without it a
    few seconds ago. The look that decides is the last one: it must begin after the file lost
    its name.
    """
    now = time.monotonic()
    seen = _look(now - _RECENT if after is None else after)
    found = _use(seen, fd)
    if found and seen.started < now:  # it may be over by now, or its filesystem was just mounted
        found = _use(_look(now), fd)
    return found


def _use(seen: Look, fd: int) -> Use | None:
    if who := seen.handles(inode_of(os.fstat(fd))):
        return Use(OPEN, f"in use by {' and '.join(who)}")
    if shown := seen.subject(fd).used():
        return Use(MOUNTED, shown[0])
    if exported := seen.exported(fd).used():
        return Use(EXPORTED, f"{exported[0]} is exported by NFS")
    if seen.unseen:
        return Use(UNSEEN, seen.unseen[0])
    return None


def _look(after: float) -> Look:
    if not (_last and _last[0].started >= after):
        _last[:] = [look(maps=False)]
    return _last[0]


def leave(name: str, within: int, path: str) -> None:
    """Refuse to let an empty directory be removed that somebody uses: Refused names them.

    What called this program may stand in it: a shell does when its user is done there.
    """
    with inode.opened(name, within, os.O_DIRECTORY) as fd:
        if who := directory(fd):
            raise Refused(f"{path} stays: {who}", "end that, then run this again")


def of(path: str) -> str:
    """How a directory is used, in words; "" where it is not, or is gone."""
    try:
        with inode.directory(path) as fd:
            return directory(fd)
    except FileNotFoundError:
        return ""


def directory(fd: int) -> str:
    """How an open directory is used, in words; "" where it is not."""
    it = inode_of(os.fstat(fd))
    seen = look(maps=False)
    callers = {named(pid) for pid in _callers()}
    if who := [name for name in seen.who({it}).get(it, ()) if name not in callers]:
        return f"{', '.join(who)} has it open, or works in it"
    if shown := seen.subject(fd).anywhere():
        return f"it is {shown[0]}"
    spot = seen.mounts.spot(fd)
    if any(held.spot == spot for held in seen.shared.held):
        return "it is exported by NFS"
    return f"what is in use cannot be told: {seen.unseen[0]}" if seen.unseen else ""


def _callers() -> Iterator[int]:
    """The processes that this one comes from, the next one first."""
    pid = os.getppid()
    while pid > 0:
        yield pid
        with open(f"/proc/{pid}/stat", "rb") as file:
            pid = int(file.read().rpartition(b") ")[2].split()[1])
