"""Looking at the host, and saying so where that takes long: a million files take minutes."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from reconciler.core.snapshot import Snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.console import Terminal
    from reconciler.core.snapshot import Query

_PATIENCE = 1.0
"""Seconds without a word, and between two."""


def look(terminal: Terminal) -> Snapshot:
    """A snapshot of this host; a terminal is told what is looked at while that takes long."""
    from reconciler.host import readers  # noqa: PLC0415 - a mistake in the file is told before

    if terminal.quiet or not terminal.can_redraw:
        return readers.look()
    told = ""

    def read(query: Query[Any], see: Snapshot) -> Any:
        nonlocal told
        if told or not query.grows:
            return readers.read(query, see)
        told = getattr(query, "path", "")
        try:
            with _telling(terminal, told):
                return readers.read(query, see)
        finally:
            told = ""

    return Snapshot(read)


@contextmanager
def _telling(terminal: Terminal, path: str) -> Iterator[None]:
    from threading import Event, Thread  # noqa: PLC0415 - only for who sits at a terminal

    from reconciler.render import progress  # noqa: PLC0415 - the same

    over, since = Event(), time.monotonic()

    def tell() -> None:
        drawn = False
        while not over.wait(_PATIENCE):
            seconds = time.monotonic() - since
            terminal.redraw(progress.looking(path, seconds, terminal.width - 1))
            drawn = True
        if drawn:
            terminal.redraw("")

    teller = Thread(target=tell, daemon=True)
    teller.start()
    try:
        yield
    finally:
        over.set()
        teller.join()
