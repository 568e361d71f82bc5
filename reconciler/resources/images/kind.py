"""Images that are there already: files with data that are not yet as their directory is declared.

New files get what their directory hands on. An image that has data keeps the
layout it was written with: only writing it anew into a new file changes that.
`existing: report` names such images, `existing: keep` accepts them, and
`existing: rewrite` (for once: `apply --allow rewrite-images`) writes them anew:
nocow where that is declared, uncompressed under `compression: none`.

Each image in turn is copied into a new file beside it, and holes stay holes.
The copy is read back and compared, and takes the place of the image in one
step. Only then the old data is removed. An image that something has open when
its turn comes is left as it is, also if it is open only for reading. A program
that comes later and only reads (a backup, lsattr, libvirt as it refreshes a
pool) gets in at once, and the rewrite goes on. If a program opens an image for
writing while the image is being rewritten, that rewrite is cancelled: the
program waits for less than a second as a rule, and has its file unharmed. With
O_NONBLOCK such a program gets EWOULDBLOCK instead of the wait, and may try
again. An image that a mount holds (a bind mount of the file, a layer of an
overlay), that is exported by NFS, has hard links, may not be changed, cannot be
read or finds no room is left as it is, too. Each is named with its reason, and
the others go on. A rewrite cannot be taken back. It takes as much free space as
the largest image has on disk, and all that snapshots share.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from reconciler.engine.model import Awaited, Desired
from reconciler.engine.resource import Kind
from reconciler.facts import condition, diagnostics, limits
from reconciler.facts.diagnostics import Finding, Note, Op, Summary
from reconciler.facts.host import FilesystemOf, Locate, TreeOf
from reconciler.facts.tree import FOREIGN, MOST, NAMED, NONE_LEFT, OPENED_TWICE, CowFile, Lot
from reconciler.formats.sizes import binary, counted
from reconciler.resources.images import machines
from reconciler.resources.images.places import (
    ELSEWHERE,
    NOCOW,
    PLAIN,
    Image,
    Images,
    OneImage,
    Strays,
    as_found,
    as_wanted,
)
from reconciler.resources.images.room import Room, alone, room, takes, too_large
from reconciler.resources.paths_section import PATHS
from reconciler.value import Value

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from reconciler.engine.item import Item, Items
    from reconciler.engine.model import Said
    from reconciler.engine.place import Place
    from reconciler.facts.host import Filesystem
    from reconciler.facts.host_view import HostView
    from reconciler.facts.tree import Parts, Tree
    from reconciler.resources.images.machines import Guest


_ALLOWED = "rewrite-images"

_LOOKS = "looks like an unfinished copy, and is left there"

_COMPARE = "compare it with the image; keep what you need, and remove the other"


class Spec(Value):
    """``aim`` is NOCOW or PLAIN, ``existing`` report, keep or rewrite."""

    name: str
    path: str
    aim: str
    existing: str
    apart: tuple[str, ...]
    only: str = ""
    """The one image that was chosen, relative to the path; "" for all of them."""
    suspend: bool = False
    """Whether machines may be saved and started again for it."""


class _Why(Value):
    """Why an image is left as it is, and what to do about it.

    ``used`` is the file whose use is all that stands in the way, relative; "" for another reason.
    """

    text: str
    hint: str
    code: str
    used: str = ""


def parse(item: Item, items: Items) -> Spec | None:
    data = item.data
    if not data.get("nocow") and data.get("compression") != "none":
        return None
    existing = data.get("existing", "report")
    if existing == "report" and _ALLOWED in data.get("allow", ()):
        existing = "rewrite"
    below = (other.path for other in items.below(item.path))
    aim = NOCOW if data.get("nocow") else PLAIN
    suspend = machines.RISK in data.get("allow", ())
    return Spec(item.name, item.path, aim, existing, tuple(below), suspend=suspend)


def want(spec: Spec, host: HostView) -> Iterator[Said]:
    """None left that are not as declared, where that is to be; else what there is."""
    where = host(Locate(spec.path))
    if where.kind != "directory":
        return
    is_close = spec.aim == PLAIN or spec.existing == "rewrite" or bool(spec.only)
    tree = host(TreeOf(where.path, spec.apart, is_close, spec.only))
    lot = tree.cow if spec.aim == NOCOW else tree.compressed
    filesystem = host(FilesystemOf(where.path))
    unsafe = condition.rewriting(filesystem.condition, filesystem.profiles)
    if tree.stale_copies:
        yield Desired(Strays(where.path, spec.apart), ())
    yield from _left_over(spec, tree)
    if spec.only and not lot.count:
        yield from _nothing_to_do(spec, tree)
    elif spec.existing == "rewrite" and lot.count and unsafe:
        yield _blocked(spec.name, _Why(unsafe.text, unsafe.hint, unsafe.code))
    elif spec.existing == "rewrite":
        yield from _rewrite(spec, where.path, tree, lot, filesystem, host)
    elif lot.count and spec.existing == "keep":
        files, state = counted(lot.count, "file"), as_found(spec.aim)
        stay = "stays" if lot.count == 1 else "stay"
        yield Summary(f"{files} with data {stay} {state}, as declared")
    elif lot.count:
        yield from _report(spec, lot, filesystem)
    elif tree.stale_copies:
        yield Summary("unfinished copies that a run left when it was killed")


def _nothing_to_do(spec: Spec, tree: Tree) -> Iterator[Said]:
    """Say why the one image that was chosen needs nothing, or that it could not be read."""
    if not tree.unseen.count:
        yield Summary(f"is {as_wanted(spec.aim)} already")
        return
    held = limits.leased_findings(tree, spec.name)
    subject = f"{spec.name}/{spec.only}"
    yield held.get(spec.only) or Finding(Op.UNKNOWN, subject, "not readable")


def _left_over(spec: Spec, tree: Tree) -> Iterator[Said]:
    """Copies that may hold what an image does not: only a person can say which one is right."""
    for file in tree.left_over:
        subject, text = f"{spec.name}/{file.path}", f"{_LOOKS}: {file.obstacle}"
        if file.obstacle == FOREIGN:
            yield Note(f"{file.path} {text}")
        elif file.obstacle == OPENED_TWICE:
            image = file.path.rpartition(".opened-")[0]
            text = f"a second copy of {image}: both were opened as it was rewritten"
            yield Finding(Op.BLOCKED, subject, text, _COMPARE, "V711")
        else:
            yield Finding(Op.BLOCKED, subject, text, _COMPARE, "V710")


def _report(spec: Spec, lot: Lot, filesystem: Filesystem) -> Iterator[Said]:
    """One row for each of the largest, one for all the rest; the last one says what to do.

    Then the files that no rewrite would take, each with what helps there.
    """
    free = [file for file in lot.largest if not file.obstacle]
    rest = lot.count - len(lot.largest)
    hint = _ways_out(spec, lot, len(free) + rest, filesystem)
    for file in free:
        last = file is free[-1] and not rest
        yield _reported(spec, file.path, _sizes(spec, file), hint if last else "")
    if rest:
        are = as_found(spec.aim)
        text = f"{counted(rest, 'more file')}, {are}; {binary(lot.size)} in all"
        yield _reported(spec, "...", text, hint)
    for file in lot.largest:
        if file.obstacle:
            why = _protected(file)
            text = f"{_sizes(spec, file)}. `existing: rewrite` would leave it as it is: {why.text}"
            yield _reported(spec, file.path, text, why.hint)


def _ways_out(spec: Spec, lot: Lot, count: int, filesystem: Filesystem) -> str:
    """Say how ``count`` images become as declared, what that takes, and how to accept them."""
    it = "it" if count == 1 else "them"
    keep = f"To accept {it}: `existing: keep`"
    if unsafe := condition.rewriting(filesystem.condition, filesystem.profiles):
        return f"{unsafe.hint}. Until then nothing is rewritten: {unsafe.text}. {keep}"
    least = "at least " if spec.aim == NOCOW else ""  # what is shared was not looked for
    return (
        f"write `existing: rewrite`: `apply` then rewrites {it} while no program has {it} open. "
        f"That needs {least}{binary(room(lot, ()).free)} of free space; "
        f"{limits.have(filesystem)}. For once: `apply --allow {_ALLOWED}`. {keep}"
    )


def _reported(spec: Spec, path: str, text: str, hint: str) -> Finding:
    subject = f"{spec.name}/{path}"
    if spec.aim == NOCOW:
        return Finding(Op.BLOCKED, subject, text, hint, "V101", kind="nocow")
    return Finding(Op.BLOCKED, subject, text, hint, "V701", kind="compression")


def _sizes(spec: Spec, file: CowFile) -> str:
    pieces = "" if file.fragments is None else f", {counted(file.fragments, 'fragment')}"
    if spec.aim == NOCOW:
        return f"{binary(file.size)}{pieces}: +C has no effect on a file that has data"
    return f"{binary(file.size)}, of which {binary(file.encoded)} are compressed and stay so"


def _rewrite(  # noqa: PLR0913, PLR0917 - all that was seen
    spec: Spec, path: str, tree: Tree, lot: Lot, filesystem: Filesystem, host: HostView
) -> Iterator[Said]:
    if lot.count and tree.unlooked:
        text = f"what is in use cannot be seen: {tree.unlooked[0]}"
        yield _blocked(spec.name, _Why(text, ELSEWHERE["unseen"], "V715"))
        return
    left, free = [*_hindered(tree, lot)], limits.free(filesystem)
    left += _resting(path, lot, [file for file, _ in left], host)
    large = too_large(lot, [file for file, _ in left], free)
    left += [(file, _no_room(file, filesystem)) for file in large]
    needed = room(lot, [file for file, _ in left])
    spared = tuple(sorted({file.path for file, _ in left}))
    guests = [*_guests(path, left, filesystem, needed.kept, host)]
    left = [(file, _with_machine(spec, file, why, guests)) for file, why in left]
    suspended = [guest for guest in guests if spec.suspend and not guest.why]
    todo = lot.count - len(spared)
    is_too_many = lot.hindered_count > len(lot.hindered) or len(spared) > MOST
    if is_too_many or (todo and needed.free > free):
        yield _blocked(spec.name, _none_of_them(lot, needed, filesystem))
        return
    its = {file.path for guest in suspended for file in guest.files}
    all_left, left = left, [(file, why) for file, why in left if file.path not in its]
    if todo or not spec.only:
        of_all = Images(path, spec.aim, spec.apart, spared)
        one = OneImage(path, spec.aim, spec.apart, spared, spec.only)
        yield Desired(one if spec.only else of_all, NONE_LEFT)
        yield Summary(_summary(spec, lot, todo, [file for file, _ in all_left], suspended))
        if todo:
            yield from _todo(tree, lot, spared)
            yield from _price(tree, lot, needed, filesystem, host)
        if lot.count and tree.special:
            yield Note(_special(tree), "V712")
    yield from machines.rows(spec.name, path, spec.aim, suspended)
    yield from _spared(spec, left)
    yield from _awaited(spec, path, left, filesystem)


def _none_of_them(lot: Lot, needed: Room, filesystem: Filesystem) -> _Why:
    """Too much stands in the way to leave just that out."""
    if needed.free > limits.free(filesystem):
        kept = f", of which {binary(needed.kept)} stay in use" if needed.kept else ""
        return _Why(
            f"{counted(lot.count, 'file')} would need {binary(needed.free)} of free space{kept}; "
            f"{limits.have(filesystem)}",
            limits.remedy(
                filesystem, "make room: snapshots and clones keep the data that they share"
            ),
            "V706",
        )
    return _Why(
        f"{counted(lot.hindered_count, 'file')} cannot be rewritten now, more than {MOST:,}",
        "they have hard links, are open or are protected. Declare the directory of the images, "
        "and none above it",
        "V708",
    )


def _summary(
    spec: Spec, lot: Lot, todo: int, left: Sequence[CowFile], suspended: Sequence[Guest]
) -> str:
    if not todo and suspended:
        return f"all others that can be rewritten are {as_wanted(spec.aim)}"
    if not todo:
        all_that = "all that can be rewritten" if lot.count else "all"
        return f"{all_that} are {as_wanted(spec.aim)}"
    size = binary(lot.size - sum(file.size for file in left))
    if todo == 1:
        return f"1 file, {size}, becomes {as_wanted(spec.aim)}"
    return f"{todo:,} files, {size}, become {as_wanted(spec.aim)} one by one"


def _todo(tree: Tree, lot: Lot, spared: Sequence[str]) -> Iterator[Note]:
    """A line for each of the largest images, of which some have several files; one for the rest."""
    files = {file.path: file for file in lot.largest if file.path not in spared}
    shown = len(files)
    images = {chain.path: chain for chain in chains(tree)}
    inner = {name for chain in images.values() for name in chain.others if chain.path in files}
    for path in [path for path in files if path not in inner]:
        others = images[path].others if path in images else ()
        members = [files[name] for name in (path, *others) if name in files]
        yield Note(f"{images[path].words if others else path}: {_figures(members)}")
    if rest := lot.count - len(spared) - shown:
        yield Note(f"and {counted(rest, 'more file')}")


def _figures(files: Sequence[CowFile]) -> str:
    """Sizes of one image, whatever its number of files; what there is none of is left out."""
    size, allocated, shared, encoded = (
        sum(getattr(file, name) for file in files)
        for name in ("size", "allocated", "shared", "encoded")
    )
    pieces = sum(file.fragments or 0 for file in files)
    is_less = allocated < size and binary(allocated) != binary(size)
    words = [binary(size), f"{binary(allocated)} on disk" if is_less else ""]
    words += [counted(pieces, "fragment")]
    words += [f"{binary(shared)} shared" if shared else ""]
    words += [f"{binary(encoded)} compressed" if encoded else ""]
    return ", ".join(word for word in words if word)


def _special(tree: Tree) -> str:
    more = f" and {n:,} more" if (n := tree.special_count - len(tree.special)) else ""
    return f"left as they are, because they are no regular files: {', '.join(tree.special)}{more}"


def _price(
    tree: Tree, lot: Lot, needed: Room, filesystem: Filesystem, host: HostView
) -> Iterator[Note]:
    needs, *kept = takes(needed, lot, filesystem)
    yield needs
    yield from limits.notes(filesystem, host)
    yield from condition.errors(filesystem.condition)
    yield from kept
    yield machines.FOR_GOOD
    if not tree.holders_seen:
        what = "see whether a program uses them"
        yield Note(diagnostics.hidden(what, host, "checks before it begins"))
    for limit in tree.limits:
        yield Note(limit)


def _spared(spec: Spec, left: Sequence[tuple[CowFile, _Why]]) -> Iterator[Finding]:
    """A row for each that is left as it is, up to NAMED; of the rest the number."""
    for file, why in left[:NAMED]:
        yield _blocked(f"{spec.name}/{file.path}", why)
    if rest := len(left[NAMED:]):
        text = f"{counted(rest, 'more file')} that cannot be rewritten now"
        yield _blocked(f"{spec.name}/...", _Why(text, "", "V708"))


def _awaited(
    spec: Spec, path: str, left: Sequence[tuple[CowFile, _Why]], filesystem: Filesystem
) -> Iterator[Awaited]:
    """Say which of them are left only because something uses them, of the row of each."""
    for number, (file, why) in enumerate(left):
        if why.used and not file.obstacle:
            goal = Desired(Image(path, spec.aim, file.path), Image.ALIKE)
            row = file.path if number < NAMED else "..."
            used = (f"{path}/{why.used}",)
            lot = alone(file)
            notes = takes(room(lot, ()), lot, filesystem) if file.size else ()  # 0: not looked at
            yield Awaited(goal, Image.UNLIKE, why.text, used, f"{spec.name}/{row}", tuple(notes))


def _blocked(subject: str, why: _Why) -> Finding:
    return Finding(Op.BLOCKED, subject, f"not rewritten: {why.text}", why.hint, why.code)


def _hindered(tree: Tree, lot: Lot) -> Iterator[tuple[CowFile, _Why]]:
    for file in lot.hindered:
        yield file, _why(file)
    known = {file.path: file for file in lot.largest}
    for name, who in open_elsewhere(tree, lot):
        if name in known or name in lot.first:
            yield known.get(name) or CowFile(name, 0), _part(who)


def _why(file: CowFile) -> _Why:
    if file.holders:
        return _in_use(file)
    if file.shown:
        more = f" and {n:,} more" if (n := len(file.shown) - 1) else ""
        return _Why(f"it is {file.shown[0]}{more}", ELSEWHERE["mounted"], "V713", file.path)
    if file.exported:
        text = f"{file.exported} is exported by NFS, and what a client has open cannot be seen here"
        return _Why(text, ELSEWHERE["exported"], "V714", file.path)
    return _protected(file)


def _in_use(file: CowFile) -> _Why:
    who = " and ".join(file.holders)
    hint = "shut the machine down" if "qemu" in who else "have it closed"
    hint = f"{hint}, then apply again; `apply --wait` waits for that"
    return _Why(f"in use by {who}", hint, "V702", file.path)


def _guests(
    path: str,
    left: Sequence[tuple[CowFile, _Why]],
    filesystem: Filesystem,
    kept: int,
    host: HostView,
) -> Iterator[Guest]:
    """Yield the machines that have images open which only that keeps from being rewritten."""
    files = [file for file, why in left if why.code == "V702" and why.used == file.path]
    plain = [file for file in files if not file.obstacle and not file.shown and not file.exported]
    for guest in machines.guests(path, plain, host):
        found = machines.with_room(guest, filesystem, kept, host)
        kept += max(guest.kept, 0)
        yield found


def _with_machine(spec: Spec, file: CowFile, why: _Why, guests: Sequence[Guest]) -> _Why:
    """Say of an image that a machine has open which machine that is, and what can be done."""
    guest = next((each for each in guests if file in each.files), None)
    if guest is None and spec.suspend and why.code == "V702" and machines.is_qemu(file):
        not_it = "no machine of libvirt has it, or libvirt cannot be asked"
        return replace(why, text=f"{why.text}: not suspended, because {not_it}")
    if guest is None:
        return why
    name = guest.machine.name
    if spec.suspend:
        text = f"{why.text}: machine {name}, which is not suspended, because {guest.why}"
        return replace(why, text=text)
    if guest.why:
        return replace(why, text=f"{why.text}: machine {name}")
    hint = (
        f"{why.hint}. Without a shutdown: `allow: [{machines.RISK}]` has the machine {name} saved "
        f"and started again around that; for once `apply --allow {machines.RISK}`"
    )
    return replace(why, text=f"{why.text}: machine {name}", hint=hint)


def _resting(
    path: str, lot: Lot, known: Sequence[CowFile], host: HostView
) -> Iterator[tuple[CowFile, _Why]]:
    """Yield images of machines that are started first; they are in use from then on."""
    resting = machines.resting(path, [file for file in lot.largest if file not in known], host)
    for file in lot.largest:
        if name := resting.get(file.path):
            text = f"it is an image of the machine {name}, which has to go on first"
            yield file, _Why(text, "apply again once the machine runs", "V702")


def _part(of: CowFile) -> _Why:
    who = " and ".join(of.holders)
    text = f"it is one image together with {of.path}, which is in use by {who}"
    return _Why(
        text,
        "shut the machine down, then apply again; `apply --wait` waits for that",
        "V705",
        of.path,
    )


def _protected(file: CowFile) -> _Why:
    if file.obstacle == "hard links":
        return _Why(
            "it has more than one name (hard links), and its other names would keep the old data",
            "remove its other names (`find -samefile` lists them), or accept it with `existing: "
            "keep`",
            "V703",
        )
    if file.obstacle == "sealed":
        return _Why("fs-verity seals it for good", "accept it with `existing: keep`", "V704")
    attribute = "i" if file.obstacle == "immutable" else "a"
    return _Why(
        f"it is {file.obstacle}",
        f"take the attribute off (chattr -{attribute}), then apply again",
        "V704",
    )


def _no_room(file: CowFile, filesystem: Filesystem) -> _Why:
    needed = room(alone(file), ()).free
    return _Why(
        f"it would need {binary(needed)} of free space; {limits.have(filesystem)}",
        limits.remedy(filesystem, "make room, or move it to another disk"),
        "V706",
    )


def places(spec: Spec, host: HostView) -> Iterator[Place[Any]]:
    """The images of the directory, whichever of them are left out."""
    yield Images(host(Locate(spec.path)).path, spec.aim, spec.apart)


def part(spec: Spec, name: str) -> Spec:
    """Return the spec of one image alone."""
    return replace(spec, only=name)


KIND = Kind(
    "images",
    PATHS,
    parse,
    want,
    needs=("nocow", "compression"),
    places=places,
    part=part,
    unfinished=machines.unfinished,
    defaults={"existing": "report", "allow": ()},
)
"""Needs the one that decides what the directory hands on."""


class Chain(Value):
    """An image of several files: the one that names the others, and all that they name in turn."""

    path: str
    what: str
    others: tuple[str, ...]

    @property
    def words(self) -> str:
        """``win11.qcow2 and 2 backing files``."""
        count = len(self.others)
        return f"{self.path} and {count} {self.what}{'s' * (count != 1)}"


def chains(tree: Tree) -> tuple[Chain, ...]:
    """The images of several files, but for those that are part of another one."""
    inner = {other for parts in tree.parts for other in parts.others}
    return tuple(chain for chain in _every_chain(tree) if chain.path not in inner)


def _chain(of: Parts, direct: Mapping[str, Parts]) -> Chain:
    found: dict[str, None] = {}
    pending, whats = [of], {of.what}
    while pending:
        for name in pending.pop().others:
            if name not in found and name != of.path:
                found[name] = None
                if name in direct:
                    pending.append(direct[name])
                    whats.add(direct[name].what)
    return Chain(of.path, whats.pop() if len(whats) == 1 else "more file", tuple(found))


def open_elsewhere(tree: Tree, lot: Lot) -> Iterator[tuple[str, CowFile]]:
    """Parts of images that nobody has open, each with another part that somebody has."""
    held = {file.path: file for file in (*lot.hindered, *tree.cow.hindered) if file.holders}
    held |= {file.path: file for file in tree.held_parts}
    known = {file.path for file in lot.hindered}
    for chain in _every_chain(tree) if held else ():
        names = (chain.path, *chain.others)
        who = next((held[name] for name in names if name in held), None)
        for name in names if who else ():
            if name not in held and name not in known and not name.startswith("/"):
                known.add(name)
                yield name, who  # type: ignore[misc] # there is someone, or no name


def _every_chain(tree: Tree) -> Iterator[Chain]:
    """Also those within another: a base may be open although nothing above it is."""
    direct = {parts.path: parts for parts in tree.parts}
    return (_chain(parts, direct) for parts in tree.parts)
