"""The host as the plan will leave it, also once everybody has let go of what is used.

A kind looks at the host as it is, and at its own entry. Whether a directory of
images is nocow once all is done, and compression off, is for other kinds to
say, and they may refuse.

A refused row says whether a use is all that is in the way (``Change.waits``). The kinds know
that; here nothing knows a kind.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from reconciler.engine import restore
from reconciler.engine.directory import Directory, alike
from reconciler.engine.order import in_turn
from reconciler.facts import compression
from reconciler.facts.diagnostics import COST, WHY, Note, Op
from reconciler.facts.host import Locate, Mounts, SharedBelow, TreeOf
from reconciler.formats import mountinfo

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reconciler.engine.directory import Folder
    from reconciler.engine.model import Change, Plan, Wait
    from reconciler.engine.place import Place
    from reconciler.facts.host_view import HostView
    from reconciler.facts.tree import Tree


V = TypeVar("V")


class Outlook:
    """What places will hold, whichever kind wants it; ``see`` is how the host is now."""

    def __init__(self, host: HostView, goals: Mapping[Place[Any], Any]) -> None:
        self.host = host
        self._goals = goals

    def __call__(self, place: Place[V]) -> V | None:
        """None where that cannot be seen."""
        wanted: V | None = self._goals[place] if place in self._goals else self.host.maybe(place)
        return wanted

    def is_all_nocow(self, path: str, apart: tuple[str, ...]) -> bool:
        """As is_nocow, and nothing lies below but what was looked at."""
        tree = self._tree(path, apart)
        is_whole = tree and not (tree.subvolumes or tree.mounts or tree.unseen.count)
        return bool(is_whole) and self.is_nocow(path, apart)

    def is_nocow(self, path: str, apart: tuple[str, ...] = ()) -> bool:
        """The declared directory will be, and no file below that can be seen stays otherwise."""
        folder, tree = self._folder(path), self._tree(path, apart)
        if tree is None or not folder or not folder.nocow:
            return False
        return not tree.cow.count or self.rewrites(path)

    def rewrites(self, path: str) -> bool:
        """All of its images become nocow, and none is left as it is."""
        where = self.host(Locate(path)).path
        return any(place.makes_images_nocow(where) for place in self._goals)

    def stays_shared(self, path: str) -> bool:
        """Some data below the path will be shared with snapshots or clones all the same."""
        where = self.host(Locate(path)).path
        sharing = self.host.maybe(SharedBelow(where))
        ended = sum(place.ends_sharing(where, self.host) for place in self._goals)
        return sharing is None or sharing.shared > ended

    def compresses(self, path: str) -> bool:
        """What is written below the declared directory will be compressed by the mount option."""
        where = self.host(Locate(path)).path
        token, folder = self._option(where), self._folder(path)
        is_spared = folder and alike(folder.compression, "none") and "-force" not in token
        return bool(token) and not is_spared and not self.is_nocow(path)

    def _option(self, path: str) -> str:
        mounts = self.host(Mounts())
        mount = mountinfo.containing(mounts, path)
        same = {other.target for other in mounts if mount and other.device == mount.device}
        for place, want in self._goals.items():
            if (token := place.compress_option(same, want)) is not None:
                return token
        return compression.live(path, self.host)

    def _folder(self, path: str) -> Folder | None:
        where = self.host.maybe(Locate(path))
        return self(Directory(where.path)) if where else None

    def _tree(self, path: str, apart: tuple[str, ...]) -> Tree | None:
        where = self.host.maybe(Locate(path))
        return self.host.maybe(TreeOf(where.path, apart)) if where else None


def awaited(plan: Plan) -> tuple[Wait, ...]:
    """Return what is refused only because of a use, in the order of the rows."""
    return tuple(wait for row in plan.changes for wait in row.waits)


def expected(plan: Plan) -> Plan:
    """Return the plan with what is awaited as changes, to be done behind all others."""
    rows = [_changed(row) if row.waits else row for row in plan.changes]
    actions = (*plan.actions, *(wait.swap for wait in awaited(plan)))
    return replace(plan, changes=in_turn(rows, actions), actions=actions)


def _changed(row: Change) -> Change:
    why = row.waits[0].why
    if more := len(row.waits) - 1:
        why = f"{why} (and {more:,} more)"
    swaps = tuple(wait.swap for wait in row.waits)
    cost = [Note("`revert` cannot take this back", label=COST)]
    cost *= any(map(restore.is_final, swaps))
    takes = row.waits[0].notes if len(row.waits) == 1 else ()
    notes = (Note(why, label=WHY), *row.notes, *takes, *cost)
    text = "done as soon as it is let go"
    return replace(row, op=Op.CHANGE, text=text, hint="", swaps=swaps, notes=notes)
