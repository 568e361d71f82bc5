"""statfs(2): the filesystem's magic number (linux/magic.h), which Python does not expose."""

from __future__ import annotations

import ctypes
import os

from reconciler.host.kernel.libc import libc

_NAMES = {
    0x9123683E: "btrfs",
    0xEF53: "ext4",
    0x58465342: "xfs",
    0x01021994: "tmpfs",
    0x794C7630: "overlayfs",
    0x2FC12FC1: "zfs",
    0xF2F52010: "f2fs",
    0xCA451A4E: "bcachefs",
    0x6969: "nfs",
    0x65735546: "fuse",
    0xFF534D42: "cifs",
    0x4D44: "vfat",
    0x9FA0: "proc",
    0x62656572: "sysfs",
}


def filesystem_type(path: str) -> str:
    """The type's usual name, or its magic number in hexadecimal; OSError as statfs(2)."""
    buffer = ctypes.create_string_buffer(512)
    if libc().statfs(os.fsencode(path), buffer):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), path)
    magic = ctypes.c_ulong.from_buffer(buffer).value & 0xFFFFFFFF
    return _NAMES.get(magic, hex(magic))
