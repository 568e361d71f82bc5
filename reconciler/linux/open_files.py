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

from reconciler.linux import proc, syscalls
from reconciler.linux.inode import NO_MAGIC_LINKS, openat2
from reconciler.linux.proc import named

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator


Inode = tuple[int, int]
"""st_dev and st_ino, as stat(2) gives them: a subvolume has a device number of its own."""

_KINDS = {stat.S_IFREG, stat.S_IFDIR}


@dataclass
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


def look_at_processes(*, maps: bool) -> Opened:
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
    lines = proc.whole(f"/proc/{pid}/maps").split(b"\n")  # a name may hold a "\r"
    return frozenset(line.split(maxsplit=5)[4] for line in lines if line)


def _named(path: str) -> str:
    return named(path.split("/")[2])


def _is_handle(path: str) -> bool:
    with suppress(OSError):
        lines = proc.whole(path.replace("/fd/", "/fdinfo/")).splitlines()
        return any(int(line[6:], 8) & os.O_PATH for line in lines if line.startswith(b"flags:"))
    return False


_STATUS = 0x4C05  # LOOP_GET_STATUS64 (linux/loop.h)

_STATUS_SIZE, _DEVICE_AND_INODE = 232, struct.Struct("=QQ")  # of struct loop_info64

_TARGETS = {
    "/sys/kernel/config/target/core/fileio_*/*/udev_path": "the SCSI target",
    "/sys/kernel/config/nvmet/subsystems/*/namespaces/*/device_path": "the NVMe target",
}

_LOCKED = "a process that is not seen from here, locking it as QEMU does"


def look_at_kernel() -> Iterator[tuple[Inode, str]]:
    """Each file that the kernel uses and that can be told, with who uses it."""
    yield from _loops()
    yield from _swaps()
    for pattern, who in _TARGETS.items():
        for path in glob.glob(pattern):
            with suppress(OSError):
                yield _inode(os.stat(_line(path))), f"{who} ({os.path.dirname(path)})"


def locked(inodes: Collection[Inode]) -> Iterator[tuple[Inode, str]]:
    """Files that anybody locks by open file description (fcntl(2)), by their number alone."""
    numbers = _locked()
    for inode in inodes:
        if inode[1] in numbers:
            yield inode, _LOCKED


def _inode(status: os.stat_result) -> Inode:
    return status.st_dev, status.st_ino


def _loops() -> Iterator[tuple[Inode, str]]:
    for name in os.listdir("/sys/block") if os.path.isdir("/sys/block") else ():
        if name.startswith("loop") and os.path.exists(f"/sys/block/{name}/loop"):
            with suppress(OSError):  # detached since
                yield _backing(name), f"/dev/{name}"


def _backing(name: str) -> Inode:
    """The device knows its file; the name in sysfs may mean another one in this namespace."""
    try:
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
        fd = openat2(f"/dev/{name}", -1, flags, NO_MAGIC_LINKS)
    except OSError:  # not root, or a /dev of a container
        return _inode(os.stat(_line(f"/sys/block/{name}/loop/backing_file")))
    try:
        told = syscalls.call(fd, _STATUS, bytearray(_STATUS_SIZE))
    finally:
        os.close(fd)
    return _DEVICE_AND_INODE.unpack_from(told)


def _swaps() -> Iterator[tuple[Inode, str]]:
    with suppress(OSError), open("/proc/swaps", encoding="utf-8", errors="replace") as file:
        for line in file:
            if " file" in line:
                name = line.split()[0].encode().decode("unicode_escape")
                with suppress(OSError):
                    yield _inode(os.stat(name)), "the kernel, swapping to it"


def _line(path: str) -> str:
    with open(path, "rb") as file:
        return os.fsdecode(file.read().strip(b"\n"))


def _locked() -> set[int]:
    """Inode numbers with open file description locks on filesystems that are mounted here."""
    with suppress(OSError), open("/proc/locks", encoding="ascii", errors="replace") as file:
        rows = [line.split() for line in file]
        places = (row[-3].rpartition(":") for row in rows if "OFDLCK" in row)
        here = _superblocks()
        return {int(number) for device, _, number in places if device in here}
    return set()


def _superblocks() -> set[str]:
    """The mounted filesystems' device numbers, as /proc/locks writes them: "00:2d".

    A Btrfs has another one there, and in mountinfo, than its files have for stat(2).
    """
    with open("/proc/self/mountinfo", "rb") as file:
        numbers = (line.split(maxsplit=3)[2].split(b":") for line in file)
        return {f"{int(major):02x}:{int(minor):02x}" for major, minor in numbers}
