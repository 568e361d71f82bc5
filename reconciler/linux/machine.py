"""Which machine this is, which kernel runs, the time of day, and what documents begin with."""

from __future__ import annotations

import glob
import hashlib
import os
from datetime import datetime

from reconciler import __version__
from reconciler.linux import files, proc


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
    return os.fsdecode(proc.whole("/proc/cmdline"))


def now() -> str:
    """ISO 8601 to the second, with the local zone."""
    return datetime.now().astimezone().isoformat(timespec="seconds")


def head(of: str) -> dict[str, str]:
    """Begin a document for programs, of that format: when it is made, and by which vmtune."""
    return {"format": of, "version": __version__, "created": now()}
