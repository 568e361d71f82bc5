"""The descriptor of a VMDK image: its extents and its parent.

It is a text file of its own, or lies within a sparse extent. Source: VMware's
"Virtual Disk Format 5.0".
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

SPARSE = b"KDMV"
_COMMENT = b"# Disk DescriptorFile"
_HEAD = struct.Struct("<4s2I4Q")  # magic, version, flags; in sectors: capacity, grain, descriptor
_SECTOR = 512
_MOST = 1000  # a disk cut into 2 GiB files has 500 of them per TiB
_ACCESS = ("RW", "RDONLY", "NOACCESS")


def is_descriptor(start: bytes) -> bool:
    """Whether a file that begins like this is a descriptor."""
    return start[: len(_COMMENT)].lower() == _COMMENT.lower()


def names(head: bytes) -> tuple[tuple[str, str], ...]:
    """What each file is that the image names, and as what: its extents, its backing file.

    At most a thousand. ValueError where it has no descriptor.
    """
    text = _descriptor(head).decode("utf-8", "surrogateescape")
    found = [row for line in text.split("\n") for row in _named(line.strip())]
    return tuple(dict.fromkeys(found))[:_MOST]


def _descriptor(head: bytes) -> bytes:
    if head.startswith(SPARSE):
        if len(head) < _HEAD.size:
            raise ValueError("the header is cut off")
        *_, at, size = _HEAD.unpack_from(head)
        head = head[at * _SECTOR : (at + size) * _SECTOR].rstrip(b"\0")
    if not is_descriptor(head) or b"\0" in head:
        raise ValueError("no descriptor of a VMDK image")
    return head


def _named(line: str) -> Iterator[tuple[str, str]]:
    """``RW 4192256 SPARSE "disk-s001.vmdk"``, ``parentFileNameHint="base.vmdk"``."""
    if line.startswith(_ACCESS):
        words = line.split('"')
        if len(words) > 2 and words[1]:  # noqa: PLR2004 - before, between and behind the quotes
            yield "extent", words[1]
    elif line.lower().startswith("parentfilenamehint"):
        name = line.partition("=")[2].strip().strip('"')
        if name:
            yield "backing file", name
