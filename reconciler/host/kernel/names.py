"""The names of an inode within its subvolume (linux/btrfs.h, BTRFS_IOC_INO_PATHS)."""

from __future__ import annotations

import ctypes
import os
import struct

from reconciler.host.kernel import ioctl

_INO_PATHS = ioctl.number(ioctl.READ | ioctl.WRITE, 0x94, 35, 56)
_ARGUMENTS = struct.Struct("=2Q32xQ")  # inum, size, reserved, fspath
_HEAD = struct.Struct("=4I")  # bytes_left, bytes_missing, elem_cnt, elem_missed
_SIZE = 4096  # the most that the kernel fills


def others(fd: int, path: str) -> tuple[str, ...]:
    """List an inode's paths from the root of its subvolume, but for one that ends in ``path``.

    Sorted; what does not fit into 4 KiB is left out. Empty where the kernel does not tell: the
    ioctl is root's (CAP_DAC_READ_SEARCH).
    """
    buffer = ctypes.create_string_buffer(_SIZE)
    arguments = _ARGUMENTS.pack(os.fstat(fd).st_ino, _SIZE, ctypes.addressof(buffer))
    try:
        ioctl.call(fd, _INO_PATHS, bytearray(arguments))
    except OSError:
        return ()
    found = buffer.raw
    count = _HEAD.unpack_from(found)[2]
    offsets = struct.unpack_from(f"={count}Q", found, _HEAD.size)  # from the first of themselves
    paths = [found[_HEAD.size + offset :].split(b"\0", 1)[0] for offset in offsets]
    end = b"/" + os.fsencode(path)
    own = next((each for each in paths if (b"/" + each).endswith(end)), b"")
    return tuple(sorted(os.fsdecode(each) for each in paths if each != own))
