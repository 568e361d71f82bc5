"""Files that are wholly vmtune's: unit files and crontabs in /etc/cron.d."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from reconciler.engine.schedule import TextFile, Timer, UnitFile
from reconciler.errors import HostError
from reconciler.facts.host import OwnFiles
from reconciler.facts.host_view import NotVisible
from reconciler.formats import calendar
from reconciler.linux import cron, files, systemd

if TYPE_CHECKING:
    from reconciler.engine.place import Reads, Writes


def look(path: str) -> str | None:
    """The text, with bytes that are not UTF-8 kept as surrogates; None when there is no file."""
    try:
        data = files.read(path)
    except PermissionError:
        raise NotVisible(f"{path} is not readable") from None
    return None if data is None else data.decode("utf-8", "surrogateescape")


def put(place: TextFile, have: str | None, want: str | None) -> None:
    """Write or remove the file; one that vmtune did not make is left alone."""
    if have is not None and not calendar.is_ours(have.encode("utf-8", "surrogateescape")):
        raise HostError(f"{place.path} was not made by vmtune, and stays as it is")
    if want is None:
        files.remove(place.path)
    else:
        files.replace(place.path, want.encode("utf-8", "surrogateescape"))


def own() -> tuple[str, ...]:
    """Files whose first line says that vmtune made them, by that line and their name."""
    paths = (
        f"{folder}/{name}"
        for folder in (systemd.UNITS, cron.FOLDER)
        if os.path.isdir(folder)
        for name in sorted(os.listdir(folder))
        if name.startswith("vmtune-")
    )
    return tuple(path for path in paths if calendar.is_ours(files.read_gone(path)))


READS: Reads = {
    OwnFiles: lambda _, __: own(),
    TextFile: lambda q, _: look(q.path),
    Timer: lambda q, host: systemd.timer(q.unit, systemd.properties(q.unit, host)),
    UnitFile: lambda q, _: look(q.path),
}

WRITES: Writes = {
    TextFile: lambda place, have, want, _: put(place, have, want),
    Timer: lambda place, _, want, __: systemd.put_timer(place.unit, want),
    UnitFile: lambda place, have, want, _: put(place, have, want),
}

FOLDERS = (systemd.UNITS, cron.FOLDER)
"""Folders in which a put that was killed leaves a file half-written."""
