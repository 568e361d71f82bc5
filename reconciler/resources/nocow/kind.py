"""Directories whose new files are written in place (chattr +C).

Btrfs copies every block it rewrites to a new place, so an image rewritten at
random turns into fragments. The attribute is inherited when a file is created:
it takes effect on an empty file, and on a directory for what is made there from
then on. A file that has data stays as it is, although chattr says nothing and
exits with 0. Files written in place have no checksums: nothing notices or
repairs what a disk returns wrongly.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from reconciler.engine import directory as directory_place
from reconciler.engine.directory import Directory, Folder, becomes
from reconciler.engine.model import Desired
from reconciler.engine.resource import Kind
from reconciler.facts import booted, condition, diagnostics, limits, locate
from reconciler.facts.diagnostics import COST, DO, Finding, Note, Op, Refusal, Summary
from reconciler.facts.host import Locate, SnapshotsOf, TreeOf
from reconciler.facts.tree import NAMED, NONE_LEFT
from reconciler.formats.sizes import counted
from reconciler.resources.nocow.places import Below
from reconciler.resources.paths_section import PATHS
from reconciler.value import Value

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.engine.item import Item, Items
    from reconciler.engine.model import Said
    from reconciler.engine.place import Place
    from reconciler.facts.host import Filesystem, Location
    from reconciler.facts.host_view import HostView


class Spec(Value):
    """``name`` as the user wrote it, ``path`` absolute."""

    name: str
    path: str
    allow: frozenset[str]
    wanted: bool
    apart: tuple[str, ...]
    """Paths below this one that are declared on their own."""
    above: tuple[directory_place.Above, ...]
    """What is declared of directories above this one: what is made below inherits it."""
    subvolume: bool
    """The path is to be a subvolume of its own, made by the kind of that name."""


def parse(item: Item, items: Items) -> Spec | None:
    data = item.data
    if data.get("compression") or "nocow" not in item.marks:
        return None  # one kind says what a directory's attributes should be
    below = (other.path for other in items.below(item.path))
    return Spec(
        item.name,
        item.path,
        frozenset(data.get("allow", ())),
        data["nocow"],
        tuple(below),
        directory_place.declared_above(item, items),
        bool(data.get("subvolume")),
    )


def want(spec: Spec, host: HostView) -> Iterator[Said]:
    """The directory, made where missing, with +C; and what already lies below it."""
    ground = locate.ground(
        spec.path,
        host,
        ", not on Btrfs",
        ": chattr +C passes through to Btrfs, and vmtune leaves that to you",
    )
    if not isinstance(ground, tuple):
        yield ground
        return
    where, filesystem = ground
    if (
        refusal := _standing_in_the_way(where)
        or _zoned(spec, filesystem)
        or _unsafe(spec, where.path, filesystem, host)
    ):
        yield refusal
        return
    have = host(Directory(where.path))
    if where.path != spec.path:
        yield Note(f"the path leads to {where.path}")
    if note := booted.note(where.path, host):
        yield note
    if refusal := _risk(spec, where.path, filesystem, host):
        yield refusal
        return
    if not have or have.nocow != spec.wanted:
        yield from _prices(spec, where.path, filesystem, host)
    elif (
        spec.wanted and "snapshots" not in spec.allow and _snapshots(spec, where.path, host) is None
    ):
        yield Note(diagnostics.hidden(_WHETHER, host), "V103")
    if not spec.subvolume:
        yield from _made(spec, where, host)
    yield from _directory(spec, where, have, host)
    if spec.wanted:
        yield from _contents(spec, host, Below(where.path, spec.apart))
    else:
        yield from _left_below(spec, where, host)


def _made(spec: Spec, where: Location, host: HostView) -> Iterator[Said]:
    """Say that the directory is made where it is missing, and which are made on the way to it."""
    yield from locate.made_new(spec.name, spec.path, where, host)
    yield from directory_place.on_the_way(where, host, spec.above)


def _standing_in_the_way(where: Location) -> Refusal | None:
    if refusal := locate.no_directory(where):
        return refusal
    if where.path in directory_place.TOO_WIDE or where.is_home:
        return Refusal(
            f"{where.path} holds far more than images, and all of it would lose its checksums",
            "declare the directory that holds the images",
            "V105",
        )
    return None


def _zoned(spec: Spec, filesystem: Filesystem) -> Refusal | None:
    if not (spec.wanted and filesystem.zoned):
        return None
    hint = "leave `nocow: true` out here, or keep the images on another filesystem"
    return Refusal(limits.ZONED, hint, "V117")


def _unsafe(spec: Spec, path: str, filesystem: Filesystem, host: HostView) -> Refusal | None:
    """Say why nothing may be nocow on a filesystem that is not whole; no `allow` accepts that.

    To take nocow off is refused only where the kernel would write nothing.
    """
    refusal = condition.refusal(filesystem.condition, filesystem.profiles)
    if not refusal or spec.wanted:
        return refusal
    have = host(Directory(path))
    return refusal if filesystem.condition.failed and (not have or have.nocow) else None


def _risk(spec: Spec, path: str, filesystem: Filesystem, host: HostView) -> Refusal | None:
    """Find a risk that is not allowed by name: one that came after the attribute counts as well."""
    if not spec.wanted:
        return None
    redundant = filesystem.redundant
    if redundant and "raid" not in spec.allow:
        return Refusal(
            f"data is kept as {redundant}: without checksums a bad copy is read as "
            "often as the good one, and scrub cannot tell which is which",
            "to accept that, write `allow: [raid]`",
            "V102",
        )
    taken = _snapshots(spec, path, host)
    if taken and "snapshots" not in spec.allow:
        return Refusal(
            f"{', '.join(taken)}. After a snapshot the first write to a block copies it, so images "
            "fragment as before; and they have no checksums",
            _kept_out(spec),
            "V103",
        )
    return None


def _kept_out(spec: Spec) -> str:
    if spec.subvolume:
        return "have no program take snapshots of it, or accept them with `allow: [snapshots]`"
    return (
        "write `subvolume: true` to keep the images out of snapshots, or accept snapshots with "
        "`allow: [snapshots]`"
    )


_WHETHER = "see whether there are snapshots of its subvolume"


def _snapshots(spec: Spec, path: str, host: HostView) -> tuple[str, ...] | None:
    """Of the subvolume that it is in, or will be; None where that cannot be seen."""
    if spec.subvolume and becomes(path, host):
        return ()
    return host.maybe(SnapshotsOf(path))


def _prices(spec: Spec, path: str, filesystem: Filesystem, host: HostView) -> Iterator[Said]:
    if not spec.wanted:
        return
    if not filesystem.profiles:
        text = "the data profile could not be seen. If it is DUP or RAID, no copy heals another"
        yield Note(text, "V102", COST)
    if filesystem.redundant:
        text = "as `allow: [raid]` accepts, an error on one copy is not healed from another copy"
        yield Note(text, "V102", COST)
    taken = _snapshots(spec, path, host)
    if taken:
        yield Note(f"{', '.join(taken)}: accepted by `allow: [snapshots]`", "V103", COST)
    if taken is None:
        yield Note(diagnostics.hidden(_WHETHER, host, "checks before it changes anything"))
    yield from condition.errors(filesystem.condition)


def _directory(spec: Spec, where: Location, have: Folder | None, host: HostView) -> Iterator[Said]:
    if have is None:
        new = Folder(nocow=spec.wanted, compression="", **directory_place.made_in(where))
    else:
        new = replace(have, nocow=spec.wanted, compression="" if spec.wanted else have.compression)
    why = f"the kernel refuses nocow beside compression {have.compression}" if have else ""
    is_in_the_way = have and have.compression and spec.wanted
    part = {"nocow": spec.wanted}
    yield Desired(Directory(where.path), new, why if is_in_the_way else "", part=part)
    if spec.wanted:
        if new == have:
            yield Summary("new files are written in place")
        else:
            yield Note("files made from now on have no checksums", label=COST)
    elif directory_place.is_written_in_place(where.path, host):
        yield Summary("new files are nocow all the same: the filesystem is mounted nodatacow")
    elif new == have:
        yield Summary("copy-on-write")
    else:
        yield Summary("new files will be copy-on-write; old files stay nocow")


def _left_below(spec: Spec, where: Location, host: HostView) -> Iterator[Said]:
    tree = host.maybe(TreeOf(where.path, spec.apart))
    anyway = directory_place.is_written_in_place(where.path, host)
    if tree and not anyway and (count := tree.nocow_directories):
        below = counted(count, "directory", "directories")
        yield Note(
            f"{below} below {'stays' if count == 1 else 'stay'} nocow, and so do new files there; "
            "`chattr -C` on each ends that, or declare it too",
            label=DO,
        )


def _contents(spec: Spec, host: HostView, below: Below) -> Iterator[Said]:
    tree = host(TreeOf(below.path, below.apart))
    yield Desired(below, NONE_LEFT)
    if not tree.plain.is_whole:
        text = f"only the first {len(tree.plain.named):,} names of what is below are kept"
        yield Note(f"{text}, so revert leaves all of it nocow", label=COST)
    for name in tree.subvolumes:
        inside = host.maybe(Directory(f"{below.path}/{name}"))
        if inside and inside.nocow:
            text = "is a subvolume of its own, nocow as well, and is not looked into"
        else:
            are = directory_place.without_nocow(below.path, host)
            text = f"is a subvolume of its own, so new files in it are {are}"
        hint = f"If it holds images, declare {spec.name}/{name} as a path too"
        yield Note(f"{name} {text}. {hint}", "V106")
    for name in tree.mounts:
        yield Note(f"{name} is another mount, and is not looked into")
    yield from locate.stubs_below(below.path, tree.stubs, host)
    held = limits.leased_findings(tree, spec.name)
    for name in tree.unseen.named[:NAMED]:
        subject = f"{spec.name}/{name}".rstrip("/")
        yield held.get(name) or Finding(Op.UNKNOWN, subject, "not readable", code="V107")
    if (rest := tree.unseen.count - NAMED) > 0:
        text = f"{counted(rest, 'more entry', 'more entries')} not readable"
        yield Finding(Op.UNKNOWN, f"{spec.name}/...", text, code="V107")


def places(spec: Spec, host: HostView) -> Iterator[Place[Any]]:
    """The directory, and what lies below it."""
    path = host(Locate(spec.path)).path
    yield Directory(path)
    yield Below(path, spec.apart)


KIND = Kind("nocow", PATHS, parse, want, places=places, defaults={"nocow": False})
