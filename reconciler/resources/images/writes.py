"""The images below a directory, put: rewritten, with their machines saved and started again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reconciler.linux import saved_machines
from reconciler.resources.images import stale_copies
from reconciler.resources.images.places import (
    Image,
    Images,
    MachineImages,
    OneImage,
    SavedMachine,
    Strays,
)

if TYPE_CHECKING:
    from types import ModuleType

    from reconciler.engine.place import Writes
    from reconciler.engine.reporter import Reporter


def _rewrite(place: Images | Image, have: Any, want: Any, reporter: Reporter) -> None:
    from reconciler.resources.images import worklist  # noqa: PLC0415 - it loads what makes threads

    worklist.put(place, have, want, reporter)


def _suspend() -> ModuleType:
    """Load what asks libvirt late: few runs save a machine."""
    from reconciler.resources.images import suspend  # noqa: PLC0415 - see above

    return suspend


WRITES: Writes = {
    MachineImages: lambda place, _, __, reporter: _suspend().put(place, reporter),
    SavedMachine: lambda place, _, __, reporter: _suspend().start(place, reporter),
    Image: _rewrite,
    Images: _rewrite,
    OneImage: _rewrite,
    Strays: lambda place, have, want, _: stale_copies.put(place.path, have, want),
}


def sweep() -> None:
    """Take off the record what a run that was killed left on it, and is over."""
    if saved_machines.is_any():
        _suspend().sweep()


def folders() -> set[str]:
    """Return the folders in which a kill may leave half a file."""
    return {saved_machines.FOLDER}
