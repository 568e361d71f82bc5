"""The header of a qcow2 image: its backing file and its external data file.

Source: docs/interop/qcow2.txt of QEMU. All numbers are big-endian.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

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
        if magic != MAGIC or version not in {2, 3}:
            raise ValueError("no qcow2 image of version 2 or 3")
        backing = _text(head, offset, size) if offset else ""
        data = _data_file(head, offset) if version == 3 else ""  # noqa: PLR2004
    except struct.error:
        raise ValueError("the header is cut off") from None
    found = (("backing file", _file(backing)), ("data file", _file(data)))
    return tuple((what, name) for what, name in found if name)


def _text(head: bytes, offset: int, size: int) -> str:
    if size > _LONGEST or offset + size > len(head):
        raise ValueError("a name that lies outside the header")
    return _decoded(head[offset : offset + size])


def _decoded(name: bytes) -> str:
    if b"\0" in name:
        raise ValueError("a name with a NUL byte")
    return name.decode("utf-8", "surrogateescape")


def _data_file(head: bytes, backing: int) -> str:
    """From the header extension, where the feature bit says that the data is elsewhere."""
    if not _FEATURES.unpack_from(head, _FEATURES_AT)[0] & _EXTERNAL_DATA:
        return ""
    start = struct.unpack_from(">I", head, _LENGTH_AT)[0]
    found = (data for kind, data in _extensions(head, start, backing) if kind == _DATA_FILE_NAME)
    return _decoded(next(found, b""))


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


def _file(name: str) -> str:
    """The file that a name of QEMU means on this host; "" where it means none (nbd://)."""
    if name.startswith("json:"):
        import json  # noqa: PLC0415 - hardly ever needed

        try:
            return _file_of(json.loads(name.removeprefix("json:")))
        except (ValueError, RecursionError):
            return ""
    name = name.removeprefix("file:")
    scheme, colon, _ = name.partition(":")
    return "" if colon and "/" not in scheme else name


def _file_of(node: Any) -> str:
    """From a tree of block devices: the innermost file; keys may be nested or dotted."""
    while isinstance(node, dict):
        for key in ("filename", "file.filename"):
            if isinstance(node.get(key), str) and "\0" not in node[key]:
                return str(node[key])
        node = node.get("file")
    return ""
