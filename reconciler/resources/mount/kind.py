"""Mount options of a Btrfs filesystem, in /etc/fstab and live.

Compression belongs to the whole filesystem: the first mount decides for all its
subvolumes, as long as the filesystem is mounted. A live remount needs no
reboot. The kernel never shows `compress=no`: where nothing is compressed, it
shows no compress option. Data that is compressed already stays compressed until
it is rewritten.
"""

from __future__ import annotations

from dataclasses import field, replace
from shlex import quote
from typing import TYPE_CHECKING, Any

from reconciler.engine.item import Section
from reconciler.engine.model import Desired, Reload
from reconciler.engine.resource import Kind
from reconciler.engine.restore import PUT_BACK
from reconciler.errors import ConfigError
from reconciler.facts import boot_layouts, fstab_line, mountable
from reconciler.facts.diagnostics import COST, AsRoot, NotApplicable, Note, Refusal, Summary, denied
from reconciler.facts.host import (
    FilesystemOf,
    FstabLines,
    FstabObstacle,
    KernelCommandLine,
    KernelTakes,
    Locate,
    Mounts,
    NeedsReload,
    Schedulers,
    SourceUuid,
)
from reconciler.facts.host_view import NotVisible
from reconciler.formats import datamode, mountinfo, options, unit
from reconciler.resources.mount.places import (
    Former,
    FstabOptions,
    LiveOption,
    all_restored,
    former,
    live,
    waits,
)
from reconciler.value import Value

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from reconciler.engine.item import Item, Items
    from reconciler.engine.model import Said
    from reconciler.engine.place import LastApplied, Place
    from reconciler.engine.planned_state import Outlook
    from reconciler.engine.resource import Kept
    from reconciler.facts.host_view import HostView
    from reconciler.formats.fstab import Line
    from reconciler.formats.mountinfo import Mount
    from reconciler.formats.node import Node


_BRICKS = "a bad option on / boots to a read-only root"

_FAILS = "a bad option on a line fails the mount at boot"


class Spec(Value):
    """A mount point as /etc/fstab names it, and the settings it should have."""

    target: str
    settings: tuple[options.Setting, ...]
    allow: frozenset[str]
    before: Former = field(default_factory=Former)
    compress: tuple[tuple[str, str], ...] = ()
    """The compress option that each entry declares, this one included, by its target."""
    declared: tuple[tuple[str, frozenset[options.Option]], ...] = ()
    """The options that each entry declares, this one included, by its target."""
    nocow: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """The declared paths where all are nocow, each with those that lie below it; else none."""


class _Here(Value):
    """One fstab line, the mount it describes, and its fellows on the same filesystem.

    ``place`` is where the line's mount point leads: mounts are known by that.
    """

    place: str
    line: Line
    mount: Mount | None
    mounts: tuple[Mount, ...]
    lines: tuple[Line, ...]
    uuid: str


def parse(item: Item, items: Items) -> Spec:
    mounts = [(each.path, _settings(each)) for each in items if each.section == "mounts"]
    return Spec(
        item.path,
        _settings(item),
        frozenset(item.data.get("allow", ())),
        compress=tuple((path, token) for path, of in mounts for token in _compress(of)),
        declared=tuple((path, frozenset(each.option for each in of)) for path, of in mounts),
        nocow=_nocow(items),
    )


def _settings(item: Item) -> tuple[options.Setting, ...]:
    """Return what the options of an entry ask for, in the order in which they are written."""
    return tuple(options.setting(*each) for each in item.data["options"].items())


def _compress(settings: Iterable[options.Setting]) -> Iterator[str]:
    tokens = (setting.token for setting in settings if setting.token)
    return (token for token in tokens if options.name(token) in options.COMPRESS)


def _nocow(items: Items) -> tuple[tuple[str, tuple[str, ...]], ...]:
    paths = [item for item in items if item.section == "paths"]
    if not all(item.data.get("nocow") is True for item in paths):
        return ()
    return tuple((p.path, tuple(other.path for other in items.below(p.path))) for p in paths)


def recall(spec: Spec, written: Mapping[Place[Any], tuple[LastApplied, ...]], kept: Kept) -> Spec:
    """An option taken out of an entry that stays is put back like a whole entry."""
    return replace(spec, before=former(written, spec.target, _declared(spec), kept))


def located(spec: Spec, host: HostView) -> Spec:
    """Name the mount point as its line does: a link may lead there."""
    targets = {line.target for line in host.maybe(FstabLines()) or ()}
    where = host.maybe(Locate(spec.target))
    if spec.target in targets or not where or where.path not in targets:
        return spec
    return replace(spec, target=where.path)


def places(spec: Spec, host: HostView) -> Iterator[Place[Any]]:
    """The line, and each declared option on every mount point of the filesystem."""
    yield FstabOptions(spec.target, 0)
    mounts = host(Mounts())
    mount = mountinfo.at(mounts, host(Locate(spec.target)).path)
    elsewhere = () if mount else _elsewhere(spec, host)
    for setting in spec.settings:
        for each in elsewhere if not setting.option.per_mount else ():
            yield LiveOption(each.target, setting.option.name)
        for each in mounts:
            if mount and each.device == mount.device:
                yield LiveOption(each.target, setting.option.name)


def _elsewhere(spec: Spec, host: HostView) -> tuple[Mount, ...]:
    """The mounts of the filesystem of a line whose own mount point has no mount."""
    lines = [line for line in host.maybe(FstabLines()) or () if line.target == spec.target]
    if len(lines) != 1 or lines[0].problem or fstab_line.binds(lines[0]):
        return ()
    is_btrfs = lines[0].fstype in {"btrfs", "auto"}
    uuid = host.maybe(SourceUuid(lines[0].source)) if is_btrfs else ""
    return boot_layouts.all_mounts_of(uuid, host) if uuid else ()


def _part(spec: Spec) -> dict[str, str]:
    """The words of the line that the entry decides, by the names of their options."""
    return {setting.option.name: setting.token or "" for setting in spec.settings}


def _compress_token(spec: Spec) -> str:
    """The declared compress option; "" where none is."""
    return next((s.token for s in spec.settings if s.option.name == "compress" and s.token), "")


def _declared(spec: Spec) -> frozenset[options.Option]:
    return frozenset(setting.option for setting in spec.settings)


def want(spec: Spec, host: HostView) -> Iterator[Said]:
    """The fstab line's options, then the live ones; all other options stay."""
    here = _described(spec, host)
    if not isinstance(here, _Here):
        yield here
        return
    declared = _declared(spec) | spec.before.kept
    restored = all_restored(here.line.options, spec.before.lines, declared)
    wanted = restored
    for setting in spec.settings:
        wanted = options.replace(wanted, setting.option.rivals, setting.token)
    for word in _line(spec, here, restored, wanted, host):
        yield word
        if isinstance(word, Refusal):
            return
    yield from _live(spec, here, wanted, host)
    then = dict(_put_back(spec, host))
    yield from boot_layouts.after_boot(spec.compress, _compress_token(spec), here.uuid, then, host)
    yield from _priced(spec)
    if "systemd" in host(Schedulers()) and host(NeedsReload(unit.mount_unit(here.place))):
        yield Reload()


def _put_back(spec: Spec, host: HostView) -> Iterator[tuple[str, str]]:
    """Yield what the lines will hold that this plan puts back, wholly or in part, by target."""
    declared: dict[str, frozenset[options.Option]] = {}
    for target, of in spec.declared:
        at = located(replace(spec, target=target), host).target
        declared[at] = declared.get(at, frozenset()) | of
    for line in host(FstabLines()):
        if line.target in spec.before.others and not line.problem:
            records, kept = spec.before.others[line.target]
            stays = declared.get(line.target, frozenset()) | kept
            yield line.target, all_restored(line.options, records, stays)


def _described(spec: Spec, host: HostView) -> _Here | Said:
    """The line and its mount, or why nothing is changed."""
    place = host(Locate(spec.target)).path
    mount = mountinfo.at(host(Mounts()), place)
    if mount and mount.fstype == "autofs":
        mount = None  # an automount that nobody has entered yet
    mine = fstab_line.lines_for(spec.target, place, host)
    if image := boot_layouts.image(spec.target, spec.settings, host):
        return image
    if not_btrfs := fstab_line.not_btrfs(mount, mine):
        return NotApplicable(not_btrfs)
    if refusal := fstab_line.not_editable(spec.target, place, mine, host, _part(spec).values()):
        return refusal
    here = _here(mine[0], place, mount, host)
    return (
        _cannot_mount(here, host)
        or fstab_line.not_of_the_line(mine[0], mount, here.uuid, host)
        or here
    )


def _line(spec: Spec, here: _Here, restored: str, wanted: str, host: HostView) -> Iterator[Said]:
    """What the line should hold, or why it cannot; ``restored`` is it without what is declared."""
    place = FstabOptions(spec.target, here.line.number)
    yield from _mounts_another(here, host)
    if refusal := _data_mode(spec, here, restored, wanted, host):
        yield refusal
    if wanted == (here.line.options or "defaults"):
        yield Desired(place, here.line.options, part=_part(spec))
        return
    if obstacle := host(FstabObstacle()):
        yield boot_layouts.fixed(obstacle, spec.target, wanted)
    if refusal := _kernel(spec, here, host):
        yield refusal
    yield from _asked(spec, here, host)
    why = PUT_BACK if restored != here.line.options else ""
    yield Desired(place, wanted, why, part=_part(spec))


def _priced(spec: Spec) -> Iterator[Note]:
    """What ``doctor`` will say of an option once it is on."""
    for setting in spec.settings:
        text, _ = options.price(setting.shown)
        if text and setting.option.name == "autodefrag":
            yield Note(text, "V223", COST)
        elif text and setting.option.name == "discard":
            yield Note(text, "V224", COST)
        elif text:
            yield Note(text, "V225", COST)


def _cannot_mount(here: _Here, host: HostView) -> Refusal | None:
    """Why no mount by the line works; what cannot be seen is said later."""
    if {"btrfs", "auto"}.isdisjoint(here.line.fstype.split(",")):
        return None
    try:
        found = _subvolume_of(here, host)
    except NotVisible:
        return None
    if isinstance(found, mountable.Named):
        return None
    text = f"the next mount by /etc/fstab:{here.line.number} fails: {found.text}"
    return Refusal(text, found.remedy, "V222")


def _subvolume_of(here: _Here, host: HostView) -> mountable.Named | mountable.Fault:
    uuid = host(SourceUuid(here.line.source)) or here.uuid
    return mountable.of_line(here.line, mountable.reachable_mounts_of(uuid, host), host)


def _mounts_another(here: _Here, host: HostView) -> Iterator[Said]:
    """Whether the line would mount the subvolume that is there."""
    try:
        found = _subvolume_of(here, host)
    except NotVisible as hidden:
        if here.mount:
            yield Note(f"it is not known whether line {here.line.number} can mount: {hidden.why}")
        return
    there = mountable.mounted_by(here.line, host) if here.mount else None
    if isinstance(found, mountable.Named) and there and there.identifier != found.identifier:
        yield fstab_line.another(there.words, here.line, here.line.target, f"mounts {found.words}")


def _here(line: Line, place: str, mount: Mount | None, host: HostView) -> _Here:
    mounts = host(Mounts())
    uuid = host(FilesystemOf(mount.target)).uuid if mount else host(SourceUuid(line.source))
    same = tuple(m for m in mounts if mount and m.device == mount.device)
    if mount is None and uuid:
        same = boot_layouts.all_mounts_of(uuid, host)
    lines = tuple(
        other
        for other in host(FstabLines())
        if other.fstype in {"btrfs", "auto"}
        and (
            other.source == line.source
            or (uuid and host(SourceUuid(other.source)).lower() == uuid.lower())
        )
    )
    return _Here(place, line, mount, same, lines, uuid)


def _tokens(spec: Spec) -> tuple[str, ...]:
    """What the filesystem itself would get to see of the settings."""
    tokens = ",".join(setting.token for setting in spec.settings if setting.token)
    return options.for_filesystem(tokens)


def _kernel(spec: Spec, here: _Here, host: HostView) -> Refusal | None:
    """Never a line that the running kernel has not been seen to accept."""
    tokens = _tokens(spec)
    verdict = host.maybe(KernelTakes(tokens)) if tokens else None
    if verdict is None or verdict.takes:
        return None
    if verdict.takes is False:
        return Refusal(verdict.text, _BRICKS if spec.target == "/" else _FAILS, "V205")
    if here.mount or spec.target != "/" or "root-options" in spec.allow:
        return None
    return Refusal(
        f"{verdict.text}, and / is not mounted here to try it on",
        f"{_BRICKS}; if you know that its kernel takes {','.join(tokens)}, write "
        "`allow: [root-options]`",
        "V206",
    )


def _data_mode(spec: Spec, here: _Here, line: str, wanted: str, host: HostView) -> Refusal | None:
    """Compression is never declared at the price of nodatacow or nodatasum, nor the other way.

    ``line`` are the options without what is declared, ``wanted`` with it.
    """
    asked = next((s.token or "" for s in spec.settings if s.option.name == "compress"), None)
    if asked is None:
        return None
    is_on = bool(asked) and datamode.is_on(asked)
    live = datamode.of_live(next((mount.super_options for mount in here.mounts), ""))
    flags = ""
    if spec.target == "/" and (is_on or options.value(line, datamode.FAMILY)):
        flags = datamode.rootflags(host.maybe(KernelCommandLine()) or "")
    first = datamode.of_line(flags)
    before, after = datamode.of_line(line, first), datamode.of_line(wanted, first)
    where = " and ".join(_sources(here, flags))
    if is_on and (plain := live.plain or before.plain or after.plain):
        if live.plain:
            is_so = f"the filesystem is mounted {plain}"
        elif (named := options.value(line, options.COMPRESS)) and datamode.is_on(named):
            is_so = f"{plain} in {where} switches {named} off"
        else:
            is_so = f"{where} says {plain}"
        out = f"take {plain} out of {where}, " if where else ""
        remount = f"run `mount -o remount,datasum {quote(here.place)}`, "
        return Refusal(
            f"{is_so}, and {asked} would end nodatacow and nodatasum for the whole filesystem",
            f"leave compress out; or, to give {plain} up, "
            f"{out}{remount if live.plain else ''}and apply again",
            "V220",
        )
    if after.plain and not before.plain:
        held = before.compress or "compress"
        return Refusal(
            f"{held} keeps {after.plain} in {where} from taking effect. Without {held}, files that "
            "are made after the next mount would have no checksums",
            f"take {after.plain} out of {where} first",
            "V221",
        )
    return None


def _sources(here: _Here, flags: str) -> list[str]:
    """Where nodatacow or nodatasum is written down for the filesystem."""
    words = frozenset({"nodatacow", "nodatasum"})
    lines = {line.number: line for line in (here.line, *here.lines) if not line.problem}
    found = [f"/etc/fstab:{n}" for n in sorted(lines) if options.value(lines[n].options, words)]
    in_flags = options.value(flags, words) is not None
    return found + ["rootflags= on the kernel's command line"] * in_flags


def _asked(spec: Spec, here: _Here, host: HostView) -> Iterator[Said]:
    tokens = _tokens(spec)
    if not tokens:
        return
    verdict = host.maybe(KernelTakes(tokens))
    if verdict is None:
        yield from _not_asked(host)
    elif verdict.takes is None:
        tried = "`apply` tries it on the live mount before it writes" if here.mount else "untried"
        yield Note(f"{verdict.text}: {tried}")
    else:
        yield Note(verdict.text)
    if any(setting.option.name == "compress" for setting in spec.settings):
        yield from _decides(spec, here)
        yield from _in_vain(spec, here)


def _not_asked(host: HostView) -> Iterator[Note]:
    if host(AsRoot()):
        why = denied("ask the kernel whether it takes this", as_root=True)
        yield Note(f"{why}; `apply` writes no line that the kernel was not asked about")
        return
    yield Note(
        "the kernel could not be asked here whether it takes this; `apply` asks it before it writes"
    )


def _in_vain(spec: Spec, here: _Here) -> Iterator[Said]:
    """Said while there is something to do, not again once it is done."""
    off = next((s for s in spec.settings if s.token == "compress=no"), None)  # noqa: S105
    if off is None or options.value(here.line.options, options.COMPRESS) == off.token:
        return
    live = datamode.of_live(here.mounts[0].super_options).compressing if here.mounts else ""
    compresses = datamode.of_line(here.line.options).compressing or live
    if not compresses and here.mount and not _shown(here, off):
        yield Note("compression is off already; this entry only writes that down", "V212")
    elif compresses and spec.nocow:
        yield Note(
            "the declared paths are nocow, so their files are never compressed; this entry only "
            "ends compression for all other files",
            "V213",
            COST,
        )


def holds(spec: Spec, note: Note | Refusal, outlook: Outlook) -> bool:
    """What is said of the declared paths: once the plan is done, all below them is nocow."""
    return note.code != "V213" or all(outlook.is_all_nocow(*path) for path in spec.nocow)


def _decides(spec: Spec, here: _Here) -> Iterator[Said]:
    """At boot the first mount of a filesystem sets compression, and no later one changes it."""
    others = [line for line in here.lines if line.target != spec.target]
    named = [f"{o.target} (line {o.number}): {_compression(o)}" for o in others]
    if named:
        yield Note(f"other fstab lines of this filesystem: {'; '.join(named)}")


def _compression(line: Line) -> str:
    if line.problem:
        return line.problem
    return options.value(line.options, options.COMPRESS) or "no compress option"


def _shown(here: _Here, setting: options.Setting) -> str:
    """As the kernel shows it now."""
    mount = here.mount or (None if setting.option.per_mount else next(iter(here.mounts), None))
    return mountinfo.live(mount, setting.option) if mount else setting.shown


def _live(spec: Spec, here: _Here, wanted: str, host: HostView) -> Iterator[Said]:
    if not here.mounts:
        yield Summary("not mounted; takes effect at the next mount")
        return
    yield from _scope(spec, here)
    settings = spec.settings
    if here.mount is None:  # what belongs to one mount alone waits for that mount
        settings = tuple(s for s in settings if not s.option.per_mount)
    for setting in settings:
        if not setting.shown and not setting.option.off and _shown(here, setting):
            yield waits(setting.option.name)
            continue
        place = LiveOption(_target(here, setting, host), setting.option.name)
        yield Desired(place, setting.shown)
        if host.maybe(place) != setting.shown:
            yield Summary("live, no reboot")
        if setting.token == "compress=no" and _shown(here, setting):  # noqa: S105 - no password
            yield Note("data that is compressed already stays compressed until it is rewritten")
    yield from live(spec.before, wanted, _reachable(here, host), host)


def _target(here: _Here, setting: options.Setting, host: HostView) -> str:
    """One name per filesystem, so that two declarations for one setting are seen to conflict."""
    if setting.option.per_mount:
        return here.place
    return next(iter(_reachable(here, host)), here.place)


def _reachable(here: _Here, host: HostView) -> list[str]:
    """Mount points of the filesystem that no later mount hides."""
    mounts = host(Mounts())
    return [m.target for m in here.mounts if mountinfo.at(mounts, m.target) == m]


def _scope(spec: Spec, here: _Here) -> Iterator[Said]:
    """Say which filesystem it is, and where else it is mounted: some settings are one for all."""
    others = sorted({mount.target for mount in here.mounts} - {here.place})
    yield Summary(f"Btrfs {here.uuid[:8]}")
    if not others:
        return
    where = ", ".join(others)
    one = any(setting.option.name == "compress" for setting in spec.settings)
    if here.mount is None:
        where = f"not mounted here, but at {where}"
    elif not one:
        where = f"mounted at {where} as well"
    yield Note(f"{where}: one compression setting for the whole filesystem" if one else where)


def units(specs: Sequence[Spec], host: HostView) -> Iterator[str]:
    """The mount units, which systemd makes of fstab's lines."""
    where = (host.maybe(Locate(spec.target)) for spec in specs)
    return (unit.mount_unit(found.path) for found in where if found)


def conflicts(entry: Node) -> Iterator[ConfigError]:
    """Two options of one family override each other."""
    written = entry.get("options")
    given = written.keys if written else {}
    for one, other in (("compress", "compress-force"), ("noatime", "relatime")):
        if all(key in given and given[key].value is not False for key in (one, other)):
            message = f"{other} and {one}, set at {given[one].origin}, override each other"
            yield ConfigError(given[other].origin, message, "keep one of them")


MOUNTS = Section(
    "mounts",
    "target",
    "Mount options: nothing is needed here for nocow files",
    required=("options",),
    about="mount point",
)

KIND = Kind(
    "mount",
    MOUNTS,
    parse,
    want,
    recall=recall,
    units=units,
    holds=holds,
    places=places,
    located=located,
    defaults={"allow": ()},
    conflicts=conflicts,
)
