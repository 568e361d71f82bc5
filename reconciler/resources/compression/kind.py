"""Directories whose new files are compressed in their own way, or not at all.

The property btrfs.compression of a directory is handed on to what is made in
it, and decides there in place of the mount option compress=: `none` keeps
images that stay copy-on-write from being compressed, `zstd`, `lzo` and `zlib`
compress new data. A level is not kept: the kernel hands on the name alone. The
mount option compress-force overrides `none`; only nocow files escape it, and
nocow excludes the property (the kernel: EINVAL).

Set on a directory or a file, it counts for what is written from then on. Data
that is there already stays as it is until it is rewritten. `existing: rewrite`
rewrites what is compressed, if the property is `none`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from reconciler.engine import directory as directory_place
from reconciler.engine.directory import Directory, Folder, alike
from reconciler.engine.model import Desired
from reconciler.engine.resource import Kind
from reconciler.errors import ConfigError
from reconciler.facts import condition, limits, locate
from reconciler.facts.diagnostics import Finding, Note, Op, Refusal, Summary
from reconciler.facts.host import Locate, Mounts, TreeOf
from reconciler.facts.tree import NAMED, NONE_LEFT
from reconciler.formats import datamode, mountinfo, options
from reconciler.formats.sizes import counted
from reconciler.resources.compression.places import PropertyBelow
from reconciler.resources.paths_section import PATHS
from reconciler.value import Value

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.engine.item import Item, Items
    from reconciler.engine.model import Said
    from reconciler.engine.place import Place
    from reconciler.facts.host import Filesystem, Location
    from reconciler.facts.host_view import HostView
    from reconciler.formats.node import Node


class Spec(Value):
    """``wanted`` is none, zstd, lzo or zlib."""

    name: str
    path: str
    wanted: str
    ends_nocow: bool
    """The entry says ``nocow: false``, too."""
    rewrite: bool
    subvolume: bool
    """The path is to be a subvolume of its own, made by the kind of that name."""
    apart: tuple[str, ...]
    """Paths below this one that are declared on their own."""
    above: tuple[directory_place.Above, ...]
    """What is declared of directories above this one: what is made below inherits it."""


def parse(item: Item, items: Items) -> Spec | None:
    data = item.data
    if not data.get("compression"):
        return None
    return Spec(
        item.name,
        item.path,
        data["compression"],
        "nocow" in item.marks,
        data.get("existing") == "rewrite",
        bool(data.get("subvolume")),
        tuple(other.path for other in items.below(item.path)),
        directory_place.declared_above(item, items),
    )


def want(spec: Spec, host: HostView) -> Iterator[Said]:
    """The directory, made where missing, with its property; and what lies below it."""
    ground = locate.ground(spec.path, host, ", not on Btrfs")
    if not isinstance(ground, tuple):
        yield ground
        return
    where, filesystem = ground
    if refusal := _failed(spec, where.path, filesystem, host):
        yield refusal
        return
    have = host(Directory(where.path))
    if refusal := _standing_in_the_way(spec, where, have):
        yield refusal
        return
    if where.path != spec.path:
        yield Note(f"the path leads to {where.path}")
    if not spec.subvolume:
        yield from locate.made_new(spec.name, spec.path, where, host)
        yield from directory_place.on_the_way(where, host, spec.above)
    yield _directory(spec, where, have)
    yield Summary(_summary(spec))
    yield from _mounted(spec, where.path, host)
    if spec.rewrite and spec.wanted != "none":
        text = "old data stays as it is, because only `compression: none` has data rewritten"
        yield Note(text, "V807")
    yield from _contents(spec, where.path, host)


def _failed(spec: Spec, path: str, filesystem: Filesystem, host: HostView) -> Refusal | None:
    """Why nothing is changed after an error: what would be, that filesystem may not even show."""
    if not filesystem.condition.failed:
        return None
    have = host.maybe(Directory(path))
    below = host.maybe(PropertyBelow(path, spec.wanted, spec.apart))
    if have and alike(have.compression, spec.wanted) and below == NONE_LEFT:
        return None
    return condition.refusal(filesystem.condition, filesystem.profiles)


def _standing_in_the_way(spec: Spec, where: Location, have: Folder | None) -> Refusal | None:
    if refusal := locate.no_directory(where):
        return refusal
    if have and have.nocow and not spec.ends_nocow:
        return Refusal(
            "it is nocow, and the kernel refuses a compression property beside that (EINVAL)",
            "nocow files are never compressed; to end nocow for new files, add `nocow: false`",
            "V802",
        )
    return None


def _directory(spec: Spec, where: Location, have: Folder | None) -> Desired[Folder | None]:
    if have is None:
        new = Folder(nocow=False, compression=spec.wanted, **directory_place.made_in(where))
    elif alike(have.compression, spec.wanted):
        new = replace(have, nocow=False)
    else:
        new = replace(have, nocow=False, compression=spec.wanted)
    part = {"nocow": False, "compression": spec.wanted}
    return Desired(Directory(where.path), new, part=part)


def _summary(spec: Spec) -> str:
    if spec.wanted == "none":
        return "new data is not compressed"
    return f"new data is compressed with {spec.wanted}"


def _mounted(spec: Spec, path: str, host: HostView) -> Iterator[Note | Summary]:
    """What the mount option says beside it: files made under nodatasum are never compressed."""
    mount = mountinfo.containing(host(Mounts()), path)
    mode = datamode.of_live(mount.super_options if mount else "")
    if mode.plain and spec.wanted != "none":
        yield Summary(f"no new data is compressed: the filesystem is mounted {mode.plain}")
    if mount is None or spec.wanted != "none":
        return
    forced = mode.compressing if options.name(mode.compressing) == "compress-force" else ""
    if forced:
        yield Note(
            f"the filesystem is mounted with {forced}, which overrides this entry: all new files "
            "are compressed, but for nocow files",
            "V801",
        )
    elif not mode.compressing:
        yield Note("the filesystem is mounted without compression; this entry keeps it so here")


def _contents(spec: Spec, path: str, host: HostView) -> Iterator[Said]:
    tree = host(TreeOf(path, spec.apart, close=True))
    yield Desired(PropertyBelow(path, spec.wanted, spec.apart), NONE_LEFT)
    for name in tree.subvolumes:
        decides = _decides(host.maybe(Directory(f"{path}/{name}")))
        text = f"is a subvolume of its own, so {decides} for new files in it"
        hint = f"If it holds images, declare {spec.name}/{name} as a path too"
        yield Note(f"{name} {text}. {hint}", "V803")
    for name in tree.mounts:
        yield Note(f"{name} is another mount, and is not looked into")
    yield from locate.stubs_below(path, tree.stubs, host)
    anyway = directory_place.is_written_in_place(path, host)
    if not anyway and (count := tree.nocow_directories):
        stay = "stays nocow and is" if count == 1 else "stay nocow and are"
        text = f"{counted(count, 'directory', 'directories')} below {stay} never compressed"
        yield Note(f"{text}; `chattr -C` on each ends that for new files", "V808")
    held = limits.leased_findings(tree, spec.name)
    for name in tree.unseen.named[:NAMED]:
        subject = f"{spec.name}/{name}".rstrip("/")
        yield held.get(name) or Finding(Op.UNKNOWN, subject, "not readable", code="V804")
    if (rest := tree.unseen.count - NAMED) > 0:
        text = f"{counted(rest, 'more entry', 'more entries')} not readable"
        yield Finding(Op.UNKNOWN, f"{spec.name}/...", text, code="V804")


def _decides(subvolume: Folder | None) -> str:
    """What decides whether new files of a subvolume are compressed: of its own, or the mount."""
    if subvolume and (subvolume.nocow or subvolume.compression):
        mine = "nocow" if subvolume.nocow else f"compression {subvolume.compression}"
        return f"its own setting, {mine}, decides"
    return "the mount option decides"


def places(spec: Spec, host: HostView) -> Iterator[Place[Any]]:
    """The directory, and what lies below it."""
    path = host(Locate(spec.path)).path
    yield Directory(path)
    yield PropertyBelow(path, spec.wanted, spec.apart)


def conflicts(entry: Node) -> Iterator[ConfigError]:
    """A directory cannot be nocow and compressed: the kernel refuses either."""
    nocow, compression = entry.get("nocow"), entry.get("compression")
    if nocow and nocow.value is True and compression:
        message = f"compression excludes nocow, set at {nocow.origin} (the kernel: EINVAL)"
        hint = "remove one of them; nocow files are never compressed"
        yield ConfigError(compression.origin, message, hint)


KIND = Kind(
    "compression",
    PATHS,
    parse,
    want,
    places=places,
    defaults={"compression": None},
    conflicts=conflicts,
)
