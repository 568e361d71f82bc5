"""Whether a host is as declared, and what to do next: the same words for text, page and JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.facts import limits
from reconciler.facts.diagnostics import Op
from reconciler.formats.sizes import counted, counted_each
from reconciler.report import text
from reconciler.report.standing import Step
from reconciler.report.wrap import harmless
from reconciler.value import Value

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from reconciler.engine.model import Change, Plan
    from reconciler.engine.resource import ScheduleRuns
    from reconciler.facts.images import ImageLayout
    from reconciler.report.standing import Effect


class Commands(Value):
    """What to type on this host: ``apply`` elevates itself, ``as_root`` asks status again."""

    apply: str = "vmtune apply"
    status: str = "vmtune status"
    as_root: str = ""
    """Empty for root, who sees all that can be seen."""


ALL_REFUSED = "Not all is as declared, and `vmtune apply` cannot change that"

_VERDICTS = {
    Op.CHANGE: "Not as declared",
    Op.BLOCKED: ALL_REFUSED,
    Op.UNKNOWN: "What can be seen from here is as declared",
    Op.WAITS: "As declared after the next reboot",
    None: "As declared",
}


def worst(of: Plan) -> Op | None:
    """Return the sort of row that counts most; None where all is as declared."""
    if of.actions:
        return Op.CHANGE
    return next((op for op in (Op.BLOCKED, Op.UNKNOWN, Op.WAITS) if of.count(op)), None)


def verdict(of: Plan) -> str:
    """Say in one line whether the host is as declared; what sets the exit code is counted."""
    if not of.changes:
        return "Nothing is declared."
    op = worst(of)
    said = _VERDICTS[op]
    if op is Op.UNKNOWN and not (of.count(Op.SAME) or of.count(Op.WAITS)):
        said = "Not known: nothing that is declared can be seen from here"
    return f"{said}: {counted_each(text.counts(of))}."


def steps(plan: Plan, schedules: Sequence[ScheduleRuns], commands: Commands) -> Iterator[Step]:
    """Tell what to do next, the easiest first; nothing where all is as declared."""
    if plan.actions:
        number = len(plan.steps)
        them = "it" if number == 1 else "them"
        yield Step(
            f"{counted(number, 'change')} to make", f"`{commands.apply}` shows {them} and asks"
        )
    for each in schedules:
        if each.run.has_failed:
            log = f"`journalctl --unit {each.unit}`" if each.unit else "its log"
            yield Step(f"{harmless(each.entry)}: {failure(each)}", f"{log} says why")
    yield from _of_rows(plan.changes)
    unseen = [row for row in plan.changes if row.op is Op.UNKNOWN and row.code != limits.LEASED]
    if unseen and commands.as_root:
        yield Step(
            f"{counted(len(unseen), 'row')} not seen; root sees more", f"`{commands.as_root}`"
        )
    if plan.count(Op.WAITS) and not plan.actions:
        yield Step(
            f"{counted(plan.count(Op.WAITS), 'option')} not in effect yet",
            "boot once, or mount the filesystem afresh",
        )


def _of_rows(rows: Iterable[Change]) -> Iterator[Step]:
    """Each remedy of a refused row once, with the first row that it belongs to."""
    said = set()
    for row in rows:
        if row.op is Op.BLOCKED and row.hint and row.hint not in said:
            said.add(row.hint)
            what = f"{row.kind} {harmless(row.name)} is refused"
            yield Step(what, harmless(row.hint), row.code, in_row=True)


def failure(of: ScheduleRuns) -> str:
    """Say when the last run failed, and how."""
    run = of.run
    how = {
        "exit-code": f"failed with exit code {run.status}",
        "signal": f"was ended by signal {run.status}",
        "timeout": "failed because it took too long",
    }.get(run.result, f"failed ({harmless(run.result)})")
    when = f" of {run.last}" if run.last else ""
    return f"the last run{when} {how}"


def short(plan: Plan, schedules: Sequence[ScheduleRuns], commands: Commands) -> str:
    """Say all of it in one short line, for a prompt or a login script."""
    failed = sum(each.run.has_failed for each in schedules)
    *differing, _same, _moot = text.counts(plan)
    schedules_failed = (failed, "schedule failed" if failed == 1 else "schedules failed")
    told = counted_each((*differing, schedules_failed))
    if not told:
        return "vmtune: as declared" if plan.changes else "vmtune: nothing is declared"
    line = f"vmtune: {told}"
    if plan.actions:
        return f"{line}; `{commands.apply}`"
    if plan.count(Op.BLOCKED) or failed:
        return f"{line}; `{commands.status}` says what to do"
    return line


class Brought(Value):
    """The headline figure: fragments of all images that were read, before and now; and the rest."""

    was: int
    now: int
    left: str
    """How many images are copy-on-write, what was not read, and which images these are."""


def brought(of: Effect) -> Brought | None:
    """Sum up all images; None where none could be read.

    An image that no run of vmtune saw before counts before as it does now.
    """
    seen = [path.layouts for path in of.paths if path.layouts]
    images = [each for layouts in seen for each in layouts.measured]
    read = [each for each in images if each.fragments is not None]
    if not read:
        return None
    now = {each.path: each.fragments or 0 for each in read}
    before = {each.path: then.fragments for each in read if (then := of.before.of(each))}
    hidden = len(images) - len(read) + sum(layouts.unseen_count for layouts in seen)
    is_part = any(layouts.count > len(layouts.measured) for layouts in seen)
    left = _sorts(read)
    left += f", {hidden:,} not read" if hidden else ""
    left += f" (of the {len(read):,} largest)" if is_part else ""
    return Brought(sum({**now, **before}.values()), sum(now.values()), left)


def _sorts(read: Sequence[ImageLayout]) -> str:
    cow = sum(not each.nocow for each in read)
    if cow:
        return f"{counted(cow, 'image')} {'is' if cow == 1 else 'are'} copy-on-write"
    few = {1: "1 image is", 2: "both images are"}
    return f"{few.get(len(read), f'all {len(read):,} images are')} nocow"


def headline(of: Effect) -> str:
    """Say in one line what it brought, and what is left to do; "" where no image was read."""
    found = brought(of)
    if not found:
        return ""
    pieces = counted(found.now, "fragment")
    pieces = f"{found.was:,} -> {pieces}" if found.was != found.now else pieces
    return f"{pieces}; {found.left}"
