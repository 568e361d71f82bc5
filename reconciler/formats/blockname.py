"""What a name within an image means to QEMU: which files of this host.

Source: bdrv_get_full_backing_filename() and qobject/json-lexer.c of QEMU, and what
qemu-img(1) opened (tests/btrfs/test_image_names.py).
"""

from __future__ import annotations

import re
from typing import Any

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
