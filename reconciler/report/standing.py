"""What is desired, what is there, what vmtune wrote last, and what all that brought."""

from __future__ import annotations

from dataclasses import field, replace
from typing import TYPE_CHECKING, Any

from reconciler.engine import document, last_applied
from reconciler.engine.last_applied import Before
from reconciler.engine.model import Desired
from reconciler.engine.place import numbered
from reconciler.engine.plan import collect, weighed
from reconciler.facts import compression
from reconciler.facts.diagnostics import Finding, Op, Refusal
from reconciler.facts.host import FilesystemOf, Locate, SharersOf
from reconciler.facts.host_view import NotVisible
from reconciler.facts.images import LayoutsOf
from reconciler.value import Value

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from reconciler.engine.last_applied import Run, Try
    from reconciler.engine.model import Plan, Said
    from reconciler.engine.place import LastApplied, Place, Who
    from reconciler.engine.resource import Declared, ScheduleRuns
    from reconciler.facts.compression import Compression
    from reconciler.facts.host import Sharers
    from reconciler.facts.host_view import HostView
    from reconciler.facts.images import ImageLayout, Layouts


class PlaceStatus(Value):
    """The three values of one place; ``written`` is None where vmtune never wrote it.

    ``tried`` is the last try that a run made at it, as far as runs are kept one by one.
    """

    owner: str
    place: Place[Any]
    wanted: Any
    there: Any
    written: LastApplied | None
    tried: Try | None = None

    @property
    def is_drift(self) -> bool:
        """Someone else changed it since vmtune put it right; otherwise it was not applied yet."""
        return last_applied.is_drift(self.written, self.wanted, self.there)


class Step(Value):
    """Something to do next: ``what`` is the matter, ``do`` what helps.

    ``in_row``: a row of the plan says the same, so a text that shows the rows does not repeat it.
    """

    what: str
    do: str
    code: str = ""
    in_row: bool = False


class Report(Value):
    """All that status says: the rows of the plan, the places behind them, and what it brought."""

    plan: Plan
    standings: tuple[PlaceStatus, ...]
    effect: Effect
    steps: tuple[Step, ...] = ()
    """What to do next."""
    runs: tuple[Run, ...] = ()
    """What vmtune did here before, as far as runs are kept one by one, oldest first."""
    who: Who = numbered
    """Names the owner of what is made."""


def place_statuses(
    declared: Sequence[Declared],
    host: HostView,
    written: Mapping[Place[Any], LastApplied],
    tried: Mapping[Place[Any], Try],
) -> tuple[PlaceStatus, ...]:
    """Every place of every declared resource that can be seen, each once."""
    found: dict[Place[Any], PlaceStatus] = {}
    said = weighed(collect(declared, lambda resource: tuple(_words(resource, host))), host)
    for resource, words in said:
        if any(isinstance(word, Refusal) for word in words):
            continue
        for goal in words:
            if isinstance(goal, Desired) and not goal.weak:
                standing = PlaceStatus(
                    resource.owner,
                    goal.place,
                    goal.want,
                    host(goal.place),
                    written.get(goal.place),
                    tried.get(goal.place.without_left_out()),
                )
                found.setdefault(goal.place, standing)
    return tuple(found.values())


def _words(resource: Declared, host: HostView) -> Iterator[Said]:
    """Up to where something may not be seen: the plan's own row says so."""
    try:
        for word in resource.kind.want(resource.spec, host):
            if isinstance(word, Desired):
                host(word.place)
            yield word
    except NotVisible as hidden:
        yield Finding(Op.UNKNOWN, "", hidden.why)


class PathEffect(Value):
    """The images of one declared path; ``layouts`` is None where ``hidden`` says why."""

    name: str
    path: str
    layouts: Layouts | None
    hidden: str = ""
    uuid: str = ""
    """Of the filesystem it is on."""
    sharers: Sharers | None = None
    """Who shares data with its images; None where nobody does, or where that is not shown."""
    sharers_hidden: str = ""
    """Why that is not shown."""


class Effect(Value):
    """``before`` is what the journal saw of images when it first did."""

    paths: tuple[PathEffect, ...] = ()
    filesystems: tuple[Compression, ...] = ()
    schedules: tuple[ScheduleRuns, ...] = ()
    before: Before = field(default_factory=Before)


def effect(declared: Sequence[Declared], host: HostView, before: Before) -> Effect:
    """All that can be seen; asks no question that could change something."""
    return Effect(
        tuple(_paths(declared, host)),
        tuple(_filesystems(declared, host)),
        tuple(schedules(declared, host)),
        before,
    )


def _paths(declared: Sequence[Declared], host: HostView) -> Iterator[PathEffect]:
    mine = [d for d in declared if d.item.section == "paths"]
    apart = {d.item.path: d.spec.apart for d in mine if hasattr(d.spec, "apart")}
    for item in {d.item.path: d.item for d in mine}.values():
        try:
            where = host(Locate(item.path))
            on = host(FilesystemOf(where.path))
            if where.kind == "directory" and on.type == "btrfs":
                found = host(LayoutsOf(where.path, apart.get(item.path, ())))
                who, why = _sharers(found, host)
                yield PathEffect(item.name, where.path, found, "", on.uuid, who, why)
        except NotVisible as hidden:
            yield PathEffect(item.name, item.path, None, hidden.why)


def _sharers(found: Layouts, host: HostView) -> tuple[Sharers | None, str]:
    """Who shares data with the images of a path, of which the three largest are asked about."""
    shared = [each.path for each in found.measured if each.shared][:3]
    try:
        return (host(SharersOf(tuple(shared))) if shared else None), ""
    except NotVisible as hidden:
        return None, hidden.why


def _filesystems(declared: Sequence[Declared], host: HostView) -> Iterator[Compression]:
    """Each Btrfs that something is declared on, once, in the order of the file."""
    seen = set()
    for item in {d.item.path: d.item for d in declared}.values():
        where = host.maybe(Locate(item.path))
        path = compression.beneath(where.path, host) if where else ""
        on = host.maybe(FilesystemOf(path)) if path else None
        if on and on.type == "btrfs" and on.uuid not in seen:
            found = compression.of(path, on, host)
            if found:
                seen.add(on.uuid)
                yield found


def schedules(declared: Sequence[Declared], host: HostView) -> Iterator[ScheduleRuns]:
    """What is known of all that was set up to run by itself."""
    for kind in {d.kind.name: d.kind for d in declared}.values():
        items = [d.item for d in declared if d.kind is kind]
        yield from (replace(each, kind=kind.name) for each in kind.schedules(items, host))


def plain(of: Effect) -> dict[str, Any]:
    """The effect as JSON data."""
    return {
        "paths": [_plain_path(path, of.before) for path in of.paths],
        "filesystems": [document.plain_value(each) for each in of.filesystems],
        "before_hidden": of.before.is_hidden,
        "schedules": [
            {
                "kind": each.kind,
                "name": each.name,
                "scheduler": each.scheduler,
                "hidden": each.hidden,
                "unit": each.unit,
                "failed": each.run.has_failed,
                **document.plain_value(each.run),
            }
            for each in of.schedules
        ],
    }


def _plain_path(of: PathEffect, before: Before) -> dict[str, Any]:
    layouts = of.layouts
    return {
        "name": of.name,
        "path": of.path,
        "hidden": of.hidden,
        "files": layouts.count if layouts else None,
        "size": layouts.size if layouts else None,
        "images": [_plain_image(each, before) for each in layouts.measured] if layouts else [],
        "unseen": [each.path for each in layouts.unseen] if layouts else [],
        "unseen_count": layouts.unseen_count if layouts else 0,
        "shared_with": of.sharers and list(of.sharers.subvolumes),
    }


def _plain_image(of: ImageLayout, before: Before) -> dict[str, Any]:
    was = before.of(of)
    return {
        "path": of.path,
        "size": of.size,
        "nocow": of.nocow,
        "fragments": of.fragments,
        "fragments_per_gib": of.per_gib,
        "fragments_before": was and was.fragments,
        "data": of.data,
        "compressed": of.compressed,
        "shared": of.shared,
        "parts": dict(of.parts) if of.fragments is not None else None,
    }
