"""Programs that take snapshots by schedule: the ones to come count as much as those there are."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from reconciler.formats import btrbk
from reconciler.host import files
from reconciler.host.kernel import btrfs, inode

if TYPE_CHECKING:
    from collections.abc import Iterator

_SNAPPER = "/etc/snapper/configs"
_TIMESHIFT = "/etc/timeshift/timeshift.json"
_SUBVOLUME = rb'(?m)^\s*SUBVOLUME="?([^"\n]*)"?'
_BTRBK = ("/etc/btrbk/btrbk.conf", "/etc/btrbk.conf")


def of(subvolume: int) -> Iterator[str]:
    """Which of them snapshot the subvolume with this identifier, in words."""
    for name, file, path in tools():
        if _identifier(path) == subvolume:
            yield f"{name} ({file}) snapshots its subvolume"


def tools() -> Iterator[tuple[str, str, str]]:
    """Program, file and path of each subvolume it snapshots, as far as files may be read."""
    for path in files.listed(_SNAPPER):
        for found in re.findall(_SUBVOLUME, files.read_gone(path)):
            yield "snapper", path, found.decode("utf-8", "surrogateescape")
    for path in _timeshift():
        yield "Timeshift", _TIMESHIFT, path
    for file in _BTRBK:
        if data := files.read_gone(file):
            yield from _btrbk(file, data)


def _btrbk(file: str, data: bytes) -> Iterator[tuple[str, str, str]]:
    import glob  # noqa: PLC0415 - hosts with btrbk pay for it

    for pattern in btrbk.subvolumes(data):
        for path in sorted(glob.glob(pattern)):
            yield "btrbk", file, path


def closed() -> str:
    """The first of their files that may not be read from here; "" when all may."""
    for path in (*files.listed(_SNAPPER), _TIMESHIFT, *_BTRBK):
        if os.path.exists(path) and not os.access(path, os.R_OK):
            return path
    is_closed = os.path.isdir(_SNAPPER) and not os.access(_SNAPPER, os.R_OK | os.X_OK)
    return _SNAPPER if is_closed else ""


def _timeshift() -> Iterator[str]:
    """It snapshots @, and @home where that is asked for; in its other mode it uses rsync."""
    data = files.read_gone(_TIMESHIFT)
    if not data:
        return
    import json  # noqa: PLC0415 - hosts with Timeshift pay for it

    try:
        settings = json.loads(data)
    except (ValueError, RecursionError):
        return
    if isinstance(settings, dict) and settings.get("btrfs_mode") == "true":
        yield "/"
        if settings.get("include_btrfs_home_for_backup") == "true":
            yield "/home"


def _identifier(path: str) -> int | None:
    try:
        with inode.opened(path) as fd:
            return btrfs.subvolume(fd).identifier
    except OSError:
        return None
