"""Defragmentation as lines of text: what was found below a path, and what became of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.facts.compression import OFF
from reconciler.facts.diagnostics import denied
from reconciler.formats.sizes import binary, counted, counted_each
from reconciler.report.wrap import columns, hanging, padded, printable, wrapped

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from reconciler.resources.defrag.ranges import Found, Left, Outcome


_NAMED = 10


def found(of: Found, width: int, *, as_root: bool = False) -> Iterator[str]:
    """What will be done below a path, and what will not, before it begins."""
    yield from wrapped(f"{printable(of.path)}: {_todo(of)}", width, 0, 2)
    packed = sum(each.packs for each in of.files)
    if packed:
        them = "it" if packed == 1 else "them"
        mount = f"the mount: compression {of.compression}"
        by = "a property or attribute of its own" if of.compression == OFF else mount
        yield from _item(
            f"{counted(packed, 'file')} will be compressed where vmtune rewrites {them} "
            f"({by}); a compressed fragment has at most 128 KiB of data",
            width,
        )
    if shared := sum(each.lies.shared for each in of.files):
        yield from _item(
            f"--allow snapshots: snapshots and clones keep the old data, so up to "
            f"{binary(shared)} more will be in use afterwards; {binary(of.free)} are free",
            width,
        )
    yield from left(of.left, width)
    for what, names in (("subvolume", of.subvolumes), ("mount", of.mounts)):
        for name in _some(names, len(names)):
            yield from _item(f"{name}: a {what} of its own, left out; name it as a PATH", width)
    closed = denied("open it", as_root=True) if as_root else "you may not open it; root may"
    held = {printable(each.path): printable(each.who) for each in of.busy}
    for name in _some(of.unseen.named, of.unseen.count):
        yield from _item(f"{name}: {held.get(name, closed)}", width)


def _todo(of: Found) -> str:
    size = sum(each.lies.size for each in of.files)
    need = "needs" if of.whole == 1 else "need"
    whole = f"; {counted(of.whole, 'file')} {need} no defragmenting" if of.whole else ""
    if not of.files:
        return f"nothing to {'defragment' if of.left else 'do'}{whole}"
    return f"{counted(len(of.files), 'file')} to defragment, {binary(size)} to rewrite{whole}"


def left(files: Sequence[Left], width: int) -> Iterator[str]:
    """Files that stay as they are, each with the words of its Why (resources/defrag/ranges.py)."""
    for each in files[:_NAMED]:
        yield from _item(f"{printable(each.path)}: left as it is: {each.reason}", width)
    if len(files) > _NAMED:
        more = counted(len(files) - _NAMED, "more file")
        yield from _item(f"and {more} left as they are", width)


def outcome(of: Outcome, width: int) -> Iterator[str]:
    """What became of the files below one path: a line for each of the worst."""
    worst = sorted(of.ended, key=lambda each: (each.after - each.before, each.path))
    rows = [(printable(each.path), binary(each.size)) for each in worst[:_NAMED]]
    wide = [max((columns(row[column]) for row in rows), default=0) for column in range(2)]
    for each, (name, size) in zip(worst, rows, strict=False):
        fell = f"{each.before:,} -> {counted(each.after, 'fragment')}"
        line = f"  {padded(name, wide[0])}  {size:>{wide[1]}}  {fell}"
        if columns(line) <= width:
            yield line
        else:
            yield from hanging(f"  {name}", f"{size}  {fell}", width, 6)
    if len(worst) > _NAMED:
        yield from _item(f"and {counted(len(worst) - _NAMED, 'more file')}", width)
    yield from left(of.left, width)


def total(outcomes: Sequence[Outcome], seconds: str, width: int) -> Iterator[str]:
    """All of it in one sentence."""
    ended = [each for of in outcomes for each in of.ended]
    before, after = sum(each.before for each in ended), sum(each.after for each in ended)
    size = binary(sum(each.size for each in ended))
    fell = f"{before:,} -> {counted(after, 'fragment')}"
    said = f"{counted(len(ended), 'file')} defragmented, {fell}, {size} rewritten in {seconds}."
    yield from wrapped(said, width, 0)


def not_done(found: Sequence[Found], outcomes: Sequence[Outcome], width: int) -> Iterator[str]:
    """Count in the last line what was not done, which the exit code tells; nothing if all was."""
    left = sum(len(of.left) for of in found) + sum(len(of.left) for of in outcomes)
    unseen = sum(of.unseen.count for of in found)
    words = "file left as it is" if left == 1 else "files left as they are"
    if told := counted_each(((left, words), (unseen, "not seen"))):
        yield from wrapped(f"{told}.", width, 0)


def _some(names: Sequence[str], count: int) -> Iterator[str]:
    yield from map(printable, names[:_NAMED])
    if count > _NAMED:
        yield f"and {count - _NAMED:,} more"


def _item(text: str, width: int) -> Iterator[str]:
    return wrapped(text, width, 2, 2)
