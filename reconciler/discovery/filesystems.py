"""The Btrfs filesystems of a host, and the one setting of each that people change for images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.discovery.candidates import declarable
from reconciler.discovery.facts import SpaceOn
from reconciler.facts import boot_order, booted, compression, fstab_line
from reconciler.facts.discovered import Entry, Remark
from reconciler.facts.host import FilesystemOf, FstabLines, FstabObstacle, Mounts, SourceUuid
from reconciler.formats import datamode, mountinfo, options
from reconciler.formats.sizes import binary
from reconciler.value import Value

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.facts.boot_order import BootLayout
    from reconciler.facts.host import Filesystem
    from reconciler.facts.host_view import HostView
    from reconciler.formats.fstab import Line
    from reconciler.formats.mountinfo import Mount


_BORING = ("space_cache", "subvolid", "subvol", "rw", "ro", "nospace_cache")


class Btrfs(Value):
    """A mounted filesystem: its mounts, and its lines in /etc/fstab, of which some may differ."""

    uuid: str
    host: Filesystem
    mounts: tuple[Mount, ...]
    lines: tuple[Line, ...]

    @property
    def name(self) -> str:
        label = f" {self.host.label!r}" if self.host.label else ""
        return f"Btrfs{label} {self.uuid[:8]}"

    @property
    def compress(self) -> str:
        """As the kernel shows it; "" when it is off."""
        return options.shown(mountinfo.option(self.mounts[0].super_options, options.COMPRESS))

    @property
    def plain(self) -> str:
        """Name nodatacow or nodatasum, where it is mounted so; else ""."""
        return datamode.of_live(self.mounts[0].super_options).plain


def filesystems(host: HostView) -> tuple[Btrfs, ...]:
    """Every Btrfs that is mounted where it can be reached, in the order mounted."""
    mounts = host(Mounts())
    reachable = [m for m in mounts if m.fstype == "btrfs" and mountinfo.at(mounts, m.target) == m]
    by_device: dict[str, list[Mount]] = {}
    for mount in reachable:
        by_device.setdefault(mount.device, []).append(mount)
    by_uuid: dict[str, tuple[Filesystem, list[Mount]]] = {}
    for device_mounts in by_device.values():  # one device number for each subvolume
        filesystem = next(
            filter(None, (host.maybe(FilesystemOf(m.target)) for m in device_mounts)), None
        )
        if filesystem:
            by_uuid.setdefault(filesystem.uuid, (filesystem, []))[1].extend(device_mounts)
    lines = host.maybe(FstabLines()) or ()
    return tuple(
        Btrfs(uuid, filesystem, tuple(of), tuple(_lines_of(uuid, lines, host)))
        for uuid, (filesystem, of) in by_uuid.items()
    )


def _lines_of(uuid: str, lines: tuple[Line, ...], host: HostView) -> Iterator[Line]:
    for line in lines:
        if line.fstype in {"btrfs", "auto"} and host.maybe(SourceUuid(line.source)) == uuid:
            yield line


def suggest(of: Btrfs, host: HostView) -> Entry | Remark:
    """Nothing is declared unasked: one setting holds for all that is on it."""
    found = "; ".join(_found(of, host))
    layout = compression.layout(of.uuid, host)
    here, ordinary = booted.in_place_of_the_system(host) if layout.root else ("", "")
    if here:
        text = (
            f"{of.name}: / is booted from the snapshot {here}, an ordinary boot mounts {ordinary}"
        )
        return Remark("apart", f"{text}: boot the system itself first")
    line, boot = _line(of, layout)
    if line is None:
        text = f"{of.name}: {found}; /etc/fstab has no line for it, so no options can be declared"
        way = (
            f"; instead, {fstab_line.root_option([*filter(None, [_token(of)])], host)}"
            if layout.root
            else ""
        )
        return Remark("apart", text + way)
    if obstacle := host.maybe(FstabObstacle()):
        return Remark("apart", f"{of.name}: {found}; {_fixed(obstacle, line)}")
    if line.problem or declarable(line.target):
        text = f"{of.name}: {found}; /etc/fstab:{line.number} cannot be edited: "
        return Remark("apart", text + (line.problem or declarable(line.target)))
    settings, remarks = _options(of)
    head = (Remark("found", f"{of.name}: {found}"),)
    return Entry(
        "mounts",
        {"target": line.target, "options": settings},
        (*head, *remarks, *boot),
        active=False,
    )


def _token(of: Btrfs) -> str:
    """The compress option that would be suggested; "" where another one is."""
    name, value = next(iter(_options(of)[0].items()))
    return f"{name}={value}" if name == "compress" else ""


def _line(of: Btrfs, layout: BootLayout) -> tuple[Line | None, tuple[Remark, ...]]:
    """The line to declare options for, and what is to be known of the next boot.

    Of compression the line that decides at boot; else that of /, or the first.
    """
    token = _token(of)
    lines = compression.deciding(layout, token) if token else ()
    if lines and not compression.is_idle(layout, lines[0]):
        return lines[0], ()
    kept = [x for x in layout.lines if x.target != "/" or layout.root != boot_order.SYSROOT]
    kept.sort(key=lambda line: line.target != "/")
    if not kept or not token:
        return next(iter(kept), None), ()
    boot, by = compression.decided(layout)
    text = f"live only: at boot compression is {boot or 'not known'}, decided by {by}"
    return kept[0], (Remark("price", text),)


def _fixed(obstacle: str, line: Line) -> str:
    if not obstacle.endswith(fstab_line.MADE_BY_NIXOS):
        return f"/etc/fstab cannot be replaced: {obstacle}"
    option = fstab_line.nixos_option(line.target, line.options)
    return f"{obstacle}: write options there, as in {option}"


def _found(of: Btrfs, host: HostView) -> Iterator[str]:
    yield "mounted at " + ", ".join(
        f"{target} ({root})"
        for target, root in sorted({(mount.target, mount.root) for mount in of.mounts})
    )
    shown = of.mounts[0].super_options.split(",")
    yield ",".join(o for o in shown if o.partition("=")[0] not in _BORING) or "default options"
    if of.host.profiles:
        yield f"data {'/'.join(of.host.profiles)}"
    if space := host.maybe(SpaceOn(of.mounts[0].target)):
        yield f"{binary(space.free)} of {binary(space.total)} free"


def _options(of: Btrfs) -> tuple[dict[str, object], tuple[Remark, ...]]:
    """What could be set, and what for: never needed for nocow files."""
    targets = sorted({mount.target for mount in of.mounts})
    everywhere = f"it is for the whole filesystem ({', '.join(targets)})"
    if of.compress.startswith("compress-force="):
        level = of.compress.partition("=")[2]
        why = (
            f"compress-force overrides `compression: none`; plain compress={level} does not. "
            "nocow files are not compressed either way"
        )
        return {"compress": level}, (Remark("why", why), Remark("price", everywhere))
    if mountinfo.option(of.mounts[0].super_options, {"autodefrag"}) is not None:
        why = "autodefrag rewrites data around every small write, which images are full of"
        return {"autodefrag": False}, (Remark("why", why), Remark("price", everywhere))
    if of.compress:
        why = "the images do not need it: nocow files are never compressed"
        price = f"{everywhere}: what is written from then on takes its full space"
        return {"compress": "no"}, (Remark("why", why), Remark("price", price))
    why = "compression is off here now; with this line it stays off"
    return {"compress": "no"}, (Remark("why", why),)
