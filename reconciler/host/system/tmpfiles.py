"""tmpfiles.d(5): lines that an administrator wrote to have directories made nocow at boot."""

from __future__ import annotations

import os

from reconciler.core.discovery import TmpfilesLine
from reconciler.formats import tmpfiles
from reconciler.host import files

_FOLDER = "/etc/tmpfiles.d"
_LARGEST = 1 << 20


def lines() -> tuple[TmpfilesLine, ...]:
    """All of them, in the order in which systemd reads the files."""
    names = sorted(os.listdir(_FOLDER)) if os.path.isdir(_FOLDER) else []
    return tuple(
        TmpfilesLine(path, line.number, line.path)
        for path in (f"{_FOLDER}/{name}" for name in names if name.endswith(".conf"))
        for line in tmpfiles.nocow(_text(path))
    )


def _text(path: str) -> bytes:
    try:
        return files.start_of(path, _LARGEST)
    except OSError:
        return b""
