"""Which files an image is made of, as its header says: qcow2 and VMDK.

qemu-img(1) would say it too, but opens whatever an image names, and the image
may come from anyone. Here at most the bytes given are read, and no other file.
"""

from __future__ import annotations

import posixpath

from reconciler.formats import qcow2, vmdk

MAGIC = 21
"""Bytes that tell whether a file may name others."""


def is_known(start: bytes) -> bool:
    """Whether the first MAGIC bytes are those of a format that is read here."""
    return start.startswith((qcow2.MAGIC, vmdk.SPARSE)) or vmdk.is_descriptor(start)


def parts(head: bytes, path: str, top: str) -> tuple[str, tuple[str, ...]]:
    """What the other files are that ``path`` (relative to ``top``) names, and their paths.

    Relative to ``top`` where they lie below it, else absolute. A name that is
    no file of this host (``nbd://...``) is left out, and so is all that a
    damaged header may mean.
    """
    try:
        names = (qcow2 if head.startswith(qcow2.MAGIC) else vmdk).names(head)
    except ValueError:
        return "", ()
    folder = posixpath.join(top, posixpath.dirname(path))
    found = (posixpath.normpath(posixpath.join(folder, name)) for _, name in names)
    inside = f"{top.rstrip('/')}/"
    relative = (name.removeprefix(inside) if name.startswith(inside) else name for name in found)
    others = tuple(dict.fromkeys(name for name in relative if name != path))
    whats = {what for what, _ in names}
    return whats.pop() if len(whats) == 1 else "more file", others
