"""How many of a tree's entries are of one sort, and the first of them by name."""

from __future__ import annotations

from reconciler.value import dataclass

MOST = 1000
"""How many a Standing names; above that it only counts."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Entries below a directory: how many, and the first MOST of their paths, sorted.

    Paths are relative to the directory's. Sizes are left out: they change
    whenever a machine runs, and say nothing about how the data lies.
    """

    count: int
    named: tuple[str, ...]

    @property
    def is_whole(self) -> bool:
        """Whether all of them are named."""
        return self.count == len(self.named)

    def is_left_of(self, other: Standing) -> bool:
        """Whether it may be what is left of another: no more, and no name that is new."""
        known = set(other.named)
        cut = bool(other.named) and not other.is_whole
        last = other.named[-1] if cut else ""  # behind it the other names none
        is_old = all(name in known or (last and name > last) for name in self.named)
        return self.count <= other.count and bool(is_old)


NONE_LEFT = Standing(0, ())
