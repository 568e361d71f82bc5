"""Every place that can be put, and who puts it: the only way to change the host."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from reconciler.engine import directory as directory_place
from reconciler.engine import subvolume as subvolume_places
from reconciler.engine.reporter import NOBODY
from reconciler.errors import HostError
from reconciler.linux import cron, directory, files, systemd
from reconciler.resources.compression import linux as compression_linux
from reconciler.resources.compression import places as compression_places
from reconciler.resources.defrag import linux as defrag_linux
from reconciler.resources.defrag import places as defrag_places
from reconciler.resources.images import places as images_places
from reconciler.resources.images import stale_copies
from reconciler.resources.mount import linux as mount_linux
from reconciler.resources.mount import places as mount_places
from reconciler.resources.nocow import linux as nocow_linux
from reconciler.resources.nocow import places as nocow_places

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from reconciler.engine import place as places
    from reconciler.engine.reporter import Reporter
    from reconciler.facts.tree import NameList


WRITERS: dict[type[places.Place[Any]], Callable[[Any, Any, Any], None]] = {
    compression_places.PropertyBelow: lambda place, _have, want: compression_linux.put_property(
        place, want
    ),
    nocow_places.Below: lambda place, _have, want: nocow_linux.put_nocow(place, want),
    directory_place.Directory: directory.put,
    mount_places.FstabOptions: mount_linux.put,
    mount_places.LiveOption: mount_linux.put_live,
    defrag_places.TextFile: defrag_linux.put,
    defrag_places.Timer: lambda place, _have, want: systemd.put_timer(place.unit, want),
    defrag_places.UnitFile: defrag_linux.put,
    images_places.Strays: lambda place, have, want: stale_copies.put(place.path, have, want),
}


def _rewrite(place: images_places.Images, have: NameList, want: Any, watch: Reporter) -> None:
    from reconciler.resources.images import worklist  # noqa: PLC0415 - it loads what makes threads

    worklist.put(place, have, want, watch)


def _turn(place: subvolume_places.Subvolume, have: str, want: str, watch: Reporter) -> None:
    from reconciler.resources.subvolume import convert as subvolume_convert  # noqa: PLC0415 - few directories are turned

    subvolume_convert.put(place, have, want, watch)


LONG_WRITERS: dict[type[places.Place[Any]], Callable[[Any, Any, Any, Reporter], None]] = {
    images_places.Images: _rewrite,
    subvolume_places.Subvolume: _turn,
}
"""Those that may take minutes: they say how far they are, and can be stopped."""

POKES: dict[str, Callable[[], None]] = {"systemctl daemon-reload": systemd.reload}


def put(place: places.Place[Any], have: Any, want: Any, watch: Reporter = NOBODY) -> None:
    """Change one place; Refused says what stood in the way, Stopped that it was ended as asked."""
    with _refusing(getattr(place, "path", place.label)):
        if type(place) in LONG_WRITERS:
            LONG_WRITERS[type(place)](place, have, want, watch)
        else:
            WRITERS[type(place)](place, have, want)


@contextmanager
def _refusing(where: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        named = error.filename if isinstance(error.filename, str) else ""  # not a descriptor
        raise HostError(f"{named or where}: {error.strerror}") from error


def poke(name: str) -> None:
    """Do an effect that is no value; Refused says what stood in the way."""
    with _refusing(name):
        POKES[name]()


def sweep() -> None:
    """Take away what a run that was killed left half-written. Only for the holder of the lock."""
    state = os.path.dirname(mount_linux.BACKUP)
    folders = {os.path.dirname(os.path.realpath(mount_linux.PATH)), systemd.UNITS, cron.FOLDER}
    for folder in sorted({*folders, state, f"{state}/runs"}):
        with _refusing(folder):
            files.sweep(folder)


def settle(swapped: Iterable[places.Place[Any]]) -> None:
    """Have everything on disk: a power cut can bring back what was removed and not synced."""
    # The place itself, as it may be a mount point; one of each filesystem is enough.
    paths = {_nearest(getattr(place, "path", mount_linux.PATH)) for place in swapped}
    synced: set[int] = set()
    for path in sorted(paths):
        with _refusing(path):
            if (device := os.stat(path).st_dev) not in synced:
                files.sync_filesystem(path)
                synced.add(device)


def _nearest(path: str) -> str:
    """The path, or the directory above it that is there: what was removed is gone."""
    while not os.path.exists(path):
        path = os.path.dirname(path)
    return path
