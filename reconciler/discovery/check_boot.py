"""What decides mount options beside /etc/fstab, and what a plan would refuse because of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.facts import boot_layouts, boot_order, booted, compression, fstab_line, no_line
from reconciler.facts.discovered import Health, Row
from reconciler.facts.host import (
    FilesystemOf,
    FstabLines,
    FstabObstacle,
    Locate,
    Mounts,
    ShadowingUnit,
)
from reconciler.formats import mountinfo, options

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from reconciler.discovery.filesystems import Btrfs
    from reconciler.discovery.subjects import Subjects
    from reconciler.facts.diagnostics import Refusal
    from reconciler.facts.host_view import HostView


def check_boot(subjects: Subjects, found: Sequence[Btrfs], host: HostView) -> Iterator[Row]:
    """Yield rows for what is wrong, and none where nothing is."""
    seen = host.maybe(FstabLines())
    if seen is None:  # which is a row of its own
        return
    yield from _snapshot(host)
    for filesystem in found:
        yield from _idle(filesystem, host)
        yield from _at_boot(filesystem, host)
    lines = [line for line in seen if line.fstype == "btrfs"]
    for target in dict.fromkeys(line.target for line in lines):
        yield from _shadowed(target, host)
    declared = dict(subjects.mounts)
    for target in dict.fromkeys((*declared, *(line.target for line in lines))):
        refusal = _refusal(target, declared.get(target), host) if target[:1] == "/" else None
        if refusal:
            yield Row(Health.WARN, f"mount {target}", refusal.text, refusal.code, refusal.hint)
    if lines and (obstacle := host.maybe(FstabObstacle())):
        yield _fixed(obstacle, lines[0].target, lines[0].options)


def _snapshot(host: HostView) -> Iterator[Row]:
    here, ordinary = booted.in_place_of_the_system(host)
    if here:
        text = f"/ is booted from the snapshot {here}; an ordinary boot mounts {ordinary}"
        remedy = "boot the system itself before you change anything: changes here are left behind"
        yield Row(Health.WARN, "booted snapshot", text, "V525", remedy)


def _idle(of: Btrfs, host: HostView) -> Iterator[Row]:
    """Yield a row for each compress option that changes nothing, and is not what is anyway."""
    layout = compression.layout(of.uuid, host)
    if layout.unseen:
        return
    boot, by = compression.decided(layout)
    numbers: dict[str, list[str]] = {}
    for line in layout.lines:
        said = "" if line.problem else options.value(line.options, options.COMPRESS) or ""
        if said and compression.words(said) != boot and compression.is_idle(layout, line):
            numbers.setdefault(said, []).append(str(line.number))
    for said, where in numbers.items():
        text = f"{said} has no effect at boot: {boot or 'not known'}, decided by {by}"
        way = compression.remedy(layout, said)
        remedy = f"{way}; or take it out" if way else "take it out"
        yield Row(Health.WARN, f"/etc/fstab:{','.join(where)}", text, "V510", remedy)


def _at_boot(of: Btrfs, host: HostView) -> Iterator[Row]:
    """Yield a row where the next boot changes the compression that is on now, or may change it."""
    layout = compression.layout(of.uuid, host)
    now = compression.now(of.mounts[0])
    boot, by = compression.decided(layout)
    is_open = all(outcome.by is None for outcome in boot_order.outcomes(layout))
    if now == boot or layout.unseen or is_open:  # open: whoever mounts it decides
        return
    text = f"compression is {now} now; at boot {boot or 'not known'}, decided by {by}"
    way = compression.remedy(layout, of.compress or "compress=no")
    yield Row(Health.WARN, of.name, text, "V526", f"to keep it, {way}" if way else "")


def _shadowed(target: str, host: HostView) -> Iterator[Row]:
    where = host.maybe(Locate(target)) if target.startswith("/") else None
    if not where or fstab_line.is_remounted(where.path):
        return
    if unit := host.maybe(ShadowingUnit(where.path)):
        text = f"systemd uses the options in {unit}, not those of its line in /etc/fstab"
        yield Row(Health.WARN, f"mount {target}", text, "V511", "keep one of the two")


def _refusal(target: str, tokens: Sequence[str] | None, host: HostView) -> Refusal | None:
    """Return why a plan would refuse to change the options of a mount point, but for /etc/fstab.

    ``tokens`` are the declared options; None where nothing is declared: then a mount point is
    judged by its line alone.
    """
    where, mounts = host.maybe(Locate(target)), host.maybe(Mounts()) or ()
    mount = mountinfo.at(mounts, where.path) if where else None
    if where is None or (mount and mount.fstype == "autofs"):
        return None
    is_readable = host.maybe(FstabLines()) is not None
    lines = fstab_line.lines_for(target, where.path, host) if is_readable else []
    if tokens is not None:
        image = boot_layouts.image(target, (), host) if tokens else None
        if image or fstab_line.not_btrfs(mount, lines):
            return None
        refusal = fstab_line.not_editable(target, where.path, lines, host, tokens)
        if refusal:
            # Of the line in /etc/fstab that is said already.
            is_told = refusal.code in {"V202", "V203"} or (refusal.code == "V204" and lines)
            return None if is_told else refusal
    if len(lines) != 1 or mount is None or mount.fstype != "btrfs":
        return None
    if tokens is None and not (target == "/" and booted.in_place_of_the_system(host)[0]):
        return None  # check_fstab says which subvolume the line would mount
    filesystem = host.maybe(FilesystemOf(mount.target))
    return (
        fstab_line.not_of_the_line(lines[0], mount, filesystem.uuid, host) if filesystem else None
    )


def _fixed(obstacle: str, target: str, line_options: str) -> Row:
    if obstacle.endswith(no_line.MADE_BY_NIXOS):
        written = no_line.nixos_option(target, line_options)
        remedy = f"declare no mounts; write options there, as in `{written}`"
    else:
        remedy = "mend that, if vmtune is to change mount options"
    return Row(Health.WARN, "/etc/fstab", f"cannot be replaced: {obstacle}", "V527", remedy)
