"""Every place that can be put, and who puts it: the only way to change the host."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from reconciler.core import images, places, subvolume
from reconciler.core.watch import NOBODY, Watch
from reconciler.host import files
from reconciler.host.directories import below, directory, strays
from reconciler.host.refused import Refused
from reconciler.host.system import cron, fstab, mounts, systemd, texts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from reconciler.core.standing import Standing

WRITERS: dict[type[places.Place[Any]], Callable[[Any, Any, Any], None]] = {
    images.PropertyBelow: lambda place, _have, want: below.put_property(place, want),
    places.Below: lambda place, _have, want: below.put_nocow(place, want),
    places.Directory: directory.put,
    places.FstabOptions: fstab.put,
    places.LiveOption: mounts.put_live,
    places.TextFile: texts.put,
    places.Timer: lambda place, _have, want: systemd.put_timer(place.unit, want),
    places.UnitFile: texts.put,
    images.Strays: lambda place, have, want: strays.put(place.path, have, want),
}


def _rewrite(place: images.Images, have: Standing, want: Any, watch: Watch) -> None:
    from reconciler.host.rewriting import images as room  # noqa: PLC0415 - it loads what makes threads

    room.put(place, have, want, watch)


def _turn(place: subvolume.Subvolume, have: str, want: str, watch: Watch) -> None:
    from reconciler.host.subvolumes import become  # noqa: PLC0415 - few directories are turned

    become.put(place, have, want, watch)


LONG_WRITERS: dict[type[places.Place[Any]], Callable[[Any, Any, Any, Watch], None]] = {
    images.Images: _rewrite,
    subvolume.Subvolume: _turn,
}
"""Those that may take minutes: they say how far they are, and can be stopped."""

POKES: dict[str, Callable[[], None]] = {"systemctl daemon-reload": systemd.reload}


def put(place: places.Place[Any], have: Any, want: Any, watch: Watch = NOBODY) -> None:
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
        raise Refused(f"{named or where}: {error.strerror}") from error


def poke(name: str) -> None:
    """Do an effect that is no value; Refused says what stood in the way."""
    with _refusing(name):
        POKES[name]()


def sweep() -> None:
    """Take away what a run that was killed left half-written. Only for the holder of the lock."""
    state = os.path.dirname(fstab.BACKUP)
    folders = {os.path.dirname(os.path.realpath(fstab.PATH)), systemd.UNITS, cron.FOLDER}
    for folder in sorted({*folders, state, f"{state}/runs"}):
        with _refusing(folder):
            files.sweep(folder)


def settle(swapped: Iterable[places.Place[Any]]) -> None:
    """Have everything on disk: a power cut can bring back what was removed and not synced."""
    # The place itself, as it may be a mount point; one of each filesystem is enough.
    paths = {_nearest(getattr(place, "path", fstab.PATH)) for place in swapped}
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
