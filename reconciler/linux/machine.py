"""The host and this vmtune: the kernel, the time of day, and how the program is started again."""

from __future__ import annotations

import functools
import glob
import grp
import hashlib
import os
import pwd
import site
import stat
import sys
import sysconfig
from contextlib import suppress
from datetime import datetime
from shlex import quote
from typing import TYPE_CHECKING

from reconciler import __version__
from reconciler.linux import files, process, users

if TYPE_CHECKING:
    from collections.abc import Iterator


def identity() -> str:
    """A digest of machine-id(5), which itself is not for others to see; "" where there is none."""
    found = files.read_gone("/etc/machine-id").strip()
    return hashlib.sha256(b"vmtune" + found).hexdigest() if found else ""


def kernel() -> str:
    """The release, as ``uname -r`` prints it."""
    return os.uname().release


def has_btrfs() -> bool:
    """Built in, loaded, or there to be loaded."""
    known = files.read_gone("/proc/filesystems").split()
    module = f"/lib/modules/{kernel()}/kernel/fs/btrfs/btrfs.ko*"
    return b"btrfs" in known or bool(glob.glob(module))


def command_line() -> str:
    """The kernel's own, as the boot loader gave it."""
    return os.fsdecode(process.kernel_file("/proc/cmdline"))


def now() -> str:
    """ISO 8601 to the second, with the local zone."""
    return datetime.now().astimezone().isoformat(timespec="seconds")


def head(of: str) -> dict[str, str]:
    """Begin a document for programs, of that format: when it is made, and by which vmtune."""
    return {"format": of, "version": __version__, "created": now()}


_SYSTEM = ("/usr/", "/opt/")
"""Where installations stay in place; a checkout elsewhere may be gone tomorrow."""

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def own_command() -> list[str]:
    """Start the same vmtune by its path: root looks for names only in folders of its own.

    -I keeps root from importing anything out of the current directory or the
    caller's own packages, -B from leaving compiled files among them. The module is named where
    -I finds it; a checkout, or what pip put into a home, is started by its path.
    """
    if os.path.dirname(_PACKAGE) in site.getsitepackages():
        return [sys.executable, "-IB", "-m", "reconciler"]
    return [sys.executable, "-IB", os.path.join(_PACKAGE, "__main__.py")]


def typed_command() -> str:
    """Return what a person types for this vmtune behind sudo; "" where it has no short name.

    By its name alone only where sudo finds the very file: it looks in folders of the system. Else
    by its path, whose ~ the person's shell expands.
    """
    called = sys.argv[0]
    if os.path.basename(called) != "vmtune" or not os.access(called, os.X_OK):
        return ""
    path, known = os.path.abspath(called), process.find("vmtune")
    if known and os.path.samefile(known, path):
        return "vmtune"
    home = users.caller().home
    own = path.startswith(f"{home}/")
    return f"~/{quote(path[len(home) + 1 :])}" if own else quote(path)


def command_of_root() -> tuple[str, ...]:
    """Return that command for a job of root; () where another user could change what it runs."""
    if not _PACKAGE.startswith(_SYSTEM) or not sys.executable.startswith(_SYSTEM):
        return ()
    with suppress(OSError):
        return tuple(own_command()) if all(map(_is_roots, set(_obeyed()))) else ()
    return ()


def _obeyed() -> Iterator[str]:
    """Yield what Python reads code from, by name and by where links lead, and all above it."""
    library = (sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"))
    places = [sys.executable, *library, *filter(os.path.isdir, site.getsitepackages())]
    places += (folder for folder, _, _ in os.walk(_PACKAGE))
    for place in places:
        for path in (place, os.path.realpath(place)):
            parts = path.split("/")
            yield from ("/".join(parts[:depth]) or "/" for depth in range(1, len(parts) + 1))


def _is_roots(path: str) -> bool:
    """Whether only root can change what lies there, or what a directory holds."""
    status = os.stat(path)
    if status.st_uid or status.st_mode & stat.S_IWOTH:
        return False
    return not status.st_mode & stat.S_IWGRP or _has_root_alone(status.st_gid)


@functools.cache
def _has_root_alone(gid: int) -> bool:
    """Whether a group has no member but root: on Debian staff, which may write to /usr/local."""
    members = {user.pw_name for user in pwd.getpwall() if user.pw_gid == gid}
    with suppress(KeyError):
        members.update(grp.getgrgid(gid).gr_mem)
    return members <= {"root"}
