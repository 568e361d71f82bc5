"""What a path has to do with the configuration: its entries, and the rows of a plan about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from reconciler.core.item import Item
    from reconciler.core.model import Change


def entries(items: Sequence[Item], path: str) -> tuple[Item, ...]:
    """Those of the path itself, else the nearest ones of ``paths`` and ``defrag`` above it."""
    own = tuple(item for item in items if item.path == path)
    if own:
        return own
    nearest: dict[str, Item] = {}
    for item in items:
        known = nearest.get(item.section)
        if (
            item.section != "mounts"
            and below(item, path)
            and (not known or len(known.path) < len(item.path))
        ):
            nearest[item.section] = item
    return tuple(nearest.values())


def below(item: Item, path: str) -> str:
    """The path as seen from the entry's; "" for the entry's own, and for what lies elsewhere."""
    above = item.path.rstrip("/") + "/"
    return path.removeprefix(above) if path.startswith(above) else ""


def inside(of: Sequence[Item], path: str) -> str:
    """The path as seen from the first of the entries that it lies below; "" for an entry's own."""
    return next((name for item in of if (name := below(item, path))), "")


def rows(changes: Iterable[Change], of: Sequence[Item], path: str) -> tuple[Change, ...]:
    """Those about the path by its name; without any, those of its entries as a whole."""
    origins = {item.origin for item in of}
    mine = [change for change in changes if change.origin in origins]
    files = {f"{item.name.rstrip('/')}/{name}" for item in of if (name := below(item, path))}
    if not files:
        return tuple(mine)
    names = {item.name for item in of}
    return tuple(
        [change for change in mine if change.name in files]
        or [change for change in mine if change.name in names]
    )
