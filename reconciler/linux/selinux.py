"""The SELinux label that the policy has for a path, and giving it to a new directory.

The kernel labels what is made by rules of its own: a new directory gets the type of the directory
that it is made in, a new subvolume none (unlabeled_t), and both hand it on. The policy has a label
for each path (selinux_file_contexts(5)); restorecon(8) sets it by hand. libselinux knows the
policy; it is there wherever SELinux is used.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
from contextlib import suppress
from shlex import quote

from reconciler.errors import HostError
from reconciler.linux import process

_ON = "/sys/fs/selinux/enforce"
"""There where a policy is loaded (selinux(8)): enforcing, or only permissive."""

_ATTRIBUTE = "security.selinux"


def enabled() -> bool:
    """Whether the kernel goes by labels."""
    return os.path.exists(_ON)


def hint(message: str) -> str:
    """Say that SELinux may be behind a refusal; "" where it cannot be, or does not enforce.

    Owners and modes refuse nothing to root, so EACCES is a policy's word there. EPERM is said
    where a capability is missing, and the policy may withhold capabilities, too.
    """
    whys = (os.strerror(errno.EACCES), os.strerror(errno.EPERM))
    if os.geteuid() or not enforces() or not any(why in message for why in whys):
        return ""
    own = ""  # the label of this process, which the policy goes by
    with suppress(OSError):
        own = (
            process.kernel_file("/proc/self/attr/current").decode("ascii", "replace").rstrip("\0\n")
        )
    tells = "if that was logged, `ausearch -m avc -ts recent` tells"
    return f"SELinux may have denied it to {own or 'this process'}; {tells}"


def enforces() -> bool:
    """Whether what the policy denies is denied, and not only logged."""
    try:
        with open(_ON, encoding="ascii") as file:
            return file.read(1) == "1"
    except OSError:  # none, or one that does not even let its state be read
        return enabled()


def relabel(fd: int, path: str) -> None:
    """Give a directory that was just made the label that the policy has for its path.

    HostError where it cannot be given; nothing is done without SELinux, or where the mount has one
    label for all (mount option context=).
    """
    if not enabled():
        return
    want, have = by_policy(path), of(fd)
    if not want or type_of(want) == type_of(have):
        return
    try:
        os.setxattr(fd, _ATTRIBUTE, want.encode() + b"\0")
    except OSError as error:
        if error.errno == errno.EOPNOTSUPP:
            return
        raise HostError(
            f"{path} is made, but cannot get its SELinux label {want}: {error.strerror}",
            f"restorecon -v {quote(path)}",
        ) from None


def of(fd: int) -> str:
    """The label as the kernel tells it; "" where there is none."""
    try:
        return os.getxattr(fd, _ATTRIBUTE).rstrip(b"\0").decode("ascii", "replace")
    except OSError as error:
        if error.errno in {errno.ENODATA, errno.EOPNOTSUPP}:
            return ""
        raise


def type_of(label: str) -> str:
    """The type, which the policy goes by: the third part of user:role:type:level."""
    return [*label.split(":"), "", ""][2]


def by_policy(path: str) -> str:
    """The label that the policy has for a directory; "" where it has none, or nobody can ask it."""
    library = _library()
    if library is None:
        return ""
    # selabel_open(3); 0 is SELABEL_CTX_FILE (selinux/label.h).
    handle = ctypes.c_void_p(library.selabel_open(0, None, 0))
    if not handle:
        return ""
    found, name = ctypes.c_char_p(), os.fsencode(path)
    try:
        if library.selabel_lookup_raw(handle, ctypes.byref(found), name, stat.S_IFDIR):
            return ""
        label = (found.value or b"").decode("ascii", "replace")
        library.freecon(found)
    finally:
        library.selabel_close(handle)
    return "" if label == "<<none>>" else label


def is_customizable(label: str) -> bool:
    """Whether an administrator may give it by hand, so that restorecon leaves it as it is."""
    library = _library()
    return library is not None and library.is_context_customizable(label.encode()) == 1


def _library() -> ctypes.CDLL | None:
    try:
        library = ctypes.CDLL("libselinux.so.1")
    except OSError:
        return None
    library.selabel_open.restype = ctypes.c_void_p  # else it would be cut to an int
    return library
