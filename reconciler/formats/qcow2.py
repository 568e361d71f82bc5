"""The header of a qcow or qcow2 image: its backing file and its external data file.

Source: docs/interop/qcow2.txt of QEMU; for version 1, block/qcow.c. All numbers are big-endian.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from reconciler.formats.blockname import decoded, files

if TYPE_CHECKING:
    from collections.abc import Iterator

MAGIC = b"QFI\xfb"
_LONGEST = 1023  # bytes of a backing file's name
_HEAD = struct.Struct(">4sIQI")  # magic, version, backing_file_offset, backing_file_size
_FEATURES = struct.Struct(">Q")  # incompatible_features, from version 3 on
_FEATURES_AT, _LENGTH_AT, _HEAD_V2 = 72, 100, 72
_EXTERNAL_DATA = 1 << 2
_DATA_FILE_NAME = 0x44415441
_EXTENSION = struct.Struct(">II")  # type, length; the data is padded to 8 bytes


def names(head: bytes) -> tuple[tuple[str, str], ...]:
    """What each file is that the image names, and as what: its backing file, its data file.

    ValueError where the header is cut off or damaged.
    """
    try:
        magic, version, offset, size = _HEAD.unpack_from(head)
        if magic != MAGIC or version not in {1, 2, 3}:
            raise ValueError("no qcow image of version 1, 2 or 3")
        backing = text(head, offset, size, _LONGEST) if offset else ""
        data = _data_file(head, offset) if version == 3 else ""  # noqa: PLR2004
    except struct.error:
        raise ValueError("the header is cut off") from None
    found = [("backing file", name) for name in files(backing)]
    return (*found, *(("data file", name) for name in files(data)))


def text(head: bytes, offset: int, size: int, most: int) -> str:
    """A name of ``size`` bytes; ValueError where that is more than ``most``, or not all there."""
    if size > most or offset + size > len(head):
        raise ValueError("a name that lies outside the header")
    return decoded(head[offset : offset + size])


def _data_file(head: bytes, backing: int) -> str:
    """From the header extension, where the feature bit says that the data is elsewhere."""
    if not _FEATURES.unpack_from(head, _FEATURES_AT)[0] & _EXTERNAL_DATA:
        return ""
    start = struct.unpack_from(">I", head, _LENGTH_AT)[0]
    found = (data for kind, data in _extensions(head, start, backing) if kind == _DATA_FILE_NAME)
    return decoded(next(found, b""))


def _extensions(head: bytes, at: int, end: int) -> Iterator[tuple[int, bytes]]:
    """Up to the backing file's name, which lies behind them, or the one of type 0."""
    if at < _HEAD_V2:
        raise ValueError("a header too short for its version")
    while at + _EXTENSION.size <= (end or len(head)):
        kind, length = _EXTENSION.unpack_from(head, at)
        at += _EXTENSION.size
        if not kind or at + length > len(head):
            return
        yield kind, head[at : at + length]
        at += -(-length // 8) * 8
