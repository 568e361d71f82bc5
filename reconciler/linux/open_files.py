"""Which inodes processes and the kernel itself have.

Descriptors (O_PATH ones too), maps, working directories and roots; loop devices, swap, SCSI and
NVMe targets; QEMU's locks.
"""

from __future__ import annotations

import glob
import os
import stat
import struct
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from reconciler.formats.fstab import unescape
from reconciler.linux import files, proc, syscalls
from reconciler.linux.inode import NO_MAGIC_LINKS, openat2

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator


Inode = tuple[int, int]
"""st_dev and st_ino, as stat(2) gives them: a subvolume has a device number of its own."""


def _inode(status: os.stat_result) -> Inode:
    return status.st_dev, status.st_ino


@dataclass(eq=False, repr=False)
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
            for path in files.listed(f"/proc/{pid}/map_files"):
                with suppress(OSError):
                    if (found := _inode(os.stat(path))) in inodes:
                        yield found, proc.named(pid)


def look_at_processes(*, maps: bool) -> Opened:
    """Look at every process but this one, and at what they map if asked to."""
    found = Opened()
    spaces = os.stat("/proc/self/ns/mnt").st_dev
    own = str(os.getpid())
    for pid in proc.pids():
        if pid == own:
            continue
        try:
            for path in _paths(pid):
                _note(path, spaces, found)
            if maps:
                text = proc.whole(f"/proc/{pid}/maps")
                rows = text.split(b"\n")[:-1]  # in a name there may be any byte but that
                found.maps[pid] = frozenset(row.split(maxsplit=5)[4] for row in rows)
        except PermissionError:
            found.unseen.append(proc.named(pid))
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
    mode = status.st_mode
    if (stat.S_ISREG(mode) or stat.S_ISDIR(mode)) and not os.major(status.st_dev):
        found.at.setdefault(_inode(status), []).append(path)
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


def _named(path: str) -> str:
    return proc.named(path.split("/")[2])


def _is_handle(path: str) -> bool:
    with suppress(OSError):
        flags = proc.field(proc.whole(path.replace("/fd/", "/fdinfo/")), b"flags")
        return bool(int(flags, 8) & os.O_PATH)
    return False


_TARGETS = {
    "/sys/kernel/config/target/core/fileio_*/*/udev_path": "the SCSI target",
    "/sys/kernel/config/nvmet/subsystems/*/namespaces/*/device_path": "the NVMe target",
}


def look_at_kernel() -> Iterator[tuple[Inode, str]]:
    """Each file that the kernel uses and that can be told, with who uses it."""
    yield from _loops()
    yield from _swaps()
    for pattern, who in _TARGETS.items():
        for path in glob.glob(pattern):
            with suppress(OSError):
                yield _named_in(path), f"{who} ({os.path.dirname(path)})"


def locked(inodes: Collection[Inode]) -> Iterator[tuple[Inode, str]]:
    """Files that anybody locks by open file description (fcntl(2)), by their number alone.

    The lock may be on any filesystem that is mounted here.
    """
    with suppress(OSError):
        rows = [line.split() for line in proc.whole("/proc/locks").split(b"\n")]
        places = (row[-3].rpartition(b":") for row in rows if b"OFDLCK" in row)
        here = set(proc.superblocks().values())
        numbers = {int(number) for device, _, number in places if device in here}
        for inode in inodes:
            if inode[1] in numbers:
                yield inode, "a process that is not seen from here, locking it as QEMU does"


def _loops() -> Iterator[tuple[Inode, str]]:
    for path in glob.glob("/sys/block/loop*/loop"):
        name = path.split("/")[3]
        with suppress(OSError):  # detached since
            yield _backing(name), f"/dev/{name}"


def _backing(name: str) -> Inode:
    """The device knows its file; the name in sysfs may mean another one in this namespace."""
    try:
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
        fd = openat2(f"/dev/{name}", -1, flags, NO_MAGIC_LINKS)
    except OSError:  # not root, or a /dev of a container
        return _named_in(f"/sys/block/{name}/loop/backing_file")
    with syscalls.closing(fd):
        # LOOP_GET_STATUS64, struct loop_info64 (linux/loop.h): its device and inode come first.
        return struct.unpack_from("=QQ", syscalls.call(fd, 0x4C05, bytearray(232)))


def _swaps() -> Iterator[tuple[Inode, str]]:
    with suppress(OSError):  # a kernel without swap
        for line in proc.whole("/proc/swaps").split(b"\n"):
            if b" file" in line:
                with suppress(OSError):
                    yield (
                        _inode(os.stat(unescape(line.partition(b" ")[0]))),
                        "the kernel, swapping to it",
                    )


def _named_in(path: str) -> Inode:
    """Find the file that a file in sysfs or configfs names."""
    return _inode(os.stat(proc.whole(path).strip(b"\n")))
