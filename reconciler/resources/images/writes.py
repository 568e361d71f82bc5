"""The images below a directory, put: rewritten, with their machines saved and started again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.linux import saved_machines
from reconciler.resources.images import stale_copies, suspend, worklist
from reconciler.resources.images.places import (
    Image,
    Images,
    MachineImages,
    OneImage,
    SavedMachine,
    Strays,
)

if TYPE_CHECKING:
    from reconciler.engine.place import Writes


WRITES: Writes = {
    MachineImages: lambda place, _, __, reporter: suspend.put(place, reporter),
    SavedMachine: lambda place, _, __, reporter: suspend.start(place, reporter),
    Image: worklist.put,
    Images: worklist.put,
    OneImage: worklist.put,
    Strays: lambda place, have, want, _: stale_copies.put(place.path, have, want),
}


def sweep() -> None:
    """Take off the record what a run that was killed left on it, and is over."""
    if saved_machines.is_any():
        suspend.sweep()


def folders() -> set[str]:
    """Return the folders in which a kill may leave half a file."""
    return {saved_machines.FOLDER}
