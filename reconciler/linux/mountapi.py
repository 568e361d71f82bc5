"""The kernel's mount interface, one option at a time (fsopen(2), fspick(2), mount_setattr(2)).

mount(8) merges /etc/fstab into a remount and drops live flags; these calls
change only what they are told, and say in words what they refuse. Which options there are is
not known here, but in formats/options.py.
"""

from __future__ import annotations

import os
import struct

from reconciler.linux import syscalls

_FSOPEN, _FSCONFIG, _FSPICK, _MOUNT_SETATTR = 430, 431, 433, 442  # alike on all but Alpha

_SET_FLAG, _SET_STRING, _RECONFIGURE = 0, 1, 7  # enum fsconfig_command

_AT_FDCWD, _CLOEXEC = -100, 1

FLAGS = {
    "nosuid": 0x02,
    "nodev": 0x04,
    "noexec": 0x08,
    "relatime": 0x00,
    "noatime": 0x10,
    "strictatime": 0x20,
    "nodiratime": 0x80,
}


def _syscall(*arguments: object) -> int:
    return syscalls.checked(int(syscalls.libc().syscall(*arguments)))


def new_context(fstype: str) -> int:
    """fsopen(2): a context for a mount that will never be made; needs CAP_SYS_ADMIN."""
    return _syscall(_FSOPEN, fstype.encode(), _CLOEXEC)


def set_option(context: int, token: str) -> None:
    """fsconfig(2) with ``name`` or ``name=value``; OSError carries the kernel's own words."""
    name, equals, value = token.partition("=")
    if equals:
        _configure(context, _SET_STRING, name.encode(), value.encode())
    else:
        _configure(context, _SET_FLAG, name.encode(), None)


def _configure(context: int, command: int, name: bytes | None, value: bytes | None) -> None:
    try:
        _syscall(_FSCONFIG, context, command, name, value, 0)
    except OSError as error:
        raise OSError(error.errno, _words(context) or error.strerror) from None


def _words(context: int) -> str:
    """The messages queued on a context: "e btrfs: Unknown parameter 'x'"."""
    words = []
    while True:
        try:
            words.append(os.read(context, 1024).decode("utf-8", "replace")[2:].strip())
        except OSError:  # ENODATA: no more
            return "; ".join(words)


def reconfigure(target: str, *tokens: str) -> None:
    """Change options of the mounted filesystem at ``target``.

    Btrfs (6.18) takes a context without "ro" for a wish to write: to keep a filesystem
    read-only, "ro" must be among the tokens.
    """
    with syscalls.closing(_syscall(_FSPICK, _AT_FDCWD, os.fsencode(target), _CLOEXEC)) as context:
        for token in tokens:
            set_option(context, token)
        _configure(context, _RECONFIGURE, None, None)


def set_mount_flag(target: str, name: str, *, on: bool) -> None:
    """Set or clear one flag of one mount (not of its filesystem); see mount_setattr(2)."""
    flag = FLAGS[name]
    is_atime = name in {"relatime", "noatime", "strictatime"}
    clear = 0x70 if is_atime else 0 if on else flag  # MOUNT_ATTR__ATIME
    attributes = struct.pack("=4Q", flag if on else 0, clear, 0, 0)
    _syscall(_MOUNT_SETATTR, _AT_FDCWD, os.fsencode(target), 0, attributes, len(attributes))
