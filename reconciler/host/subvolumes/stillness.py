"""A tree that is watched: what shows that somebody used it since it was looked at."""

from __future__ import annotations

import os

from reconciler.host.kernel import lease
from reconciler.host.subvolumes import subtree
from reconciler.host.subvolumes.subtree import Survey, joined
from reconciler.value import dataclass, field


@dataclass(slots=True)
class Watched:
    """What was found below a directory, and write leases on its files by inode number."""

    top: int
    found: Survey
    leases: dict[int, int] = field(default_factory=dict)

    def used(self) -> str:
        """What was changed, opened or entered since, in words; "" where nothing was."""
        return self._changed() or self._opened() or subtree.used(self.found, self.top)

    def _changed(self) -> str:
        now = subtree.survey(self.top)
        if beyond := (*now.subvolumes, *now.unseen):
            return f"{beyond[0]} is new"
        before = self.found.folders
        for folder in {*before, *now.folders}:
            one, other = before.get(folder, {}), now.folders.get(folder, {})
            if one != other:
                names = (n for n in {*one, *other} if one.get(n) != other.get(n))
                return f"{joined(folder, min(names))} changed"
        return ""

    def _opened(self) -> str:
        number = next((n for n, fd in self.leases.items() if not lease.kept(fd)), 0)
        return next((f"{p} was opened" for p, e in self.found.every() if e.number == number), "")

    def release(self) -> None:
        """Whoever waits to open one of the files goes on."""
        while self.leases:
            os.close(self.leases.popitem()[1])
