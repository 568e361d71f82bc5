"""System calls that Python has no name for; inotify(7) and the mount interface among them.

Each ioctl is in the module of its header: btrfs.py, inode.py, extents.py, namespaces.py. One of
Btrfs that is about a single thing is in the module of that: subvolumes.py, trees.py. What a plan
may ask of the kernel is written down a second time, as ASKING in tests/btrfs/engine/test_plan.py,
which traces a plan.

inotify(7): the kernel tells of each close of a file, by whoever and from whichever mount namespace,
also by a loop device or as a process ends. A hint is all that this is: who wakes up looks for
himself. Nothing is opened that is watched, so no lease breaks.

mount(8) merges /etc/fstab into a remount and drops live flags. The calls fsopen(2), fspick(2) and
mount_setattr(2) change only what they are told, and say in words what they refuse. Which options
there are is not known here, but in formats/options.py.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import select
import struct
import time
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence


@contextmanager
def closing(fd: int) -> Iterator[int]:
    """Hold a descriptor that was just opened, and close it in the end."""
    try:
        yield fd
    finally:
        os.close(fd)


@cache
def libc() -> ctypes.CDLL:
    """Loaded once: each CDLL makes classes of its own."""
    return ctypes.CDLL(None, use_errno=True)


def checked(result: int, *names: str) -> int:
    """Return what a call of the C library returned; OSError with its errno where that failed.

    ``names`` are the paths that the call was about.
    """
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), *names)
    return result


NONE, WRITE, READ = 0, 1, 2


def number(direction: int, letter: int, index: int, size: int) -> int:
    """The request number; the PowerPC, MIPS, SPARC and Alpha headers lay it out differently."""
    if os.uname().machine.startswith(("ppc", "mips", "sparc", "alpha")):
        bits = {NONE: 1, READ: 2, WRITE: 4, READ | WRITE: 6}[direction] << 29
    else:
        bits = direction << 30
    return bits | size << 16 | letter << 8 | index


def call(fd: int, request: int, buffer: bytearray) -> bytearray:
    """The kernel fills ``buffer``, of any size: fcntl.ioctl copies only mutable ones whole."""
    fcntl.ioctl(fd, request, buffer, True)
    return buffer


def exchange(within: int, one: str, other: str) -> None:
    """Two names in a directory change places: at every instant both are there. OSError."""
    _renameat2(within, one, other, 2)  # RENAME_EXCHANGE


def move(within: int, name: str, to: str) -> None:
    """Rename within a directory; FileExistsError where there is something already."""
    _renameat2(within, name, to, 1)  # RENAME_NOREPLACE


def _renameat2(within: int, one: str, other: str, flags: int) -> None:
    done = libc().renameat2(within, os.fsencode(one), within, os.fsencode(other), flags)
    checked(done, one)


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
    checked(libc().statfs(os.fsencode(path), buffer), path)
    magic = ctypes.c_ulong.from_buffer(buffer).value & 0xFFFFFFFF
    return _NAMES.get(magic, hex(magic))


_GENERIC = (159, 149, 147)

_NUMBERS = {
    "x86_64": (116, 119, 117),
    "aarch64": _GENERIC,
    "riscv64": _GENERIC,
    "loongarch64": _GENERIC,
}
"""setgroups, setresgid and setresuid by machine (asm/unistd.h); on others glibc does it."""

_GROUPS, _GID, _UID = 0, 1, 2


def set_thread_ids(uid: int, gid: int, groups: Sequence[int]) -> None:
    """From root to somebody else; only what is in effect, so that there is a way back."""
    _set_groups(groups)
    _set_id(_GID, gid, os.setegid)
    _set_id(_UID, uid, os.seteuid)


def restore_thread_ids(groups: Sequence[int]) -> None:
    """To root again."""
    _set_id(_UID, 0, os.seteuid)
    _set_id(_GID, 0, os.setegid)
    _set_groups(groups)


def _numbers() -> tuple[int, int, int] | None:
    """None for a 32-bit program on such a machine, too: its numbers are others."""
    return _NUMBERS.get(os.uname().machine) if struct.calcsize("P") == 8 else None  # noqa: PLR2004


def _set_groups(groups: Sequence[int]) -> None:
    if numbers := _numbers():
        _call(numbers[_GROUPS], len(groups), (ctypes.c_uint32 * len(groups))(*groups))
    else:
        os.setgroups(groups)


def _set_id(which: int, value: int, by_glibc: Callable[[int], None]) -> None:
    if numbers := _numbers():
        _call(numbers[which], -1, value, -1)  # -1: real and saved one stay
    else:
        by_glibc(value)


def _call(number: int, *values: int | ctypes.Array[ctypes.c_uint32]) -> None:
    whole = [ctypes.c_long(value) if isinstance(value, int) else value for value in values]
    checked(libc().syscall(ctypes.c_long(number), *whole))


_LET_GO = 0x8 | 0x10 | 0x400 | 0x800  # IN_CLOSE_WRITE, _CLOSE_NOWRITE, _DELETE_SELF, _MOVE_SELF


@contextmanager
def watching(paths: Iterable[str]) -> Iterator[Callable[[float, float], None]]:
    """Watch some paths; a path that cannot be watched tells nothing.

    Of a directory the kernel tells what is closed directly in it as well.
    """
    poll, library = select.poll(), libc()
    with ExitStack() as stack:
        events = library.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
        if events >= 0:  # else as many instances as may be are in use: who waits looks again
            stack.enter_context(closing(events))
            poll.register(events, select.POLLIN)
            for path in dict.fromkeys(paths):
                library.inotify_add_watch(events, os.fsencode(path), _LET_GO)
        mounts = os.open("/proc/self/mountinfo", os.O_RDONLY | os.O_CLOEXEC)
        stack.enter_context(closing(mounts))
        poll.register(mounts, select.POLLPRI)

        def wait(least: float, most: float) -> None:
            """Return when a path may be free, not before ``least`` seconds nor after ``most``.

            What happens in the first seconds is found as they are over: who closes a thousand
            files a second keeps nobody busy.
            """
            time.sleep(min(least, most))
            poll.poll(max(0.0, most - least) * 1000)
            with suppress(BlockingIOError):
                while events >= 0 and os.read(events, 1 << 16):
                    pass

        yield wait


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
    return checked(int(libc().syscall(*arguments)))


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
    with closing(_syscall(_FSPICK, _AT_FDCWD, os.fsencode(target), _CLOEXEC)) as context:
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
