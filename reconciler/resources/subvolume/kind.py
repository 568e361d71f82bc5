"""Directories of images that are subvolumes of their own.

A snapshot of a subvolume holds none of the subvolumes inside it. Images in a
subvolume of their own are left out of the snapshots that snapper, Timeshift or
btrbk take of the subvolume around it. So they stay written in place: the first
write to a block that a snapshot shares is always copied. A missing path is made
as a subvolume. A directory is turned into one: the new files share their data
with the old files until the old files are removed, so no data is copied.

A rollback puts a snapshot in the place of the subvolume around it. A subvolume
inside is in no snapshot. So it stays in the old subvolume, with all images, and
the path becomes an empty stub in which nothing can be made. A rollback does not
touch a subvolume at the top level of the filesystem: such a subvolume has a
line of its own in /etc/fstab (subvol=...), which mounts it at the path whatever
is around it. To make one: mount the top level (mount -o subvolid=5), `btrfs
subvolume create` there, move the images, and add the line.

Backups that stay on one filesystem (borg and restic with --one-file-system,
rsync -x, tar --one-file-system) take a subvolume for another filesystem, and
leave it out without a word. A backup of a snapshot of the subvolume around it
does not contain it either. Name the subvolume to the backup program.

A new subvolume inherits neither nocow nor a compression property nor a default ACL from the
directory it is made in. A directory that is turned into one keeps what it had.
"""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING, Any

from reconciler.engine import directory as directory_place
from reconciler.engine.directory import MOST_ENTRIES, SEALED, ContentsOf, Subvolume
from reconciler.engine.model import Awaited, Desired
from reconciler.engine.resource import Kind
from reconciler.facts import condition, diagnostics, locate
from reconciler.facts.diagnostics import COST, Finding, Note, Op, Refusal, Summary
from reconciler.facts.host import (
    DIRECTORY,
    MISSING,
    SUBVOLUME,
    UNFINISHED,
    DefaultAcl,
    Locate,
    SnapshotsOf,
)
from reconciler.formats.paths import parent
from reconciler.formats.sizes import binary, counted
from reconciler.resources.paths_section import PATHS
from reconciler.value import Value

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from reconciler.engine.directory import Contents
    from reconciler.engine.item import Item, Items
    from reconciler.engine.model import Said
    from reconciler.engine.place import Place
    from reconciler.facts.host import Filesystem, Location
    from reconciler.facts.host_view import HostView


_NAMED = 3

_A_FILE = 16 << 10
"""Bytes of metadata that a file may take: its inode, name, extents and extended attributes."""

_AT_LEAST = 16 << 20


class Spec(Value):
    """``name`` as the user wrote it, ``path`` absolute; ``wanted`` is what the entry says."""

    name: str
    path: str
    wanted: bool
    above: tuple[directory_place.Above, ...]
    """What is declared of directories above this one: what is made below inherits it."""
    decides: bool
    """The entry itself says whether the directory is nocow, or has a compression property."""
    rewrites: bool
    """Whether the entry has its images written anew, which gives them new files."""


def parse(item: Item, items: Items) -> Spec | None:
    if "subvolume" not in item.marks:
        return None
    return Spec(
        item.name,
        item.path,
        item.data["subvolume"],
        directory_place.declared_above(item, items),
        "nocow" in item.marks or bool(item.data.get("compression")),
        _rewrites(item.data),
    )


def _rewrites(data: Mapping[str, Any]) -> bool:
    asked = data.get("existing", "report")
    return bool(data.get("nocow")) and (
        asked == "rewrite" or (asked == "report" and "rewrite-images" in data.get("allow", ()))
    )


def want(spec: Spec, host: HostView) -> Iterator[Said]:
    """The path as a subvolume, made where missing, turned where it is a directory."""
    ground = locate.ground(spec.path, host, ", not on Btrfs")
    if not isinstance(ground, tuple):
        yield ground
        return
    where, filesystem = ground
    place = Subvolume(where.path, **directory_place.made_in(where))
    have = host(place)
    if not spec.wanted:
        yield from _not_asked_for(have)
        return
    if have != SUBVOLUME and (refusal := _refused(spec, where, filesystem, have, host)):
        yield from _awaited(where, place, refusal, host)
        yield refusal
        return
    if have == DIRECTORY and (hidden := host(ContentsOf(where.path)).unseen):
        yield Finding(Op.UNKNOWN, "", f"{_named(hidden)}: not readable")
        return
    if where.path != spec.path:
        yield Note(f"the path leads to {where.path}")
    if have == MISSING:
        yield from locate.made_new(spec.name, spec.path, where, host)
    yield from directory_place.on_the_way(where, host, spec.above)
    yield Desired(place, SUBVOLUME)
    yield from _told(where, have, host)
    if have == MISSING:
        yield from _not_inherited(spec, where, host)
    if have in {MISSING, DIRECTORY}:
        yield Note(_LEFT_BEHIND, "V621", COST)
        yield Note(_NOT_BACKED_UP, "V623", COST)
        yield from _limits(filesystem, host)


def _not_asked_for(have: str) -> Iterator[Said]:
    yield Summary("left as it is")
    if have in {SUBVOLUME, UNFINISHED}:
        yield Note("it is a subvolume and stays one: vmtune turns none into a directory", "V603")


def _told(where: Location, have: str, host: HostView) -> Iterator[Said]:
    if have == SUBVOLUME:
        yield Summary("snapshots of the subvolume around it leave it out")
    elif have == UNFINISHED:
        yield Summary("the old directory is removed")
    else:
        yield Summary("snapshots of the subvolume around it will leave it out")
    if have == DIRECTORY:
        taken = host.maybe(SnapshotsOf(where.path))
        if taken:
            yield Note(
                f"{', '.join(taken)}. They keep the data that is there now; a block that they "
                "share with an image is copied at its next write",
                "V604",
                COST,
            )
        inside = host(ContentsOf(where.path))
        if inside.entries:
            yield Note("no data is copied; no program may use the files meanwhile", label=COST)
        if not inside.all_seen:
            what = "see whether a program uses it"
            yield Note(diagnostics.hidden(what, host, "checks before it begins"))
        for limit in inside.limits:
            yield Note(limit)


_LEFT_BEHIND = (
    "after a rollback of the subvolume around it the images are in the old one, and an empty stub "
    "is here. A subvolume at the top level, with its own line in /etc/fstab (subvol=...), is not "
    "touched by a rollback"
)

_NOT_BACKED_UP = (
    "backups that stay on one filesystem (borg, restic, rsync -x, tar --one-file-system) and "
    "backups of snapshots of the subvolume around it will not contain the images. Name this "
    "directory to these programs"
)


def _not_inherited(spec: Spec, where: Location, host: HostView) -> Iterator[Note]:
    """What a directory made there would inherit, and a new subvolume does not."""
    top = parent(where.missing[0])
    above = {each.path for each in spec.above if each.subvolume}
    if not above.intersection(where.missing) and host.maybe(DefaultAcl(top)):
        text = f"{top} has a default ACL, which a new subvolume does not inherit"
        yield Note(f"{text}. Set the ACL again with `setfacl -d`", "V624")
    if spec.decides:
        return
    around = directory_place.inherited(where, host, spec.above)[""]
    if around is None:
        text = "the directory around it cannot be read: whether it is nocow or has compression is"
        yield Note(f"{text} not known. A new subvolume inherits neither", "V624")
    elif around.nocow:
        are = directory_place.without_nocow(top, host)
        yield Note(
            "a directory made here would inherit nocow; a new subvolume does not, so its files "
            f"will be {are}: `nocow: true` in this entry makes it nocow",
            "V624",
        )
    elif around.compression:
        yield Note(
            f"a directory made here would inherit compression {around.compression}; a new "
            f"subvolume does not: `compression: {_declarable(around.compression)}` in this entry "
            "sets it",
            "V624",
        )


def _declarable(compression: str) -> str:
    """Return the word of the configuration for the setting of a directory."""
    return {"c": "zlib", "m": "none"}.get(compression, compression)


def _limits(filesystem: Filesystem, host: HostView) -> Iterator[Note]:
    """Quotas of the subvolume around it, which a new one is outside of."""
    quota = filesystem.quota
    if quota.simple:  # a new subvolume gets the parent qgroups of the one around it
        limits = [limit for limit in quota.limits if limit.qgroup.startswith("0/")]
    else:
        limits = list(quota.limits)
    for limit in limits:
        yield Note(f"it will not count towards a limit: {limit.words}", "V622")
    if quota.unseen:
        what = "see whether it will be outside of limits of qgroups"
        yield Note(diagnostics.hidden(what, host), "V622")


def _refused(
    spec: Spec, where: Location, filesystem: Filesystem, have: str, host: HostView
) -> Refusal | None:
    if refusal := locate.no_directory(where):
        return refusal
    if where.path in directory_place.TOO_WIDE or where.is_home:
        return Refusal(
            f"{where.path} holds far more than images", "declare the directory of images", "V605"
        )
    if unsafe := condition.refusal(filesystem.condition, filesystem.profiles):
        return unsafe
    if filesystem.read_only:
        return Refusal(f"{where.path} is on a read-only mount or subvolume", "", "V606")
    if have in {MISSING, UNFINISHED}:
        return None
    inside = host(ContentsOf(where.path))
    return (
        _left(where, inside)
        or _stub_inside(where, inside, host)
        or _fixed(inside)
        or _kept_from(inside)
        or _short(inside, filesystem)
        or _in_use(inside)
        or _as_they_are(spec, inside)
    )


_OF_USE = frozenset({"V607", "V613", "V615", "V616"})
"""The codes of refusals that end once somebody lets go of the directory, or of what is in it."""


def _awaited(
    where: Location, place: Subvolume, refusal: Refusal, host: HostView
) -> Iterator[Awaited]:
    """Say that only a use is in the way, where that is so; a mount point is no use."""
    if refusal.code in _OF_USE and not host(ContentsOf(where.path)).mounted:
        yield Awaited(Desired(place, SUBVOLUME), DIRECTORY, refusal.text, (where.path,))


def _left(where: Location, inside: Contents) -> Refusal | None:
    """What no run may remove: an earlier one could not tell which of the two is the good one."""
    if not inside.left:
        return None
    return Refusal(
        f"{inside.left} was to take its place, and may hold what was written then",
        f"copy what you want to keep into {where.path}, then: "
        f"btrfs subvolume delete {quote(inside.left)}",
        "V614",
    )


def _stub_inside(where: Location, inside: Contents, host: HostView) -> Refusal | None:
    """Say of an empty stub in the directory where its subvolume is: a stub cannot come along."""
    if not inside.stubs:
        return None
    place = f"{where.path}/{inside.stubs[0]}"
    return locate.stub_refusal(place, host)


def _fixed(inside: Contents) -> Refusal | None:
    """What a directory cannot be moved away from."""
    if inside.mounted or inside.shown:
        where = _named(inside.shown)
        seen = "it is a mount point" if inside.mounted else f"it, or what is in it, is {where}"
        return Refusal(
            f"{seen}; the mount would go on showing the old directory",
            "stop the container or service that has this mount, or unmount it",
            "V607",
        )
    if found := (*inside.subvolumes, *inside.mounts):
        return Refusal(
            f"{_named(found)} in it: another subvolume or mount, which cannot come along",
            "move it out first, or declare the directories beside it",
            "V608",
        )
    return None


def _kept_from(inside: Contents) -> Refusal | None:
    """What no other subvolume can have as it is here."""
    if inside.outside:
        return Refusal(
            f"{_named(inside.outside)}: hard links, with other names outside the directory; none "
            "reaches into another subvolume",
            "remove the other names, or copy the file",
            "V609",
        )
    if inside.special:
        return Refusal(
            f"{_named(inside.special)}: a socket, FIFO or device, which vmtune does not copy",
            "remove it where no program needs it, or declare the directories beside it",
            "V610",
        )
    if inside.too_many:
        return Refusal(
            f"more than {MOST_ENTRIES:,} files and directories, which cannot be held still at once",
            "make a subvolume by hand while nothing uses them, and move them in",
            "V611",
        )
    return None


def _short(inside: Contents, filesystem: Filesystem) -> Refusal | None:
    needed = _AT_LEAST + inside.entries * _A_FILE
    if filesystem.free >= needed:
        return None
    return Refusal(
        f"{binary(filesystem.free)} are free, and "
        f"{counted(inside.entries, 'entry', 'entries')} need {binary(needed)} of metadata",
        "make room first",
        "V612",
    )


def _in_use(inside: Contents) -> Refusal | None:
    if inside.users:
        return Refusal(
            f"in use by {_named(inside.users)}. A program that works in a directory goes on in the "
            "old one",
            "end the program, or have it change to another directory; then apply again",
            "V613",
        )
    if inside.opened:
        return Refusal(
            f"in use: {_named(inside.opened)}",
            "end that (shut the machine down, swapoff, losetup -d), then apply again",
            "V615",
        )
    if inside.exported:
        return Refusal(
            f"{_named(inside.exported)} is exported by NFS, and what a client has open is not seen "
            "here",
            "stop what uses it there, take the export back (exportfs -u), then apply again",
            "V616",
        )
    if inside.unlooked:
        return Refusal(
            f"what is in use cannot be seen: {inside.unlooked[0]}",
            "apply where root may look at every mount, outside of a container",
            "V617",
        )
    return None


def _freed(fixed: Sequence[str]) -> Iterator[str]:
    """Say what lets go of the files that are named with what keeps each of them."""
    sealed = [each for each in fixed if each.endswith(f"({SEALED})")]
    if len(sealed) < len(fixed):
        yield "take the attribute away first (chattr -i -a)"
    if sealed:
        yield "nothing takes fs-verity off: move the sealed file out first"


def _as_they_are(spec: Spec, inside: Contents) -> Refusal | None:
    """Files that cannot be given to another subvolume with all that they have."""
    if inside.fixed:
        return Refusal(
            f"{_named(inside.fixed)}: it cannot be moved", "; ".join(_freed(inside.fixed)), "V618"
        )
    if inside.unclonable:
        by_hand = "copy it to a new name with `cp --reflink=never`, and that over it"
        hint = "the rewriting of this entry gives it a new file: apply, then apply again"
        return Refusal(
            f"{_named(inside.unclonable)}: written without checksums (mount option nodatasum), and "
            "a new file gets some: they cannot share data",
            hint if spec.rewrites else by_hand,
            "V619",
        )
    return None


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return f"{', '.join(names[:_NAMED])}{more}"


def places(spec: Spec, host: HostView) -> Iterator[Place[Any]]:
    """The path itself."""
    yield Subvolume(host(Locate(spec.path)).path, 0, 0, 0)


KIND = Kind("subvolume", PATHS, parse, want, places=places, defaults={"subvolume": False})
