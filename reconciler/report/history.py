"""The journal as lines of text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reconciler.engine import document
from reconciler.engine.place import Swap, numbered
from reconciler.formats.sizes import binary, counted
from reconciler.report import text
from reconciler.report.wrap import beside, printable, wrapped
from reconciler.resources.images.places import Image, Images, OneImage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from reconciler.engine.last_applied import Run, Seen
    from reconciler.engine.model import Action
    from reconciler.engine.place import Who


_WHEN = 28
"""Columns that number and time take."""

_ENTRIES = 4
"""Entries of a run that the list names; the others are counted, and told of the run itself."""

_CUT_OFF = "cut off"


def listed(
    runs: Sequence[Run],
    width: int = 80,
    *,
    is_at_work: bool = False,
    tilde: Callable[[str], str] = str,
) -> Iterator[str]:
    """What each run changed, oldest first: when, by whom, by which configuration, for what.

    ``is_at_work``: a run holds the lock, so the last one may not be over. ``tilde`` names a path
    as the caller does.
    """
    if not runs:
        yield "nothing was done here yet"
    indent = _WHEN if width >= 2 * _WHEN else 4
    for run in runs:
        head = _head(run, is_at_work=is_at_work and run is runs[-1])
        yield from beside(f"{run.number:>5}  {when(run.started)}  ", head, width)
        config = f"config {tilde(run.config)}" if run.config else ""
        for line in filter(None, (_entries(run, tilde), config, trend(run))):
            yield from wrapped(printable(line), width, indent)


def _entries(run: Run, tilde: Callable[[str], str]) -> str:
    """The entries for which something was changed, or may have been; "" where nothing was."""
    owners = (swap.owner.partition(" ") for _, swap in run.done() if swap.owner)
    found = [*dict.fromkeys(f"{kind}{blank}{tilde(name)}" for kind, blank, name in owners)]
    more = [f"and {len(found) - _ENTRIES} more"] if len(found) > _ENTRIES else []
    return ", ".join([*found[:_ENTRIES], *more])


def whole(
    run: Run,
    width: int = 80,
    *,
    is_at_work: bool = False,
    who: Who = numbered,
    tilde: Callable[[str], str] = str,
) -> Iterator[str]:
    """One run with its actions and what became of each; ``who`` names owners."""
    yield from beside(f"run {run.number}   ", _head(run, is_at_work=is_at_work), width)
    ended = f"ended {when(run.finished) if run.finished else '-'}"
    yield from beside(f"started {when(run.started)}   ", ended, width)
    yield f"config {printable(tilde(run.config)) or 'none'}"
    if brought := trend(run):
        yield from beside("images ", brought, width)
    yield ""
    for number, action in enumerate(run.actions, 1):
        yield from beside(f"  {_outcome(run, number):<12} ", text.action(action, who), width)


def _pairs(of: Run) -> list[tuple[Seen, Seen]]:
    """The images that a run was about, as it saw them before and after; none of other runs.

    A run that was about one image saw those beside it as well.
    """
    rewrites = [swap.place for _, swap in of.done() if isinstance(swap.place, Images | Image)]
    if not rewrites:
        return []
    then = {each.key: each for each in of.before}
    pairs = [(then[each.key], each) for each in of.after if each.key in then]
    if all(isinstance(place, OneImage | Image) for place in rewrites):
        return [(was, now) for was, now in pairs if _is_rewritten(of, was, now)]
    return pairs


def _is_rewritten(of: Run, was: Seen, now: Seen) -> bool:
    """Whether a run rewrote an image: it is another inode by then.

    Where the run made a subvolume of the directory, every file has another inode. There only
    what is nocow, or no longer compressed, since then was rewritten.
    """
    if not any(swap.place.remakes for _, swap in of.done()):
        return was.inode != now.inode
    return was.nocow != now.nocow or bool(was.compressed and not now.compressed)


def trend(of: Run) -> str:
    """What it did to the images that it was about; "" where it was about none, or saw none."""
    if not (images := _images(of)):
        return ""
    seen, anew = images.pop("seen"), images.pop("rewritten")
    told = [f"{anew} of {counted(seen, 'image')} rewritten"]
    if _rewritten(of) > len(of.before):  # only the largest are seen
        told = [f"of the {counted(seen, 'largest image')} {anew} rewritten"]
    for name, (was, now) in images.items():
        show = "{:,}".format if name == "fragments" else binary
        if was != now:
            told.append(f"{name} {show(was)} -> {show(now)}")
        elif name == "fragments":
            told.append(f"{name} {show(now)} as before")
    return ", ".join(told)


def _images(of: Run) -> dict[str, Any] | None:
    """How the images lay before and after, summed up; None where it was about none."""
    if not (pairs := _pairs(of)):
        return None
    sums = {
        name: [sum(getattr(pair[side], name) for pair in pairs) for side in (0, 1)]
        for name in ("fragments", "compressed", "shared")
    }
    anew = sum(_is_rewritten(of, was, now) for was, now in pairs)
    return {"seen": len(pairs), "rewritten": anew, **sums}


def _rewritten(of: Run) -> int:
    """How many images it was to rewrite."""
    done = [swap for _, swap in of.done()]
    below = sum(swap.have.count for swap in done if isinstance(swap.place, Images))
    return int(below) + sum(isinstance(swap.place, Image) for swap in done)


def plain(run: Run, *, is_at_work: bool = False, who: Who = numbered) -> dict[str, Any]:
    """A run as JSON data."""
    return {
        "run": run.number,
        "started": run.started,
        "finished": run.finished or None,
        "user": run.user,
        "command": run.command,
        "config": run.config or None,
        "result": run.result or ("not finished" if is_at_work else _CUT_OFF),
        "changes": [_plain(run, n, action, who) for n, action in enumerate(run.actions, 1)],
        "images": _images(run),
    }


def _plain(run: Run, number: int, action: Action, who: Who) -> dict[str, Any]:
    found = {"number": number, "outcome": _outcome(run, number), "what": text.where(action)}
    if not isinstance(action, Swap):
        return {**found, "kind": None, "name": None, "place": None, "before": None, "after": None}
    kind, _, name = action.owner.partition(" ")
    place = document.plain_place(action.place)
    before, after = action.place.in_full(action.have, action.want, who)
    return {**found, "kind": kind, "name": name, "place": place, "before": before, "after": after}


def _head(run: Run, *, is_at_work: bool = False) -> str:
    rows = _rows(run)
    done = sum(all(run.outcomes.get(number) == "done" for number in row) for row in rows)
    result = run.result or ("not finished (at work, or cut off)" if is_at_work else _CUT_OFF)
    said = f"{result}, {done} of {counted(len(rows), 'change')}"
    return f"{printable(run.command)} by {printable(run.user)}: {said}"


def _rows(run: Run) -> list[list[int]]:
    """The actions by the row of the plan that they were of: what the person was asked about.

    Old records do not say whose an action was: each is one of its own.
    """
    rows: dict[object, list[int]] = {}
    for number, action in enumerate(run.actions, 1):
        row: object = number
        if not isinstance(action, Swap):
            row = action.name
        elif action.owner:
            is_one = isinstance(action.place, Image | OneImage)
            row = (action.owner, action.place.full if is_one else "")
        rows.setdefault(row, []).append(number)
    return list(rows.values())


def _outcome(run: Run, number: int) -> str:
    return run.outcomes.get(number) or (_CUT_OFF if number in run.begun else "not done")


def when(time: str) -> str:
    """A time of the journal as people read it: in the zone that it was noted in."""
    return time.replace("T", " ")[:19]
