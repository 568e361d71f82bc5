"""Which inodes processes have: descriptors, O_PATH ones too, maps, working directories, roots.

/proc/PID/fd shows all open files (proc(5)), map_files what is mapped and closed. A write lease
(fcntl(2)) sees whoever reads or writes a file; what has it by O_PATH, or works in a directory, is
seen here alone.
"""

from __future__ import annotations

import os
from contextlib import suppress

from reconciler.host.kernel.process_names import named
from reconciler.value import dataclass, field

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

Inode = tuple[int, int]
"""st_dev and st_ino, as stat(2) gives them: a subvolume has a device number of its own."""


@dataclass(slots=True)
class Opened:
    """``who`` has each inode; ``handles`` are those among them that no lease sees.

    ``spaces`` are paths of namespace files, ``unseen`` processes that may not be looked into.
    """

    who: dict[Inode, set[str]] = field(default_factory=dict)
    handles: dict[Inode, set[str]] = field(default_factory=dict)
    spaces: list[str] = field(default_factory=list)
    unseen: list[str] = field(default_factory=list)


def look(devices: Collection[int], inodes: Collection[Inode] = ()) -> Opened:
    """Who has inodes of these st_dev, besides this process; of mapped files only ``inodes``.

    Others' processes are seen by root alone.
    """
    found = Opened()
    numbers = frozenset(str(number) for _, number in inodes)
    spaces = os.stat("/proc/self/ns/mnt").st_dev
    own = str(os.getpid())
    for pid in os.listdir("/proc"):
        if not pid.isdecimal() or pid == own:
            continue
        for path in _paths(pid, numbers, found):
            try:
                status = os.stat(path)  # opens nothing, and breaks no lease
            except PermissionError:
                found.unseen.append(named(pid))
                break
            except OSError:  # closed, or ended, since it was listed
                continue
            if status.st_dev in devices:
                _note(pid, path, (status.st_dev, status.st_ino), found)
            elif status.st_dev == spaces:
                found.spaces.append(path)
    return found


def _note(pid: str, path: str, inode: Inode, found: Opened) -> None:
    found.who.setdefault(inode, set()).add(named(pid))
    if "/fd/" not in path:
        return
    with suppress(OSError), open(path.replace("/fd/", "/fdinfo/"), "rb") as file:
        flags = next((int(line[6:], 8) for line in file if line.startswith(b"flags:")), 0)
        if flags & os.O_PATH:
            found.handles.setdefault(inode, set()).add(named(pid))


def _paths(pid: str, numbers: Collection[str], found: Opened) -> Iterator[str]:
    try:
        tasks = _listed(f"/proc/{pid}/task") if _has_threads(pid) else []
        yield from _listed(f"/proc/{pid}/fd")
    except PermissionError:
        found.unseen.append(named(pid))
        return
    except OSError:  # it ended
        return
    # unshare(2) gives a thread a working directory of its own.
    for each in tasks or [f"/proc/{pid}"]:
        yield f"{each}/cwd"
        yield f"{each}/root"
    if numbers:
        yield from _mapped(pid, numbers)


def _has_threads(pid: str) -> bool:
    return os.stat(f"/proc/{pid}/task").st_nlink > 3  # noqa: PLR2004 - two of its own, one of its first


def _listed(folder: str) -> list[str]:
    return [f"{folder}/{name}" for name in os.listdir(folder)]


def _mapped(pid: str, numbers: Collection[str]) -> list[str]:
    """Files that are mapped, if maybe one of these: maps has other device numbers on Btrfs."""
    with suppress(OSError):
        with open(f"/proc/{pid}/maps", encoding="utf-8", errors="replace") as file:
            mapped = {line.split(maxsplit=5)[4] for line in file}
        if not mapped.isdisjoint(numbers):
            return _listed(f"/proc/{pid}/map_files")
    return []
