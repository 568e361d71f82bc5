"""What vmtune wrote and nobody declares any more, put back; and what hinders that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reconciler.engine.directory import Directory
from reconciler.engine.model import Desired, Swap
from reconciler.facts import limits
from reconciler.facts.diagnostics import Note, Refusal
from reconciler.facts.host import (
    DIRECTORY,
    MISSING,
    SUBVOLUME,
    DirectoryId,
    FilesystemOf,
    FstabLines,
    FstabObstacle,
    Locate,
)
from reconciler.facts.host_view import NotVisible
from reconciler.formats import options
from reconciler.resources.compression.places import PropertyBelow
from reconciler.resources.images.places import Images
from reconciler.resources.mount.places import FstabOptions, LiveOption
from reconciler.resources.nocow.places import Below
from reconciler.resources.subvolume.places import Subvolume
from reconciler.value import dataclass, replace

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from reconciler.engine.last_applied import LastApplied
    from reconciler.engine.model import Action
    from reconciler.engine.place import Place
    from reconciler.engine.plan import Declared
    from reconciler.facts.host_view import HostView


WHY = "what is no longer declared is put back"


@dataclass(frozen=True, slots=True)
class Former:
    """The options field of a line, and live options by their place, as the journal knows them.

    ``kept`` are the options of the line that other files declare: they stay as they are.
    """

    lines: tuple[LastApplied, ...] = ()
    live: tuple[tuple[LiveOption, LastApplied], ...] = ()
    kept: frozenset[options.Option] = frozenset()


def former(
    written: Mapping[Place[Any], tuple[LastApplied, ...]],
    target: str,
    declared: Collection[options.Option],
    kept: frozenset[options.Option] = frozenset(),
) -> Former:
    """Return what was written for ``target``, but for the options that are still declared."""
    live = (
        (place, records[-1])
        for place, records in written.items()
        if isinstance(place, LiveOption) and options.option(place.name) not in declared
    )
    return Former(written.get(FstabOptions(target, 0), ()), tuple(live), kept)


def by_its_line(declared: Declared, see: HostView) -> Declared:
    """Return a mount's entry by the mount point that its line names: a link may lead there."""
    if declared.item.section != "mounts":
        return declared
    spec, targets = declared.spec, {line.target for line in see.maybe(FstabLines()) or ()}
    where = see.maybe(Locate(spec.target))
    if spec.target in targets or not where or where.path not in targets:
        return declared
    return replace(declared, spec=replace(spec, target=where.path))


def where_it_stands(place: Place[Any], see: HostView) -> Place[Any]:
    """Return a line with the number that it has now: others come and go above it."""
    if not isinstance(place, FstabOptions):
        return place
    lines = see.maybe(FstabLines()) or ()
    numbers = [line.number for line in lines if line.target == place.target]
    return replace(place, line=numbers[0]) if len(numbers) == 1 else place


def restored(line: str, was: LastApplied | None, declared: Collection[options.Option] = ()) -> str:
    """Return the options with what vmtune put for others than the declared ones as it was before.

    Only where the word is still the one that vmtune wrote.
    """
    if was is None or not _all_read(line, was):
        return line
    found = line
    for option in options.ALL:
        before = options.value(was.original, option.rivals)
        ours = {options.value(value, option.rivals) for value in was.values} - {before}
        if option not in declared and options.value(line, option.rivals) in ours:
            found = options.replace(found, option.rivals, before)
    # Nothing of ours is left in it: then in the order in which it was, too.
    alike = sorted(options.split(found)) == sorted(options.split(was.original))
    return was.original if found != line and alike else found


def all_restored(
    line: str, records: Sequence[LastApplied], declared: Collection[options.Option] = ()
) -> str:
    """Return the options with what every record wrote as it was before, the last record first."""
    for was in reversed(records):
        line = restored(line, was, declared)
    return line


def _all_read(line: str | None, was: LastApplied) -> bool:
    texts = (line, was.original, *was.values)
    return all(isinstance(text, str) and options.well_formed(text) for text in texts)


def original(place: Place[Any], was: LastApplied, have: Any) -> Any:
    """What was there before, with the words of a line that others changed since as they are."""
    is_line = isinstance(place, FstabOptions) and _all_read(have, was)
    return restored(have, was) if is_line else was.original


def all_words(line: str | None, records: Iterable[LastApplied]) -> bool:
    """Tell whether a line and all that was written of it can be read word by word."""
    return all(_all_read(line, was) for was in records)


def changed(was: LastApplied) -> Iterator[options.Option]:
    """Yield the options of a line that a record changed."""
    for option in options.ALL:
        before = options.value(was.original or "", option.rivals)
        if any(options.value(value or "", option.rivals) != before for value in was.values):
            yield option


def another(place: Place[Any], was: LastApplied, see: HostView) -> Note | None:
    """Return what is said where a path leads to another directory than the one that was changed.

    A link to another directory may stand there since, or a snapshot of what is around it.
    """
    path = getattr(place, "path", "")
    found = see.maybe(DirectoryId(path)) if was.thing and path else None
    if found in {None, "missing", was.thing}:
        return None
    return Note(f"{path} is another directory than the one that run {was.run} changed: it stays")


def staying(place: Place[Any], was: LastApplied, now: Any, see: HostView) -> Note | None:
    """Return what is said of what stays once nothing declares it; None where it is gone."""
    del was
    if isinstance(place, Below | Images | PropertyBelow):
        if see.maybe(Directory(place.path)) is None:
            return None
        if isinstance(place, Images):
            return Note("images that were rewritten are left as they are")
        if isinstance(place, PropertyBelow):
            return Note("what is below keeps the compression property")
        return Note("what was made nocow below it is left as it is")
    if isinstance(place, Subvolume) and now == SUBVOLUME:
        return lasting(place, DIRECTORY)
    return None


def live(of: Former, mounted: Collection[str], see: HostView) -> Iterator[Desired[str] | Note]:
    """The live options as they were, on the mount points of the entry's filesystem."""
    for place, was in of.live:
        if place.target not in mounted or see(place) not in was.values:
            continue
        if note := lasting(place, was.original):
            yield note
        elif see(place) != was.original:
            # Weak: another entry may declare it for the same filesystem.
            yield Desired(place, was.original, WHY, weak=True)


def lasting(place: Place[Any], want: Any) -> Note | None:
    """Said where no word has the kernel show ``want`` while the filesystem stays mounted."""
    if isinstance(place, Images):
        return Note("images stay as they were rewritten")
    if isinstance(place, Subvolume) and want != MISSING:
        return Note(
            f"{place.path} stays a subvolume: to whoever uses it a directory like any other"
        )
    if isinstance(place, PropertyBelow):
        return Note("what is below keeps the compression property")
    if isinstance(place, Below) and not want.is_whole:
        return Note(f"{want.count:,} directories and empty files below stay nocow")
    if isinstance(place, LiveOption) and not want and not options.option(place.name).off:
        return waits(place.name)
    return None


def is_final(action: Action) -> bool:
    """Whether no revert takes it back; what a fresh mount ends is not for good."""
    if not isinstance(action, Swap) or isinstance(action.place, LiveOption):
        return False
    return lasting(action.place, action.have) is not None


def waits(name: str) -> Note:
    return Note(f"{name} stays until the filesystem is mounted afresh", "V211")


def obstacle(places: Iterable[Place[Any]], see: HostView) -> Refusal | None:
    """Why /etc/fstab cannot be replaced, where one of the places is in it: ask before any put."""
    if not any(isinstance(place, FstabOptions) for place in places):
        return None
    try:
        why = see(FstabObstacle())
    except NotVisible as hidden:
        why = hidden.why
    return fixed(why) if why else None


def unsafe(swaps: Iterable[Swap], see: HostView) -> Refusal | None:
    """Why nothing may be made nocow again where the filesystem is not whole; None where it may."""
    for path in filter(None, map(_made_nocow, swaps)):
        if host := see.maybe(FilesystemOf(path)):
            return limits.refusal(host.condition, host.profiles)
    return None


def _made_nocow(swap: Swap) -> str:
    """The directory that a swap makes nocow, or below which it does so; "" where it does not."""
    place, have, want = swap.place, swap.have, swap.want
    if isinstance(place, Directory):
        return place.path if want and want.nocow and not (have and have.nocow) else ""
    return place.path if isinstance(place, Below) and want.is_left_of(have) else ""


def fixed(why: str) -> Refusal:
    return Refusal(why, "mend that first; the live mount is left alone as well", "V210")
