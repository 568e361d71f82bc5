"""Whether a defragmentation schedule will have anything to do, and what it does besides."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.core import compression
from reconciler.core.facts import SharedBelow, TreeOf
from reconciler.core.model import Note

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.core.facts import Location, Sharing
    from reconciler.core.outlook import Outlook
    from reconciler.core.snapshot import Snapshot
    from reconciler.core.tree import Tree

_IDLE = Note(
    "nocow files that no snapshot shares stay in one piece: nothing for this schedule to do", "V309"
)
_EMPTY = Note(
    "new files will be nocow, and stay in one piece while no snapshot shares them: nothing for "
    "this schedule to do",
    "V309",
)
_WILL_BE_IDLE = Note(
    "the images become nocow, and stay in one piece while no snapshot shares them: nothing will be "
    "left for this schedule to do",
    "V309",
)


def worth(where: Location, nocow: bool, see: Snapshot) -> Iterator[Note]:
    """``nocow``: the same path is declared so. ``holds`` says which of the notes stay."""
    tree = see.maybe(TreeOf(where.path))
    sharing = see.maybe(SharedBelow(where.path)) if tree and tree.files else None
    shared = bool(sharing and (sharing.shared or sharing.unseen))
    if tree and not tree.files and nocow:
        yield _EMPTY
        return
    if tree and not shared and _idle(tree, sharing):
        yield _IDLE
        return
    if nocow and sharing and not shared:
        yield _WILL_BE_IDLE
    if token := compression.live(where.path, see):
        yield Note(f"mounted with {token}: what a run rewrites, it compresses", "V312")


def _idle(tree: Tree, sharing: Sharing | None) -> bool:
    """All that a run would find is nocow."""
    all_nocow = tree.nocow_only or not tree.data_files
    return bool(sharing and sharing.nocow_only and all_nocow)


def holds(path: str, note: Note, outlook: Outlook) -> bool:
    """Once the plan is done: what the images become, and whether compression stays on."""
    if note == _EMPTY:
        return outlook.is_nocow(path)
    if note == _WILL_BE_IDLE:
        return outlook.rewrites(path)
    return note.code != "V312" or outlook.compresses(path)
