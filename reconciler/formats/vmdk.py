"""The descriptor of a VMDK image: its extents and its parent.

It is a text file of its own, or lies within a sparse extent. Source: VMware's
"Virtual Disk Format 5.0"; block/vmdk.c of QEMU, for which of it counts where.
"""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING

from reconciler.formats.blockname import files

if TYPE_CHECKING:
    from collections.abc import Iterator

SPARSE = b"KDMV"
_TEXT = (b"#", b"version=")
_FIRST = re.compile(
    rb"# Disk DescriptorFile|(?:#[^\n]*\n| *\r?\n)*version=[123]\r?\n", re.IGNORECASE
)
_HEAD = struct.Struct("<4s2I4Q")  # magic, version, flags; in sectors: capacity, grain, descriptor
_SECTOR = 512
_MOST = 1000  # a disk cut into 2 GiB files has 500 of them per TiB
_ACCESS = ("RW", "RDONLY", "NOACCESS")


def is_known(start: bytes) -> bool:
    """Whether a file that begins like this may be one: a descriptor or an extent that has one."""
    return start.startswith((SPARSE, *_TEXT))


def names(head: bytes) -> tuple[tuple[str, str], ...]:
    """What each file is that the image names, and as what: its extents, its backing file.

    At most a thousand. ValueError where it has no descriptor.
    """
    text, apart = _descriptor(head)
    lines = text.decode("utf-8", "surrogateescape").split("\n")
    found = [row for line in lines for row in _named(line.strip(), apart)]
    return tuple(dict.fromkeys(found))[:_MOST]


def _descriptor(head: bytes) -> tuple[bytes, bool]:
    """It, and whether its extents are other files.

    Within an extent it names that one alone, by the name that it had when it was
    made: nobody goes by it. Without a capacity, nothing but a descriptor is there.
    """
    apart = True
    if head.startswith(SPARSE):
        if len(head) < _HEAD.size:
            raise ValueError("the header is cut off")
        _, _, _, capacity, _, at, size = _HEAD.unpack_from(head)
        head, apart = head[at * _SECTOR : (at + size) * _SECTOR], not capacity
    text = head.partition(b"\0")[0]
    if not _FIRST.match(text):
        raise ValueError("no descriptor of a VMDK image")
    return text, apart


def _named(line: str, apart: bool) -> Iterator[tuple[str, str]]:
    """``RW 4192256 SPARSE "disk-s001.vmdk"``, ``parentFileNameHint="base.vmdk"``."""
    if line.startswith(_ACCESS):
        words = line.split('"')
        if apart and len(words) > 2 and words[1]:  # noqa: PLR2004 - before, between and behind the quotes
            yield "extent", words[1]
    elif line.lower().startswith("parentfilenamehint"):
        name = line.partition("=")[2].strip().strip('"')
        yield from (("backing file", each) for each in files(name))
