"""Every place that can be put, and who puts it: the only way to change the host."""

from __future__ import annotations

import os
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from reconciler.engine.directory import Directory
from reconciler.engine.reporter import NOBODY
from reconciler.errors import HostError
from reconciler.linux import directory, files, managed_files, systemd
from reconciler.resources.registry import modules_of_kinds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from reconciler.engine.place import Place
    from reconciler.engine.reporter import Reporter


@cache
def writers() -> dict[type[Place[Any]], Callable[[Any, Any, Any, Reporter], str | None]]:
    """Return who puts each place; the writers of the kinds are loaded when the first is put."""
    return {
        Directory: lambda place, have, want, _: directory.put(place, have, want),
        **managed_files.WRITES,
        **{place: put for kind in modules_of_kinds("writes") for place, put in kind.WRITES.items()},
    }


NOTIFY: dict[str, Callable[[], None]] = {"systemctl daemon-reload": systemd.reload}


def put(place: Place[Any], have: Any, want: Any, reporter: Reporter = NOBODY) -> str:
    """Change one place.

    HostError says what stood in the way, Cancelled that the change was ended as asked.
    Return why another program, whose verdict is asked, could not verify the new value; else "".
    """
    with _refusing(getattr(place, "path", place.label)):
        return writers()[type(place)](place, have, want, reporter) or ""


@contextmanager
def _refusing(where: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        named = error.filename if isinstance(error.filename, str) else ""  # not a descriptor
        raise HostError(f"{named or where}: {error.strerror}") from error


def notify(name: str) -> None:
    """Do an effect that is no value; HostError says what stood in the way."""
    with _refusing(name):
        NOTIFY[name]()


def sweep() -> None:
    """Take away what a run that was killed left half-written. Only for the holder of the lock."""
    folders = {files.STATE, f"{files.STATE}/runs", *managed_files.FOLDERS}
    for kind in modules_of_kinds("writes"):
        folders |= getattr(kind, "folders", set)()
        getattr(kind, "sweep", lambda: None)()
    for folder in sorted(folders):
        with _refusing(folder):
            files.sweep(folder)


def settle(swapped: Iterable[Place[Any]]) -> None:
    """Have everything on disk: a power cut can bring back what was removed and not synced."""
    # The place itself, as it may be a mount point; one of each filesystem is enough.
    paths = {_nearest(getattr(place, "path", "/etc")) for place in swapped}
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
