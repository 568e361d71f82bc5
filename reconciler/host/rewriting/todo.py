"""Which images below a directory are to be rewritten, found before the first one is."""

from __future__ import annotations

import json
import os
from tempfile import SpooledTemporaryFile
from typing import TYPE_CHECKING, Self

from reconciler.core.images import is_stray
from reconciler.host.directories import standing
from reconciler.host.directories.tree import Walk, entries, named
from reconciler.host.system import filesystems

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from reconciler.core.images import Images
    from reconciler.host.directories.tree import Entry

_IN_MEMORY = 1 << 20
"""Bytes of names that are kept there: more are in a file, as there may be a million."""


class Todo:
    """The files that are to be rewritten, found before the first is.

    While an image waits to be given up, no walk over a million others may keep its opener.
    """

    def __init__(self, place: Images) -> None:
        self._place = place
        self._spared = frozenset(place.spared)
        self._mounted = frozenset(mount.target for mount in filesystems.mounts())
        self.count = self.size = 0
        """How many, and the bytes that they have on disk."""

    def __enter__(self) -> Self:
        self._names = SpooledTemporaryFile(_IN_MEMORY)
        for entry in entries(self._place.path, self._walk()):
            if self._is_one(entry):
                self._names.write(json.dumps(entry.path).encode("ascii") + b"\n")
                self.count += 1
                self.size += entry.status.st_blocks * 512
        return self

    def __exit__(self, *_: object) -> None:
        self._names.close()

    def entries(self, before_each: Callable[[], None]) -> Iterator[Entry]:
        """Those that are still there and still so, each open."""
        self._names.seek(0)

        def names() -> Iterator[str]:
            for line in self._names:
                before_each()
                yield json.loads(line)

        return filter(self._is_one, named(self._place.path, names(), self._walk()))

    def _walk(self) -> Walk:
        return Walk(frozenset(self._place.apart), self._mounted)

    def _is_one(self, entry: Entry) -> bool:
        if is_stray(os.path.basename(entry.path)) or entry.path in self._spared:
            return False
        return standing.differs(entry.fd, entry.status, self._place.aim)
