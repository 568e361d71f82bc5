"""Which inodes processes have: descriptors, O_PATH ones too, maps, working directories, roots.

/proc/PID/fd shows all open files (proc(5)), map_files what is mapped and closed. A write lease
(fcntl(2)) sees whoever reads or writes a file. Who has a file by O_PATH, or works in a directory,
is seen here alone. Others' processes are seen by root alone.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from reconciler.host.kernel import proc
from reconciler.host.kernel.proc import named
from reconciler.value import dataclass, field

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

Inode = tuple[int, int]
"""st_dev and st_ino, as stat(2) gives them: a subvolume has a device number of its own."""
_KINDS = {stat.S_IFREG, stat.S_IFDIR}


@dataclass(slots=True)
class Opened:
    """``at`` are the paths in /proc by which processes have each inode on a device of no block.

    ``spaces`` are paths of namespace files, ``unseen`` processes that may not be looked into.
    """

    at: dict[Inode, list[str]] = field(default_factory=dict)
    maps: dict[str, frozenset[bytes]] = field(default_factory=dict)
    """Of each process the numbers of the inodes that it maps, whatever their filesystem."""
    spaces: list[str] = field(default_factory=list)
    unseen: list[str] = field(default_factory=list)

    def who(self, inodes: Collection[Inode]) -> dict[Inode, set[str]]:
        """Who has some inodes: "qemu-system-x86 (pid 123)"; those of nobody are left out."""
        found = {i: {_named(path) for path in self.at[i]} for i in inodes if i in self.at}
        for inode, who in self._mapped(inodes):
            found.setdefault(inode, set()).add(who)
        return found

    def handles(self, inode: Inode) -> set[str]:
        """Who has an inode by a descriptor that no lease sees (O_PATH)."""
        paths = (path for path in self.at.get(inode, ()) if "/fd/" in path)
        return {_named(path) for path in paths if _is_handle(path)}

    def _mapped(self, inodes: Collection[Inode]) -> Iterator[tuple[Inode, str]]:
        """Who maps them: /proc/PID/maps has other device numbers than stat(2) on Btrfs."""
        numbers = frozenset(b"%d" % number for _, number in inodes) if self.maps else frozenset()
        for pid, mapped in self.maps.items():
            if mapped.isdisjoint(numbers):
                continue
            for path in _quietly_listed(f"/proc/{pid}/map_files"):
                with suppress(OSError):
                    status = os.stat(path)
                    if (status.st_dev, status.st_ino) in inodes:
                        yield (status.st_dev, status.st_ino), named(pid)


def look(*, maps: bool) -> Opened:
    """Look at every process but this one, and at what they map if asked to."""
    found = Opened()
    spaces = os.stat("/proc/self/ns/mnt").st_dev
    own = str(os.getpid())
    for pid in os.listdir("/proc"):
        if not pid.isdecimal() or pid == own:
            continue
        try:
            for path in _paths(pid):
                _note(path, spaces, found)
            if maps:
                found.maps[pid] = _numbers(pid)
        except PermissionError:
            found.unseen.append(named(pid))
        except OSError:  # it ended
            continue
    return found


def _note(path: str, spaces: int, found: Opened) -> None:
    try:
        status = os.stat(path)  # opens nothing, and breaks no lease
    except PermissionError:
        raise
    except OSError:  # closed, or ended, since it was listed
        return
    if stat.S_IFMT(status.st_mode) in _KINDS and not os.major(status.st_dev):
        found.at.setdefault((status.st_dev, status.st_ino), []).append(path)
        if status.st_dev == spaces:
            found.spaces.append(path)


def _paths(pid: str) -> Iterator[str]:
    yield from _listed(f"/proc/{pid}/fd")
    # unshare(2) gives a thread a working directory of its own.
    has_threads = os.stat(f"/proc/{pid}/task").st_nlink > 3  # noqa: PLR2004 - one more for each
    for each in _listed(f"/proc/{pid}/task") if has_threads else [f"/proc/{pid}"]:
        yield f"{each}/cwd"
        yield f"{each}/root"


def _listed(folder: str) -> list[str]:
    return [f"{folder}/{name}" for name in os.listdir(folder)]


def _quietly_listed(folder: str) -> list[str]:
    with suppress(OSError):
        return _listed(folder)
    return []


def _numbers(pid: str) -> frozenset[bytes]:
    text = proc.whole(f"/proc/{pid}/maps")
    return frozenset(line.split(maxsplit=5)[4] for line in text.splitlines())


def _named(path: str) -> str:
    return named(path.split("/")[2])


def _is_handle(path: str) -> bool:
    with suppress(OSError):
        lines = proc.whole(path.replace("/fd/", "/fdinfo/")).splitlines()
        return any(int(line[6:], 8) & os.O_PATH for line in lines if line.startswith(b"flags:"))
    return False
