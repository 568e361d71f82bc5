"""Which files an image is made of, as its header says.

FORMATS has the formats in which QEMU follows a name. QEMU refuses VDI and VHDX images that have a
parent, and reads a VPC image without its own: for a virtual machine here, these are one file each.
A format that QEMU does not follow is none for here; docs/design.md names those.

A format more is a line of FORMATS, and a function that reads its names from the first HEAD bytes
(64 KiB). `vmtune init` then finds its files by their suffixes.
Where names lie further behind, `_parts` of resources/images/scan.py reads more. Tests: the lists of
tests/unit/formats/test_image_file.py for the header, and a row of CHAINS in
tests/btrfs/images/test_image_formats.py, where qemu-img is the judge. A header of fewer than
SMALLEST bytes is never looked at. A new word for what is named ("backing file") is a field of
``Parts`` of facts/tree.py, and is in the paragraph of V705.

qemu-img(1) would say all that too, but opens whatever an image names, and the image
may come from anyone. Here at most the bytes given are read, and no other file.

Sources: docs/interop/qcow2.txt and qed_spec.txt of QEMU; VMware's "Virtual Disk Format 5.0", and
block/vmdk.c of QEMU, for which file counts where.
"""

from __future__ import annotations

import posixpath
import re
import struct
from typing import TYPE_CHECKING, Any

from reconciler.value import Value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


MAGIC = 8
"""Bytes that tell whether a file may name others."""

SMALLEST = 48
"""Bytes of the smallest file that names others: the header of a qcow image of version 1."""

HEAD = 64 << 10
"""Bytes of an image that are read, to see which files it names."""


class Format(Value):
    """What tells an image of one format, and who reads the names in its header.

    ``magics`` are what its file may begin with, at most MAGIC bytes each. ``names`` takes the first
    HEAD bytes; it gives what each file is that the image names, and its name. It raises ValueError
    where the header is cut off or damaged. ``suffixes`` end the names of its files, in small
    letters.
    """

    name: str
    magics: tuple[bytes, ...]
    names: Callable[[bytes], tuple[tuple[str, str], ...]]
    suffixes: tuple[str, ...]


def is_known(start: bytes) -> bool:
    """Whether the first MAGIC bytes are those of a format that is read here."""
    return any(start.startswith(each.magics) for each in FORMATS)


def parts(head: bytes, path: str, top: str) -> tuple[str, tuple[str, ...]]:
    """What the other files are that ``path`` (relative to ``top``) names, and their paths.

    As ``placed`` gives them. A name that is no file of this host (``nbd://...``)
    is left out, and so is all that a damaged header may mean.
    """
    form = next((each for each in FORMATS if head.startswith(each.magics)), None)
    try:
        names = form.names(head) if form else ()
    except ValueError:
        names = ()
    if not names:
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


LONGEST = 4095
"""Bytes of a name that QEMU takes, where the format does not forbid it."""

_STRING = re.compile(
    r"""
    "(?:[^"\\]|\\.)*"
    | '(?:[^'\\]|\\.)*'
    | ["'].*  # one that does not end: the rest, or each quote in it would be tried
    """,
    re.DOTALL | re.VERBOSE,
)


def decoded(name: bytes) -> str:
    """The name as a path. QEMU's are C strings: the first NUL ends one, whatever length is said."""
    return name.partition(b"\0")[0].decode("utf-8", "surrogateescape")


def files(name: str) -> tuple[str, ...]:
    """The paths that a name means: most often itself, none for ``nbd://...``.

    QEMU resolves a relative one after ``file:`` or in ``json:`` from where it was
    started, which no header says; it is given as it is.
    """
    if len(name) > LONGEST:
        return ()
    found: list[str] = []
    scheme, colon, rest = name.partition(":")
    while scheme in {"blkdebug", "blkverify"} and colon:  # a filter: what it reads or compares
        first, _, name = rest.partition(":")
        found += [first] if scheme == "blkverify" else []
        scheme, colon, rest = name.partition(":")
    if not colon or "/" in scheme:
        found.append(name)
    elif scheme == "file":
        found.append(rest)
    elif scheme == "json":
        found += _in_json(rest)
    return tuple(dict.fromkeys(filter(_is_path, found)))


def _is_path(name: str) -> bool:
    """Not what only JSON can spell: a NUL, half of a surrogate pair."""
    try:
        return bool(name) and b"\0" not in name.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False


def _in_json(text: str) -> list[str]:
    """All files in a tree of block devices, whose keys may be nested or dotted; taken literally."""
    import json  # noqa: PLC0415 - hardly ever needed

    try:
        pending: list[Any] = [json.loads(_STRING.sub(_double_quoted, text))]
    except (ValueError, RecursionError):
        return []
    found = []
    while pending:
        node = pending.pop()
        if isinstance(node, dict):
            values = [(f".{key}", value) for key, value in node.items()]
            found += [v for k, v in values if k.endswith(".filename") and isinstance(v, str)]
            pending.extend(reversed(node.values()))
        elif isinstance(node, list):
            pending.extend(reversed(node))
    return found


def _double_quoted(found: re.Match[str]) -> str:
    """QEMU's JSON has strings in single quotes, too, as a shell makes one write them."""
    plain = {'"': '\\"', "\\'": "'"}
    inner = re.sub(r'\\.|"', lambda each: plain.get(each[0], each[0]), found[0][1:-1])
    return f'"{inner}"'


QCOW_MAGIC = b"QFI\xfb"

_QCOW_HEAD = struct.Struct(">4sIQI")  # magic, version, backing_file_offset, backing_file_size

_HEAD_V2 = 72  # its bytes; behind them, from version 3 on, are incompatible_features

_LENGTH_AT = 100  # header_length

_EXTERNAL_DATA, _DATA_FILE_NAME = 1 << 2, 0x44415441

_EXTENSION = struct.Struct(">II")  # type, length; the data is padded to 8 bytes


def qcow2_names(head: bytes) -> tuple[tuple[str, str], ...]:
    """Read, as ``Format.names``, the backing file and the data file."""
    try:
        magic, version, offset, size = _QCOW_HEAD.unpack_from(head)
        if magic != QCOW_MAGIC or version not in {1, 2, 3}:
            raise ValueError("no qcow image of version 1, 2 or 3")
        backing = text(head, offset, size, 1023) if offset else ""
        data = _data_file(head, offset) if version == 3 else ""  # noqa: PLR2004
    except struct.error:
        raise ValueError("the header is cut off") from None
    names = {"backing file": backing, "data file": data}
    return tuple((what, file) for what, name in names.items() for file in files(name))


def text(head: bytes, offset: int, size: int, most: int) -> str:
    """A name of ``size`` bytes; ValueError where that is more than ``most``, or not all there."""
    if size > most or offset + size > len(head):
        raise ValueError("a name that lies outside the header")
    return decoded(head[offset : offset + size])


def _data_file(head: bytes, backing: int) -> str:
    """From the header extension, where the feature bit says that the data is elsewhere."""
    if not struct.unpack_from(">Q", head, _HEAD_V2)[0] & _EXTERNAL_DATA:
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


QED_MAGIC = b"QED\0"

_QED_HEAD = struct.Struct(
    "<4s12xQ32x2I"
)  # magic, features, backing_filename_offset, backing_filename_size

_BACKING_FILE = 1


def qed_names(head: bytes) -> tuple[tuple[str, str], ...]:
    """Read, as ``Format.names``, the backing file."""
    try:
        magic, features, offset, size = _QED_HEAD.unpack_from(head)
    except struct.error:
        raise ValueError("the header is cut off") from None
    if magic != QED_MAGIC:
        raise ValueError("no QED image")
    if not features & _BACKING_FILE:  # what the other two say then means nothing
        return ()
    name = text(head, offset, size, LONGEST)
    return tuple(("backing file", file) for file in files(name))


SPARSE = b"KDMV"
"""An extent, which may have the descriptor inside."""

_TEXT = (b"#", b"version=")
"""A descriptor that is a file of its own."""

_FIRST = re.compile(
    rb"# Disk DescriptorFile|(?:#[^\n]*\n| *\r?\n)*version=[123]\r?\n", re.IGNORECASE
)

_VMDK_HEAD = struct.Struct("<12x4Q")  # in sectors: capacity, grain, descriptor and its size

_SECTOR = 512


def vmdk_names(head: bytes) -> tuple[tuple[str, str], ...]:
    """Read, as ``Format.names``, the extents and the backing file: at most a thousand."""
    text, apart = _descriptor(head)
    lines = text.decode("utf-8", "surrogateescape").split("\n")
    found = [row for line in lines for row in _named(line.strip(), apart)]
    return tuple(dict.fromkeys(found))[:1000]  # cut into 2 GiB files, a disk has 500 per TiB


def _descriptor(head: bytes) -> tuple[bytes, bool]:
    """It, and whether its extents are other files.

    Within an extent it names that one alone, by the name that it had when it was
    made: nobody goes by it. Without a capacity, nothing but a descriptor is there.
    """
    apart = True
    if head.startswith(SPARSE):
        if len(head) < _VMDK_HEAD.size:
            raise ValueError("the header is cut off")
        capacity, _, at, size = _VMDK_HEAD.unpack_from(head)
        head, apart = head[at * _SECTOR : (at + size) * _SECTOR], not capacity
    text = head.partition(b"\0")[0]
    if not _FIRST.match(text):
        raise ValueError("no descriptor of a VMDK image")
    return text, apart


def _named(line: str, apart: bool) -> Iterator[tuple[str, str]]:
    """``RW 4192256 SPARSE "disk-s001.vmdk"``, ``parentFileNameHint="base.vmdk"``."""
    if line.startswith(("RW", "RDONLY", "NOACCESS")):
        words = line.split('"')
        if apart and len(words) > 2 and words[1]:  # noqa: PLR2004 - before, between and behind the quotes
            yield "extent", words[1]
    elif line.lower().startswith("parentfilenamehint"):
        name = line.partition("=")[2].strip().strip('"')
        yield from (("backing file", each) for each in files(name))


FORMATS = (
    Format("qcow", (QCOW_MAGIC,), qcow2_names, (".qcow",)),
    Format("qcow2", (QCOW_MAGIC,), qcow2_names, (".qcow2",)),
    Format("QED", (QED_MAGIC,), qed_names, (".qed",)),
    Format("VMDK", (SPARSE, *_TEXT), vmdk_names, (".vmdk",)),
)
"""Every format that can name another file; `vmtune init` finds its files by ``suffixes``."""

SUFFIXES = tuple(suffix for each in FORMATS for suffix in each.suffixes)
