"""Programs that take snapshots by schedule: the ones to come count as much as those there are."""

from __future__ import annotations

import glob
import json
import re
from typing import TYPE_CHECKING

from reconciler.host import btrfs, files, inode

if TYPE_CHECKING:
    from collections.abc import Iterator

_SNAPPER = "/etc/snapper/configs/*"
_TIMESHIFT = "/etc/timeshift/timeshift.json"
_SUBVOLUME = re.compile(rb'^\s*SUBVOLUME="?([^"\n]*)"?', re.MULTILINE)


def of(subvolume: int) -> Iterator[str]:
    """Which of them snapshot the subvolume with this identifier, in words."""
    for path in sorted(glob.glob(_SNAPPER)):
        for found in _SUBVOLUME.findall(files.read_gone(path)):
            if _identifier(found.decode("utf-8", "surrogateescape")) == subvolume:
                yield f"snapper ({path}) snapshots its subvolume"
    if _timeshift() and _identifier("/") == subvolume:
        yield f"Timeshift ({_TIMESHIFT}) snapshots its subvolume"


def _timeshift() -> bool:
    try:
        settings = json.loads(files.read_gone(_TIMESHIFT) or b"{}")
    except ValueError:
        return False
    return isinstance(settings, dict) and settings.get("btrfs_mode") == "true"


def _identifier(path: str) -> int | None:
    try:
        with inode.opened(path) as fd:
            return btrfs.subvolume(fd).identifier
    except OSError:
        return None
