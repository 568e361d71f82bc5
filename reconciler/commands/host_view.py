"""Looking at the host, and saying so where that takes long: a million files take minutes."""

from __future__ import annotations

import time
from contextlib import contextmanager
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

from reconciler.facts.host_view import HostView
from reconciler.report import progress as progress_report

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.console import Terminal
    from reconciler.facts.host_view import Fact


_PATIENCE = 1.0
"""Seconds without a word, and between two."""


def look(terminal: Terminal) -> HostView:
    """A snapshot of this host; a terminal is told what is looked at while that takes long."""
    from reconciler.resources import reads  # noqa: PLC0415 - a mistake in the file is told before

    if terminal.quiet or not terminal.can_redraw:
        return reads.look()
    told = ""

    def read(query: Fact[Any], host: HostView) -> Any:
        nonlocal told
        if told or not query.grows:
            return reads.read(query, host)
        told = getattr(query, "path", "")
        try:
            with _telling(terminal, told):
                return reads.read(query, host)
        finally:
            told = ""

    return HostView(read)


@contextmanager
def _telling(terminal: Terminal, path: str) -> Iterator[None]:
    over, since = Event(), time.monotonic()

    def tell() -> None:
        drawn = False
        while not over.wait(_PATIENCE):
            seconds = time.monotonic() - since
            terminal.redraw(progress_report.looking(path, seconds, terminal.width_beside - 1))
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
