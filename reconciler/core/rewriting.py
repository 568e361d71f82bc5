"""Which images of a tree can be rewritten now, which cannot, and what room that takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.core.images import needed
from reconciler.value import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from reconciler.core.tree import CowFile, Lot, Parts, Tree


@dataclass(frozen=True, slots=True)
class Chain:
    """An image of several files: the one that names the others, and all that they name in turn."""

    path: str
    what: str
    others: tuple[str, ...]

    @property
    def words(self) -> str:
        """``win11.qcow2 and 2 backing files``."""
        count = len(self.others)
        return f"{self.path} and {count} {self.what}{'s' * (count != 1)}"


@dataclass(frozen=True, slots=True)
class Room:
    """Bytes: what must be ``free`` at one time, of which ``kept`` is not given back.

    The largest image lies there twice while it is rewritten. What snapshots or
    clones share stays theirs; what was compressed takes its whole size.
    """

    free: int
    kept: int


def chains(tree: Tree) -> tuple[Chain, ...]:
    """The images of several files, but for those that are part of another one."""
    direct = {parts.path: parts for parts in tree.parts}
    inner = {other for parts in tree.parts for other in parts.others}
    return tuple(_chain(parts, direct) for parts in tree.parts if parts.path not in inner)


def _chain(of: Parts, direct: Mapping[str, Parts]) -> Chain:
    found: dict[str, None] = {}
    pending, whats = [of], {of.what}
    while pending:
        for name in pending.pop().others:
            if name not in found and name != of.path:
                found[name] = None
                if name in direct:
                    pending.append(direct[name])
                    whats.add(direct[name].what)
    return Chain(of.path, whats.pop() if len(whats) == 1 else "more file", tuple(found))


def open_elsewhere(tree: Tree, lot: Lot) -> Iterator[tuple[str, CowFile]]:
    """Parts of images that nobody has open, each with another part that somebody has."""
    held = {file.path: file for file in (*lot.hindered, *tree.cow.hindered) if file.holders}
    held |= {file.path: file for file in tree.held_parts}
    known = {file.path for file in lot.hindered}
    for chain in _every_chain(tree) if held else ():
        names = (chain.path, *chain.others)
        who = next((held[name] for name in names if name in held), None)
        for name in names if who else ():
            if name not in held and name not in known and not name.startswith("/"):
                known.add(name)
                yield name, who  # type: ignore[misc] # there is someone, or no name


def _every_chain(tree: Tree) -> Iterator[Chain]:
    """Also those within another: a base may be open although nothing above it is."""
    direct = {parts.path: parts for parts in tree.parts}
    return (_chain(parts, direct) for parts in tree.parts)


def room(lot: Lot, without: Sequence[CowFile]) -> Room:
    """What rewriting a lot takes, but for some of its files."""
    left = {file.path for file in without}
    largest = next((file.allocated for file in lot.largest if file.path not in left), None)
    if largest is None:  # all that are known by size are left out: none of the rest is larger
        largest = lot.largest[-1].allocated if lot.largest else 0
    kept = lot.kept - sum(file.kept for file in without)
    return Room(needed(largest) + max(kept, 0), max(kept, 0))


def too_large(lot: Lot, without: Sequence[CowFile], free: int) -> tuple[CowFile, ...]:
    """Of the largest files of a lot those that must be left out, for the rest to have room."""
    left = {file.path for file in without}
    found: list[CowFile] = []
    for file in lot.largest:
        if room(lot, (*without, *found)).free <= free:
            break
        if file.path not in left:
            found.append(file)
    return tuple(found)
