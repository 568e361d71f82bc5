"""What room it takes to rewrite images: how much must be free, and how much is not given back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.facts import limits
from reconciler.facts.diagnostics import COST, Note
from reconciler.facts.tree import CowFile, Lot
from reconciler.formats.sizes import binary
from reconciler.resources.images.places import needed
from reconciler.value import Value

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from reconciler.facts.host import Filesystem


class Room(Value):
    """Bytes: what must be ``free`` at one time, of which ``kept`` is not given back.

    The largest image lies there twice while it is rewritten. What snapshots or
    clones share stays theirs; what was compressed takes its whole size.
    """

    free: int
    kept: int


def room(lot: Lot, without: Sequence[CowFile]) -> Room:
    """What rewriting a lot takes, but for some of its files."""
    left = {file.path for file in without}
    largest = next((file.allocated for file in lot.largest if file.path not in left), None)
    if largest is None:  # all that are known by size are left out: none of the rest is larger
        largest = lot.largest[-1].allocated if lot.largest else 0
    kept = lot.kept - sum(file.kept for file in without)
    return Room(needed(largest) + max(kept, 0), max(kept, 0))


def alone(file: CowFile) -> Lot:
    """Return one file as a lot of its own."""
    return Lot((file,), 1, file.size, file.allocated, file.shared, file.encoded, kept=file.kept)


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


def takes(of: Room, lot: Lot, filesystem: Filesystem) -> Iterator[Note]:
    """Say how much room a rewrite needs, then how much of that is not given back, and why."""
    needs = f"needs up to {binary(of.free)} of free space while it runs"
    yield Note(f"{needs}; {limits.have(filesystem)}", label=COST)
    if of.kept:
        text = f"afterwards up to {binary(of.kept)} more are in use, because"
        shared = "snapshots and clones keep the old data that they share" if lot.shared else ""
        encoded = "the data is no longer compressed" if lot.encoded else ""
        why = " and ".join(why for why in (shared, encoded) if why)
        yield Note(f"{text} {why}", "V707", COST)
