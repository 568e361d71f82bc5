"""Which files the kernel itself uses: loop devices, swap, SCSI and NVMe targets; QEMU's locks.

Each of them has the file open, so that no write lease can be had on it. These look-ups only name
who it is.
"""

from __future__ import annotations

import glob
import os
import struct
from contextlib import suppress
from typing import TYPE_CHECKING

from reconciler.host.kernel import ioctl
from reconciler.host.kernel.inode import NO_MAGIC_LINKS, openat2

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from reconciler.host.in_use.processes import Inode

_STATUS = 0x4C05  # LOOP_GET_STATUS64 (linux/loop.h)
_STATUS_SIZE, _DEVICE_AND_INODE = 232, struct.Struct("=QQ")  # of struct loop_info64
_TARGETS = {
    "/sys/kernel/config/target/core/fileio_*/*/udev_path": "the SCSI target",
    "/sys/kernel/config/nvmet/subsystems/*/namespaces/*/device_path": "the NVMe target",
}
_LOCKED = "a process that is not seen from here, locking it as QEMU does"


def look() -> Iterator[tuple[Inode, str]]:
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
        told = ioctl.call(fd, _STATUS, bytearray(_STATUS_SIZE))
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
