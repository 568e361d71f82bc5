"""Waiting for another run to end, and for a short look at an image to be over."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from reconciler.commands import looking
from reconciler.commands import plan as planning
from reconciler.core import shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from reconciler.commands.load import Loaded
    from reconciler.console import Terminal
    from reconciler.core.model import Plan
    from reconciler.core.snapshot import Snapshot

_PAUSES = (0.05, 0.1, 0.2, 0.3, 0.4)
"""Seconds between looks: who has an image open for longer than all of them is no passer-by."""


def telling(terminal: Terminal) -> Callable[[str, float], None]:
    """Make what tells the user whose run is waited for, once for each holder of the lock."""

    def tell(holder: str, seconds: float) -> None:
        terminal.progress(
            f"waiting for another vmtune to end ({holder}), for up to {seconds:.0f} seconds"
        )
        terminal.event("waiting", holder=holder, seconds=round(seconds))

    return tell


def settled(terminal: Terminal, loaded: Loaded, then: Plan) -> tuple[Plan, Snapshot]:
    """Plan again; look a second time where an image is open that nobody had open before.

    Backups, lsattr and other runs of vmtune open each image for a moment.
    """
    see = looking.look(terminal)
    now = planning.make(loaded, see)
    for pause in _PAUSES:
        if not shown.opened(then, now):
            break
        time.sleep(pause)
        see = looking.look(terminal)
        now = planning.make(loaded, see)
    return now, see
