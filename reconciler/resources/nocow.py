"""Directories whose new files are written in place (chattr +C).

Btrfs copies every block it rewrites to a new place, so an image rewritten at
random turns into fragments. The attribute is inherited when a file is
created: it takes effect on an empty file or on a directory, for what is made
there from then on. A file that has data keeps what it had, although chattr
says nothing and exits with 0. Files written in place have no checksums: what
a disk returns wrongly is neither noticed nor healed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from reconciler.core.elsewhere import astray, unmounted
from reconciler.core.facts import NAMED, FilesystemOf, Locate, SnapshotsOf, TreeOf
from reconciler.core.kind import Kind
from reconciler.core.model import (
    Finding,
    Goal,
    NotApplicable,
    Note,
    Op,
    Refusal,
    Summary,
)
from reconciler.core.places import Below, Directory, Folder
from reconciler.core.sizes import binary, counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from reconciler.core.facts import Filesystem, Location, Tree
    from reconciler.core.item import Item
    from reconciler.core.model import Said
    from reconciler.core.snapshot import Snapshot

_MODE = 0o711  # what libvirt gives the directory of a storage pool it builds
_PLAIN_MODE = 0o755
_REDUNDANT = frozenset({"dup", "raid1", "raid1c3", "raid1c4", "raid10", "raid5", "raid6"})
_TOO_WIDE = frozenset({"/", "/boot", "/etc", "/home", "/opt", "/srv", "/usr", "/var", "/var/lib"})


@dataclass(frozen=True, slots=True)
class Spec:
    """``name`` as the user wrote it, ``path`` absolute; ``existing`` is report, keep or rewrite."""

    name: str
    path: str
    existing: str
    allow: frozenset[str]
    wanted: bool | None
    apart: tuple[str, ...]
    """Paths below this one that are declared on their own."""
    around: tuple[str, ...]
    """Paths above this one that are declared nocow: what is made below them inherits it."""
    missing_feature: str


def parse(item: Item, items: Sequence[Item]) -> Spec:
    data = item.data
    below = (other.path for other in items if other.path.startswith(f"{item.path}/"))
    above = (
        other.path
        for other in items
        if item.path.startswith(f"{other.path}/") and other.data.get("nocow")
    )
    features = {
        "existing: rewrite": data.get("existing") == "rewrite",
        "subvolume": bool(data.get("subvolume")),
        "compression": bool(data.get("compression")),
    }
    return Spec(
        item.name,
        item.path,
        data.get("existing", "report"),
        frozenset(data.get("allow", ())),
        data["nocow"] if "nocow" in item.marks else None,
        tuple(below),
        tuple(above),
        next((name for name, asked in features.items() if asked), ""),
    )


def want(spec: Spec, see: Snapshot) -> Iterator[Said]:
    """The directory, made where missing, with +C; and what already lies below it."""
    where = see(Locate(spec.path))
    if refusal := _elsewhere(where, see):
        yield refusal
        return
    host = see(FilesystemOf(where.path))
    if host.type != "btrfs":
        yield NotApplicable(f"on {host.type}, which does not copy on write by itself")
        return
    if refusal := _standing_in_the_way(spec, where, host):
        yield refusal
        return
    if spec.wanted is None:
        yield Summary("nothing is declared about it")
        return
    have = see(Directory(where.path))
    if where.path != spec.path:
        yield Note(f"is {where.path}")
    if not have or have.nocow != spec.wanted:
        if refusal := _risk(spec, where.path, host, see):
            yield refusal
            return
        yield from _prices(spec, where.path, host, see)
    elif spec.wanted:
        yield from _since(spec, where.path, host, see)
    yield from _on_the_way(spec, where, see)
    yield from _directory(spec, where, have)
    if spec.wanted:
        yield from _contents(spec, see, Below(where.path, spec.apart))
    else:
        yield from _left_below(spec, where, see)


def _elsewhere(where: Location, see: Snapshot) -> Refusal | None:
    if text := astray(where):
        return Refusal(text, "declare the directory by its real path", "V109")
    if text := unmounted(where.path, see):
        return Refusal(text, "mount it first", "V108")
    return None


def _standing_in_the_way(spec: Spec, where: Location, host: Filesystem) -> Refusal | None:
    if where.kind not in {"directory", "missing"}:
        return Refusal(f"{where.path} is {where.kind}", "declare a directory")
    if where.path in _TOO_WIDE or where.is_home:
        return Refusal(
            f"{where.path} holds far more than images, and all of it would lose its checksums",
            "declare the directory that holds the images",
            "V105",
        )
    if host.read_only:
        return Refusal(f"{where.path} is on a read-only mount or subvolume")
    if spec.missing_feature:
        return Refusal(
            f"this version cannot do `{spec.missing_feature}` yet, and does nothing here",
            "take it out to have the rest of the entry done",
        )
    return None


def _risk(spec: Spec, path: str, host: Filesystem, see: Snapshot) -> Refusal | None:
    """Named risks that must be allowed by name before anything is changed."""
    redundant = _redundant(host)
    if spec.wanted and redundant and "raid" not in spec.allow:
        return Refusal(
            f"data is kept as {redundant}: without checksums a bad copy is read as "
            "often as the good one, and scrub cannot tell which is which",
            "to accept that, write `allow: [raid]`",
            "V102",
        )
    taken = see.maybe(SnapshotsOf(path))
    if spec.wanted and taken and "snapshots" not in spec.allow:
        return Refusal(
            f"{', '.join(taken)}: after each one every block is copied once more, so images "
            "fragment as before, and have no checksums either",
            "give images a subvolume that is not snapshotted, or write `allow: [snapshots]`",
            "V103",
        )
    return None


def _prices(spec: Spec, path: str, host: Filesystem, see: Snapshot) -> Iterator[Said]:
    if not spec.wanted:
        return
    if not host.profiles:
        yield Note("the data profile could not be seen; DUP and RAID would heal no errors", "V102")
    if _redundant(host):
        yield Note("allowed: raid. Errors on one of the copies will not be healed", "V102")
    taken = see.maybe(SnapshotsOf(path))
    if taken:
        yield Note(f"allowed: snapshots, though {', '.join(taken)}", "V103")
    if taken is None:
        yield Note("whether its subvolume is snapshotted only root can see; apply looks")


def _since(spec: Spec, path: str, host: Filesystem, see: Snapshot) -> Iterator[Said]:
    """Risks that nobody allowed and that came after the attribute, or were there before vmtune."""
    if (redundant := _redundant(host)) and "raid" not in spec.allow:
        text = f"data is kept as {redundant}: errors on one of the copies will not be healed"
        yield Note(f"{text}; to accept that, write `allow: [raid]`", "V102")
    taken = see.maybe(SnapshotsOf(path))
    if taken and "snapshots" not in spec.allow:
        text = f"{', '.join(taken)}: images fragment as before, and have no checksums"
        yield Note(f"{text}; to accept that, write `allow: [snapshots]`", "V103")


def _redundant(host: Filesystem) -> str:
    return "/".join(sorted(_REDUNDANT.intersection(host.profiles)))


def _on_the_way(spec: Spec, where: Location, see: Snapshot) -> Iterator[Said]:
    """Missing directories above it, which inherit from what is there or will be."""
    if len(where.missing) < 2:  # noqa: PLR2004 - only the path itself is missing
        return
    nearest = see.maybe(Directory(where.missing[0].rpartition("/")[0] or "/"))
    for missing in where.missing[:-1]:
        inside = any(missing.startswith(f"{path}/") for path in spec.around)
        folder = Folder(
            nocow=inside or bool(nearest and nearest.nocow),
            compression=nearest.compression if nearest and not inside else "",
            mode=_mode(_PLAIN_MODE, where),
            **_owner(where),
        )
        yield Goal(Directory(missing), folder, weak=True)


def _directory(spec: Spec, where: Location, have: Folder | None) -> Iterator[Said]:
    if have is None:
        new = Folder(
            nocow=bool(spec.wanted), compression="", mode=_mode(_MODE, where), **_owner(where)
        )
    else:
        new = replace(
            have, nocow=bool(spec.wanted), compression="" if spec.wanted else have.compression
        )
    why = f"the kernel refuses nocow beside compression {have.compression}" if have else ""
    yield Goal(Directory(where.path), new, why if have and have.compression and spec.wanted else "")
    if new == have:
        yield Summary("new files are written in place" if spec.wanted else "copy-on-write")
    elif spec.wanted:
        yield Summary("new files will be written in place, without checksums")
    else:
        yield Summary("new files will be copy-on-write; those there now stay nocow")


def _mode(mode: int, where: Location) -> int:
    """With the set-group-ID bit where the parent hands it on."""
    return mode | 0o2000 if where.parent_setgid else mode


def _owner(where: Location) -> dict[str, Any]:
    return {"uid": where.parent_uid, "gid": where.parent_gid}


def _left_below(spec: Spec, where: Location, see: Snapshot) -> Iterator[Said]:
    tree = see.maybe(TreeOf(where.path, spec.apart))
    if tree and (count := tree.nocow_directories):
        below = counted(count, "directory", "directories")
        yield Note(
            f"{below} below still nocow, and so will be new files there: `chattr -C` on each, or "
            "declare it too"
        )


def _contents(spec: Spec, see: Snapshot, below: Below) -> Iterator[Said]:
    tree = see(TreeOf(below.path, below.apart))
    yield Goal(below, ())
    if spec.existing == "keep" and tree.cow_count:
        yield Note(f"{counted(tree.cow_count, 'file')} with data kept copy-on-write, as declared")
    elif tree.cow_count:
        yield from _cow_files(spec, tree)
    for name in tree.subvolumes:
        text = "a subvolume of its own: new files in it are copy-on-write"
        hint = f"if it holds images, declare {spec.name}/{name} as a path too"
        yield Note(f"{name}: {text}; {hint}", "V106")
    for name in tree.mounts:
        yield Note(f"{name}: another mount, not looked into")
    for name in tree.unseen[:NAMED]:
        yield Finding(Op.UNKNOWN, f"{spec.name}/{name}".rstrip("/"), "not readable", code="V107")
    if rest := len(tree.unseen[NAMED:]):
        text = f"{counted(rest, 'more entry', 'more entries')} not readable"
        yield Finding(Op.UNKNOWN, f"{spec.name}/...", text, code="V107")


def _cow_files(spec: Spec, tree: Tree) -> Iterator[Said]:
    """One row for each of the largest, one for all the rest; the last one says what to do."""
    hint = (
        "while nothing uses it: `cp -a --reflink=never --sparse=always` to a new name, then `mv` "
        "over it; or accept it with `existing: keep`"
    )
    named = tree.cow[:NAMED]
    rest = tree.cow_count - len(named)
    for number, file in enumerate(named, 1):
        extents = "" if file.extents is None else f", {counted(file.extents, 'extent')}"
        yield Finding(
            Op.BLOCKED,
            f"{spec.name}/{file.path}",
            f"{binary(file.size)}{extents}: +C cannot take on a file that has data",
            hint if number == len(named) and not rest else "",
            "V101",
        )
    if rest:
        yield Finding(
            Op.BLOCKED,
            f"{spec.name}/...",
            f"{counted(rest, 'more file')} that are copy-on-write, {binary(tree.cow_bytes)} in all",
            hint,
            "V101",
        )


KIND = Kind("nocow", "paths", parse, want)
