"""Mount options put back as they were before vmtune set them, word by word of a line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.formats import options

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from reconciler.engine.place import LastApplied


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


def all_words(line: str | None, records: Iterable[LastApplied]) -> bool:
    """Tell whether a line and all that was written of it can be read word by word."""
    return all(_all_read(line, was) for was in records)


def changed(was: LastApplied) -> Iterator[options.Option]:
    """Yield the options of a line that a record changed."""
    for option in options.ALL:
        before = options.value(was.original or "", option.rivals)
        if any(options.value(value or "", option.rivals) != before for value in was.values):
            yield option
