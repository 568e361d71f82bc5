"""The block devices below a Btrfs, as sysfs has them (Documentation/block/stat.rst)."""

from __future__ import annotations

import os

from reconciler.host import files

_SECTOR = 512


def folders(uuid: str) -> tuple[str, ...]:
    """A folder in sysfs for each device of a mounted filesystem; none where it is not shown."""
    above = f"/sys/fs/btrfs/{uuid}/devices"
    try:
        return tuple(f"{above}/{name}" for name in sorted(os.listdir(above)))
    except OSError:
        return ()


def written(of: tuple[str, ...]) -> int | None:
    """Bytes ever written to the devices together; None where one does not say."""
    total = 0
    for folder in of:
        fields = files.read_gone(f"{folder}/stat").split()
        if len(fields) < 7:  # noqa: PLR2004 - the seventh is sectors written
            return None
        total += int(fields[6]) * _SECTOR
    return total if of else None


def rotational(of: tuple[str, ...]) -> bool | None:
    """Whether any of them turns; None where one does not say."""
    found = [_turns(os.path.realpath(folder)) for folder in of]
    return None if not found or None in found else any(found)


def _turns(folder: str) -> bool | None:
    """A partition's queue is that of its disk."""
    for place in (folder, os.path.dirname(folder)):
        if said := files.read_gone(f"{place}/queue/rotational").strip():
            return said == b"1"
    return None
