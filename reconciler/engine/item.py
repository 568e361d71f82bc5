"""A section of vmtune.yaml, and its valid entries."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Any, Literal

from reconciler.value import Value

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from reconciler.errors import SourceLocation


class Section(Value):
    """A list of entries in vmtune.yaml, which one kind or several read.

    ``identity`` is the key that tells entries apart, a path or a mount point. ``required`` keys
    each entry has, once all layers are merged; of ``one_of`` at least one, else ``hint`` is said.
    ``title`` stands above the section in what ``vmtune init`` prints. ``about`` is what an entry
    names: a directory, and so all that is below it, or a mount point alone.
    """

    name: str
    identity: str
    title: str
    required: tuple[str, ...] = ()
    one_of: tuple[str, ...] = ()
    hint: str = ""
    about: Literal["directory", "mount point"] = "directory"


class Item(Value):
    """A valid entry of one of the sections.

    ``name`` is the path or mount point as the user wrote it (``~/libvirt/images``),
    ``path`` the same made absolute. ``data`` holds the entry's remaining keys.
    ``marks`` tells where each key of the entry was written.
    """

    section: str
    name: str
    path: str
    data: Mapping[str, Any]
    origin: SourceLocation
    marks: Mapping[str, SourceLocation]
    quiet: tuple[str, ...] = ()
    """Codes of notes that are left out, as the whole file says."""


class Items(tuple[Item, ...]):  # noqa: SLOT001 - with an index beside it
    """All items, in the order of the file, and how their paths lie to each other.

    Looked up, not searched for: each of ten thousand items asks.
    """

    def __init__(self, _items: Iterable[Item] = ()) -> None:
        self._at: dict[str, list[int]] = {}
        for number, item in enumerate(self):
            self._at.setdefault(item.path, []).append(number)
        self._paths = sorted(self._at)

    def at(self, path: str) -> tuple[Item, ...]:
        """The items of that path itself."""
        return self._of([path])

    def below(self, path: str) -> tuple[Item, ...]:
        """The items whose path begins with this one and a slash."""
        first, last = (bisect_left(self._paths, f"{path}{end}") for end in "/0")  # 0 follows /
        return self._of(self._paths[first:last])

    def above(self, path: str) -> tuple[Item, ...]:
        """The items whose path, with a slash, this one begins with."""
        names = path.split("/")
        return self._of("/".join(names[:depth]) for depth in range(1, len(names)))

    def _of(self, paths: Iterable[str]) -> tuple[Item, ...]:
        return tuple(self[n] for n in sorted(n for path in paths for n in self._at.get(path, ())))
