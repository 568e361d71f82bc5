"""Which files an image is made of, as its header says: qcow, qcow2, QED and VMDK.

Those are the formats in which QEMU follows a name (tests/btrfs/test_image_formats.py
asks it). It refuses VDI and VHDX images that have a parent, and reads a VPC image
without its own: for a virtual machine here, these are one file each.
qemu-img(1) would say all that too, but opens whatever an image names, and the image
may come from anyone. Here at most the bytes given are read, and no other file.
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from reconciler.formats import qcow2, qed, vmdk

if TYPE_CHECKING:
    from collections.abc import Callable

MAGIC = 8
"""Bytes that tell whether a file may name others."""


def is_known(start: bytes) -> bool:
    """Whether the first MAGIC bytes are those of a format that is read here."""
    return start.startswith((qcow2.MAGIC, qed.MAGIC)) or vmdk.is_known(start)


def parts(head: bytes, path: str, top: str) -> tuple[str, tuple[str, ...]]:
    """What the other files are that ``path`` (relative to ``top``) names, and their paths.

    As ``placed`` gives them. A name that is no file of this host (``nbd://...``)
    is left out, and so is all that a damaged header may mean.
    """
    try:
        names = _reader(head)(head)
    except ValueError:
        return "", ()
    found = (placed(name, path, top) for _, name in names)
    others = tuple(dict.fromkeys(name for name in found if name != path))
    whats = {what for what, _ in names}
    return whats.pop() if len(whats) == 1 else "more file", others


def placed(name: str, path: str, top: str) -> str:
    """Where a name leads that is found in or at ``path``, itself relative to ``top``.

    Relative to ``top`` where that lies below it, else absolute.
    """
    full = posixpath.normpath(posixpath.join(top, posixpath.dirname(path), name))
    full = f"/{full.lstrip('/')}"  # two slashes are left by normpath(), and mean one on Linux
    return full.removeprefix(f"{top.rstrip('/')}/")


def _reader(head: bytes) -> Callable[[bytes], tuple[tuple[str, str], ...]]:
    if head.startswith(qcow2.MAGIC):
        return qcow2.names
    return qed.names if head.startswith(qed.MAGIC) else vmdk.names
