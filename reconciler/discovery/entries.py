"""What to declare for a directory of images: from what it is to an entry under ``paths``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.discovery.candidates import declarable, images_below, tilde, told
from reconciler.discovery.facts import SnapshotPlansOf, SubvolumeRoot, WhoAsks
from reconciler.engine.directory import TOO_WIDE, Directory
from reconciler.facts import condition, diagnostics, limits
from reconciler.facts.discovered import Choice, Entry, Remark
from reconciler.facts.host import FilesystemOf, Locate, Mounts, SnapshotsOf, TreeOf
from reconciler.facts.host_view import NotVisible
from reconciler.facts.locate import stub_refusal, unmounted
from reconciler.formats import datamode, mountinfo
from reconciler.formats.paths import is_at_or_below
from reconciler.formats.sizes import binary, counted
from reconciler.value import Value

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.discovery.candidates import Candidate
    from reconciler.engine.directory import Folder
    from reconciler.facts.host import Filesystem, Location
    from reconciler.facts.host_view import HostView
    from reconciler.facts.tree import Tree


class State(Value):
    """A directory on Btrfs as far as it could be seen: None is what could not."""

    candidate: Candidate
    where: Location
    host: Filesystem
    folder: Folder | None
    tree: Tree | None
    snapshots: tuple[str, ...] | None
    is_subvolume: bool

    @property
    def is_nocow(self) -> bool:
        return bool(self.folder and self.folder.nocow)

    @property
    def cow_count(self) -> int:
        return self.tree.cow.count if self.tree else 0


def suggest(candidate: Candidate, host: HostView) -> Entry | Remark:
    """An entry, or why there is nothing to declare."""
    shown = tilde(candidate.path, host(WhoAsks()).home)
    who = "; ".join(candidate.origins)
    head = f"{shown} ({who})" if who else shown
    try:
        where = host(Locate(candidate.path))
        filesystem = host(FilesystemOf(where.path))
        unfit = _unfit(where, filesystem, host)
    except NotVisible as hidden:
        return Remark("unseen", f"{head}: {hidden.why}")
    if unfit := unfit or declarable(shown):
        return Remark("apart", f"{head}: {unfit}")
    if of_the_program := _out_of_reach(candidate, where, host):
        return Remark("apart", f"{head}: {of_the_program}")
    return _entry(state(candidate, where, filesystem, host), shown, host)


def _out_of_reach(candidate: Candidate, where: Location, host: HostView) -> str:
    """Say so where a program keeps each image in a subvolume that it makes; "" where not."""
    if not candidate.program:
        return ""
    tree, images = host.maybe(TreeOf(where.path)), images_below(candidate, host)
    if not tree or not tree.subvolumes or not images or not images.folders:
        return ""
    tops = [f"{where.path}/{name}" for name in tree.subvolumes]
    if not all(any(is_at_or_below(f.path, top) for top in tops) for f in images.folders):
        return ""
    return (
        f"{told(images)}, in subvolumes that {candidate.program} makes. A new subvolume inherits "
        f"no nocow from a directory, so whether images are nocow is to be set in "
        f"{candidate.program}, or for each subvolume in an entry of its own"
    )


def state(candidate: Candidate, where: Location, filesystem: Filesystem, host: HostView) -> State:
    """What is asked of a directory that is there; one to be made has none of it."""
    there = where.kind == "directory"
    return State(
        candidate,
        where,
        filesystem,
        host.maybe(Directory(where.path)) if there else None,
        host.maybe(TreeOf(where.path)) if there else None,
        _snapshots(where.path, host),
        there and (host.maybe(SubvolumeRoot(where.path)) or False),
    )


def _snapshots(path: str, host: HostView) -> tuple[str, ...] | None:
    """Those there are only root sees; programs that will make more, others do as well."""
    found = host.maybe(SnapshotsOf(path))
    return found if found is not None else host.maybe(SnapshotPlansOf(path)) or None


def _unfit(where: Location, filesystem: Filesystem, host: HostView) -> str:
    """Why nothing can be declared for it; "" where something can."""
    if where.stub:
        told = stub_refusal(where.stub, host)
        return f"{told.text}; {told.hint}"
    if where.kind not in {"directory", "missing"}:
        return f"is {where.kind}"
    if text := unmounted(where.path, host):
        return text
    if filesystem.type != "btrfs":
        return f"on {filesystem.type}, which does not copy on write by itself: nothing to do"
    if where.path in TOO_WIDE or where.is_home:
        return (
            "holds far more than images; move them to a directory of their own, such as "
            "~/libvirt/images, and declare that"
        )
    if unsafe := condition.refusal(filesystem.condition, filesystem.profiles):
        return f"{unsafe.text}; {unsafe.hint}"
    if filesystem.zoned:
        return f"{limits.ZONED}: nothing to declare"
    mount = mountinfo.containing(host(Mounts()), where.path)
    if plain := datamode.of_live(mount.super_options).plain if mount else "":
        return (
            f"its filesystem is mounted {plain}, so files made there have no checksums, whatever "
            "is declared: end that first (vmtune explain V520)"
        )
    return "on a read-only mount or subvolume" if filesystem.read_only else ""


def _entry(of: State, shown: str, host: HostView) -> Entry:
    found = (Remark("found", "; ".join(_found(of, host))), *_not_seen(of, host))
    keys: dict[str, object] = {"path": shown, "nocow": True}
    if of.host.redundant and not of.is_nocow:
        rest = (Remark("suggest", _RAID), Remark("price", _raid_price(of)))
        also = Choice("compression", "none", "in place of nocow and allow: keeps checksums")
        return Entry("paths", {**keys, "allow": ["raid"]}, found + rest, (also,), active=False)
    if others := _others(of, host):
        rest = (Remark("suggest", _MIXED.format(others)), Remark("price", _PRICE))
        return Entry("paths", keys, found + rest, active=False)
    if of.candidate.cow == "yes":
        text = (
            "nothing, while its pool says <cow state='yes'/>: remove that (virsh pool-edit) first"
        )
        return Entry("paths", keys, (*found, Remark("suggest", text)), active=False)
    if of.snapshots and of.is_subvolume:
        text = "leave this subvolume out of the snapshots; with them, nocow files get fragments too"
        rest = (Remark("suggest", text), Remark("price", _PRICE))
        return Entry(
            "paths", {**keys, "allow": ["snapshots"]}, found + rest, _rewrite(of), active=False
        )
    if of.snapshots:
        keys["subvolume"] = True
    return _nocow(of, keys, found)


def _others(of: State, host: HostView) -> int:
    """Files that are no images, where they outnumber them in a place that is not for images."""
    if of.candidate.dedicated or of.is_nocow or not of.tree:
        return 0
    images = images_below(of.candidate, host)
    count = sum(folder.count for folder in images.folders) if images else 0
    others = of.tree.data_files - count
    return others if others > max(_FEW, _MANY * count) else 0


def _nocow(of: State, keys: dict[str, object], found: tuple[Remark, ...]) -> Entry:
    is_right = of.is_nocow and not of.cow_count and not of.snapshots and not of.host.redundant
    remarks = [*found]
    if is_right:
        remarks.append(Remark("suggest", "keep it nocow: `vmtune status` says when it is not"))
    else:
        remarks += [Remark("suggest", _suggested(of)), Remark("why", _why(of))]
        price = _PRICE + _FOR_GOOD * bool(of.cow_count) + _SNAPSHOT_PRICE * bool(of.snapshots)
        remarks.append(Remark("price", price))
    if of.host.redundant:
        remarks.append(Remark("price", _raid_price(of)))
    choices = _rewritten(of)
    if not of.is_subvolume and "subvolume" not in keys:
        choices += (Choice("subvolume", value=True, why="snapshots then leave the images out"),)
    return Entry("paths", keys, tuple(remarks), choices, is_right=is_right and _is_seen(of))


def _is_seen(of: State) -> bool:
    """Nothing is left that only root could tell."""
    return of.tree is not None and not of.tree.unseen.count and of.snapshots is not None


_FEW, _MANY = 20, 4
"""An image comes with some files of its own: firmware, logs, a configuration."""

_MIXED = (
    "move the images to a directory of their own, and declare that; here {:,} other files would "
    "lose their checksums as they are written anew"
)

_PRICE = "no checksums, no compression: damage on the disk is not noticed"

_FOR_GOOD = "; a rewrite cannot be taken back"

_SNAPSHOT_PRICE = (
    "; snapshots of the subvolume around it do not contain the images: back them up in another way"
)

_RAID = "choose yourself: nocow is faster; copy-on-write repairs a bad copy from the good one"


def _suggested(of: State) -> str:
    nocow = "new files are written in place" if of.is_nocow else "new files written in place (+C)"
    own = ", in a subvolume of its own" if of.snapshots else ""
    if not of.cow_count:
        return f"{nocow}{own}"
    it, are = ("it", "is") if of.cow_count == 1 else ("them", "are")
    files = counted(of.cow_count, "file")
    return f"{nocow}{own}; {files} with data {are} rewritten, while nothing has {it} open"


def _why(of: State) -> str:
    if of.snapshots:
        return (
            "after a snapshot, the first write to each block is copied all the same, so nocow "
            "alone does not help"
        )
    return "guests rewrite blocks at random, and copy-on-write scatters these over the disk"


def _raid_price(of: State) -> str:
    return (
        f"data is kept as {of.host.redundant}: without checksums a bad copy is read as often as "
        "the good one, and scrub repairs nothing (vmtune explain V102)"
    )


def _rewritten(of: State) -> tuple[Choice, ...]:
    """The images that are there already, made nocow: suggested with the directory."""
    if not of.cow_count:
        return ()
    it = "it stays" if of.cow_count == 1 else "they stay"
    return (Choice("existing", "rewrite", f"or keep: {it} copy-on-write", chosen=True),)


def _rewrite(of: State) -> tuple[Choice, ...]:
    if not of.cow_count:
        return ()
    why = f"{counted(of.cow_count, 'file')} anew, when not in use; or keep"
    return (Choice("existing", "rewrite", why),)


def _found(of: State, host: HostView) -> Iterator[str]:
    yield from of.candidate.origins
    if of.where.kind == "missing":
        yield "not there yet"
        return
    images = images_below(of.candidate, host)
    if count := told(images):
        size = sum(folder.size for folder in images.folders) if images else 0
        yield f"{count}, {binary(size)}"
    if of.folder:
        yield "a nocow directory" if of.is_nocow else "a copy-on-write directory"
        if of.folder.compression:
            yield f"compression {of.folder.compression}, which nocow replaces"
    if of.tree and of.cow_count:
        yield _scattered(of.tree)
    yield from of.snapshots or ()


def _scattered(tree: Tree) -> str:
    most = max((file.fragments or 0 for file in tree.cow.largest), default=0)
    files = counted(tree.cow.count, "file with data is", "files with data are")
    worst = f", the worst in {counted(most, 'fragment')}" if most > 1 else ""
    return f"{files} copy-on-write{worst}"


def _not_seen(of: State, host: HostView) -> Iterator[Remark]:
    caller = host(WhoAsks())
    who = "root" if caller.is_root else caller.name
    if of.where.kind == "directory" and (of.folder is None or of.tree is None):
        yield Remark("unseen", f"what it holds is not readable as {who}")
    elif of.tree and of.tree.unseen.count:
        unread = counted(of.tree.unseen.count, "entry", "entries")
        yield Remark("unseen", f"{unread} below not readable as {who}")
    if of.snapshots is None:
        yield Remark("unseen", diagnostics.hidden("see whether there are snapshots of it", host))
