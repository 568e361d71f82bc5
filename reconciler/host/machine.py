"""Which machine this is, and which kernel runs."""

from __future__ import annotations

import hashlib
import os

from reconciler.host import files


def identity() -> str:
    """A digest of machine-id(5), which itself is not for others to see; "" where there is none."""
    found = files.read_gone("/etc/machine-id").strip()
    return hashlib.sha256(b"vmtune" + found).hexdigest() if found else ""


def kernel() -> str:
    """The release, as ``uname -r`` prints it."""
    return os.uname().release
