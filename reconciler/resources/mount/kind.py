"""Mount options of a Btrfs filesystem, in /etc/fstab and live.

Compression belongs to the whole filesystem: while it is mounted, whoever
mounted it first has decided for all its subvolumes. A live remount needs no
reboot. The kernel never shows `compress=no`: no compression is shown as
nothing. Data that is compressed already stays so until it is rewritten.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reconciler.engine.model import Desired, Reload
from reconciler.engine.resource import Kind, Section
from reconciler.engine.restore import WHY
from reconciler.errors import ConfigError
from reconciler.facts import fstab_line, mount_layouts
from reconciler.facts.diagnostics import NotApplicable, Note, Refusal, Summary
from reconciler.facts.host import (
    FilesystemOf,
    FstabLines,
    FstabObstacle,
    KernelTakes,
    Locate,
    Mounts,
    NeedsReload,
    Schedulers,
    SourceUuid,
)
from reconciler.formats import mountinfo, options, unit
from reconciler.resources.mount import lines, restore
from reconciler.resources.mount.places import FstabOptions, LiveOption, waits
from reconciler.value import dataclass, replace

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from reconciler.engine.last_applied import LastApplied
    from reconciler.engine.model import Said
    from reconciler.engine.ownership import Ownership
    from reconciler.engine.place import Place
    from reconciler.engine.planned_state import Outlook
    from reconciler.engine.resource import Item, Items
    from reconciler.facts.host_view import HostView
    from reconciler.formats.fstab import Line
    from reconciler.formats.mountinfo import Mount
    from reconciler.formats.node import Node


_BRICKS = "a bad option on / boots to a read-only root"

_FAILS = "a bad option on a line fails the mount at boot"


@dataclass(frozen=True, slots=True)
class Spec:
    """A mount point as /etc/fstab names it, and the settings it should have."""

    target: str
    settings: tuple[options.Setting, ...]
    allow: frozenset[str]
    before: restore.Former = restore.Former()
    compress: tuple[tuple[str, str], ...] = ()
    """The compress option that each entry declares, this one included, by its target."""
    nocow: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """The declared paths where all are nocow, each with those that lie below it; else none."""


@dataclass(frozen=True, slots=True)
class _Here:
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
    settings = (options.setting(name, value) for name, value in item.data["options"].items())
    return Spec(
        item.path,
        tuple(settings),
        frozenset(item.data.get("allow", ())),
        compress=tuple(_compress(items)),
        nocow=_nocow(items),
    )


def _compress(items: Items) -> Iterator[tuple[str, str]]:
    for item in items:
        if item.section == "mounts":
            for name, value in item.data["options"].items():
                token = options.setting(name, value).token
                if token and name in options.family("compress"):
                    yield item.path, token


def _nocow(items: Items) -> tuple[tuple[str, tuple[str, ...]], ...]:
    paths = [item for item in items if item.section == "paths"]
    if not all(item.data.get("nocow") is True for item in paths):
        return ()
    return tuple((p.path, tuple(other.path for other in items.below(p.path))) for p in paths)


def recall(
    spec: Spec, written: Mapping[Place[Any], tuple[LastApplied, ...]], owner: Ownership
) -> Spec:
    """An option taken out of an entry that stays is put back like a whole entry."""
    kept = frozenset(map(options.option, owner.kept(FstabOptions(spec.target, 0))))
    return replace(spec, before=restore.former(written, spec.target, _declared(spec), kept))


def located(spec: Spec, see: HostView) -> Spec:
    """Name the mount point as its line does: a link may lead there."""
    targets = {line.target for line in see.maybe(FstabLines()) or ()}
    where = see.maybe(Locate(spec.target))
    if spec.target in targets or not where or where.path not in targets:
        return spec
    return replace(spec, target=where.path)


def places(spec: Spec, see: HostView) -> Iterator[Place[Any]]:
    """The line, and each declared option on every mount point of the filesystem."""
    yield FstabOptions(spec.target, 0)
    mounts = see(Mounts())
    mount = mountinfo.at(mounts, see(Locate(spec.target)).path)
    elsewhere = () if mount else _elsewhere(spec, see)
    for setting in spec.settings:
        for each in elsewhere if not setting.option.per_mount else ():
            yield LiveOption(each.target, setting.option.name)
        for each in mounts:
            if mount and each.device == mount.device:
                yield LiveOption(each.target, setting.option.name)


def _elsewhere(spec: Spec, see: HostView) -> tuple[Mount, ...]:
    """The mounts of the filesystem of a line whose own mount point has no mount."""
    lines = [line for line in see.maybe(FstabLines()) or () if line.target == spec.target]
    if len(lines) != 1 or lines[0].problem or fstab_line.binds(lines[0]):
        return ()
    is_btrfs = lines[0].fstype in {"btrfs", "auto"}
    uuid = see.maybe(SourceUuid(lines[0].source)) if is_btrfs else ""
    return mount_layouts.mounted(uuid, see) if uuid else ()


def _part(spec: Spec) -> dict[str, str]:
    """The words of the line that the entry decides, by the names of their options."""
    return {setting.option.name: setting.token or "" for setting in spec.settings}


def _compress_token(spec: Spec) -> str:
    """The declared compress option; "" where none is."""
    return next((s.token for s in spec.settings if s.option.name == "compress" and s.token), "")


def _declared(spec: Spec) -> frozenset[options.Option]:
    return frozenset(setting.option for setting in spec.settings)


def want(spec: Spec, see: HostView) -> Iterator[Said]:
    """The fstab line's options, then the live ones; all other options stay."""
    place = see(Locate(spec.target)).path
    mounts = see(Mounts())
    mount = mountinfo.at(mounts, place)
    if mount and mount.fstype == "autofs":
        mount = None  # an automount that nobody has entered yet
    mine = [line for line in see(FstabLines()) if line.target == spec.target]
    if moot := _moot(spec, mount, mine, see):
        yield moot
        return
    if refusal := fstab_line.not_editable(spec.target, place, mine, see, _part(spec).values()):
        yield refusal
        return
    here = _here(mine[0], place, mount, see)
    if refusal := fstab_line.not_of_the_line(mine[0], mount, here.uuid, see):
        yield refusal
        return
    wanted = lines.all_restored(
        mine[0].options, spec.before.lines, _declared(spec) | spec.before.kept
    )
    why = WHY if wanted != mine[0].options else ""
    for setting in spec.settings:
        wanted = options.replace(wanted, setting.option.rivals, setting.token)
    field = FstabOptions(spec.target, mine[0].number)
    if wanted != (mine[0].options or "defaults"):
        if obstacle := see(FstabObstacle()):
            yield mount_layouts.fixed(obstacle, spec.target, wanted)
            return
        if refusal := _kernel(spec, here, see):
            yield refusal
            return
        yield from _asked(spec, here, see)
        yield Desired(field, wanted, why, part=_part(spec))
    else:
        yield Desired(field, mine[0].options, part=_part(spec))
    yield from _live(spec, here, see)
    yield from mount_layouts.after_boot(spec.compress, _compress_token(spec), here.uuid, see)
    if "systemd" in see(Schedulers()) and see(NeedsReload(unit.mount_unit(place))):
        yield Reload()


def _moot(spec: Spec, mount: Mount | None, lines: Sequence[Line], see: HostView) -> Said | None:
    """Why nothing is to be done at the mount point: another filesystem, or an image at /."""
    if word := mount_layouts.image(spec.target, mount, spec.settings, see):
        return word
    not_btrfs = fstab_line.not_btrfs(mount, lines)
    return NotApplicable(not_btrfs) if not_btrfs else None


def _here(line: Line, place: str, mount: Mount | None, see: HostView) -> _Here:
    mounts = see(Mounts())
    uuid = see(FilesystemOf(mount.target)).uuid if mount else see(SourceUuid(line.source))
    same = tuple(m for m in mounts if mount and m.device == mount.device)
    if mount is None and uuid:
        same = mount_layouts.mounted(uuid, see)
    lines = tuple(
        other
        for other in see(FstabLines())
        if other.fstype in {"btrfs", "auto"}
        and (
            other.source == line.source
            or (uuid and see(SourceUuid(other.source)).lower() == uuid.lower())
        )
    )
    return _Here(place, line, mount, same, lines, uuid)


def _tokens(spec: Spec) -> tuple[str, ...]:
    """What the filesystem itself would get to see of the settings."""
    tokens = ",".join(setting.token for setting in spec.settings if setting.token)
    return options.for_filesystem(tokens)


def _kernel(spec: Spec, here: _Here, see: HostView) -> Refusal | None:
    """Never a line that the running kernel has not been seen to accept."""
    tokens = _tokens(spec)
    verdict = see.maybe(KernelTakes(tokens)) if tokens else None
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


def _asked(spec: Spec, here: _Here, see: HostView) -> Iterator[Said]:
    tokens = _tokens(spec)
    if not tokens:
        return
    verdict = see.maybe(KernelTakes(tokens))
    if verdict is None:
        yield Note(
            "whether the kernel takes it could not be asked here; apply asks before it writes"
        )
    elif verdict.takes is None:
        tried = "apply tries it on the live mount before it writes" if here.mount else "untried"
        yield Note(f"{verdict.text}: {tried}")
    else:
        yield Note(verdict.text)
    if any(setting.option.name == "compress" for setting in spec.settings):
        yield from _decides(spec, here)
        yield from _in_vain(spec, here)


def _in_vain(spec: Spec, here: _Here) -> Iterator[Said]:
    """Said while there is something to do, not again once it is done."""
    off = next((s for s in spec.settings if s.token == "compress=no"), None)  # noqa: S105
    family = options.family("compress")
    if off is None or options.value(here.line.options, family) == off.token:
        return
    if not options.value(here.line.options, family) and here.mount and not _shown(here, off):
        yield Note("compression is off already: this only writes it down", "V212")
    elif spec.nocow:
        yield Note(
            "the declared paths are nocow, and so never compressed: this only ends compression "
            "for all the rest",
            "V213",
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
    return options.value(line.options, options.family("compress")) or "no compress option"


def _shown(here: _Here, setting: options.Setting) -> str:
    """As the kernel shows it now."""
    mount = here.mount or (None if setting.option.per_mount else next(iter(here.mounts), None))
    return mount_layouts.as_shown(mount, setting) if mount else setting.shown


def _live(spec: Spec, here: _Here, see: HostView) -> Iterator[Said]:
    if not here.mounts:
        yield Summary("not mounted: takes effect when it is")
        return
    yield Summary(_scope(spec, here))
    settings = spec.settings
    if here.mount is None:  # what belongs to one mount alone waits for that mount
        settings = tuple(s for s in settings if not s.option.per_mount)
    for setting in settings:
        if not setting.shown and not setting.option.off and _shown(here, setting):
            yield waits(setting.option.name)
            continue
        place = LiveOption(_target(here, setting, see), setting.option.name)
        yield Desired(place, setting.shown, "live remount, no reboot")
        if setting.token == "compress=no" and _shown(here, setting):  # noqa: S105 - no password
            yield Note("what is compressed already stays compressed until it is rewritten")
    yield from restore.live(spec.before, _reachable(here, see), see)


def _target(here: _Here, setting: options.Setting, see: HostView) -> str:
    """One name per filesystem, so that two declarations for one setting are seen to conflict."""
    if setting.option.per_mount:
        return here.place
    return next(iter(_reachable(here, see)), here.place)


def _reachable(here: _Here, see: HostView) -> list[str]:
    """Mount points of the filesystem that no later mount hides."""
    mounts = see(Mounts())
    return [m.target for m in here.mounts if mountinfo.at(mounts, m.target) == m]


def _scope(spec: Spec, here: _Here) -> str:
    others = sorted({mount.target for mount in here.mounts} - {here.place})
    name = f"Btrfs {here.uuid[:8]}"
    if here.mount is None:
        return f"{name}: not mounted here, but at {' '.join(others)}: one filesystem, one setting"
    if not others:
        return name
    one = any(setting.option.name == "compress" for setting in spec.settings)
    also = f"{name}, also mounted at {' '.join(others)}"
    return f"{also}: one compression setting for all" if one else also


def units(specs: Sequence[Spec], see: HostView) -> Iterator[str]:
    """The mount units, which systemd makes of fstab's lines."""
    where = (see.maybe(Locate(spec.target)) for spec in specs)
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
