"""The one compression setting of a mounted Btrfs: what it is now, and who decides it at boot.

The property of a directory is ``Folder.compression`` in engine/directory.py.

Sources: btrfs(5), and what was measured: ``boot_order`` says what each mount does, and
in which order a boot mounts.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from reconciler.facts import boot_order, booted, fstab_line, mountable
from reconciler.facts.host import (
    FstabLines,
    KernelCommandLine,
    Locate,
    Mounts,
    MountUnits,
    SourceUuid,
)
from reconciler.formats import datamode, mountinfo, options
from reconciler.value import Value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.facts.boot_order import BootLayout, MountUnit, Outcome, Step
    from reconciler.facts.host import Filesystem
    from reconciler.facts.host_view import HostView
    from reconciler.formats.fstab import Line
    from reconciler.formats.mountinfo import Mount


OFF = boot_order.OFF


class Compression(Value):
    """``now`` and ``boot`` are "off", "zstd:3" or "zstd:3, forced"; ``boot`` "" is not known.

    ``by`` says who decides at boot, ``where`` all mount points, sorted.
    """

    uuid: str
    label: str
    where: tuple[str, ...]
    now: str
    boot: str
    by: str


def live(path: str, host: HostView) -> str:
    """The option that compresses on the filesystem of a path, as mountinfo shows it; else ""."""
    mount = mountinfo.containing(host(Mounts()), path)
    return datamode.of_live(mount.super_options).compressing if mount else ""


def words(token: str | None) -> str:
    """A compress option as fstab has it, in words; None, or one that switches it off, is "off"."""
    return boot_order.live_words(options.effective(token))


def of(path: str, on: Filesystem, host: HostView) -> Compression | None:
    """That of the filesystem an existing, resolved path is on."""
    mounts = host(Mounts())
    mount = mountinfo.containing(mounts, path)
    if mount is None:
        return None
    where = tuple(sorted({m.target for m in mounts if m.device == mount.device}))
    return Compression(on.uuid, on.label, where, now(mount), *decided(layout(on.uuid, host)))


def beneath(path: str, host: HostView) -> str:
    """The path to ask about: /sysroot in place of a / that shows an image of the Btrfs there."""
    is_image = path == boot_order.ROOT and below_image(host.maybe(Mounts()) or ())
    return boot_order.SYSROOT if is_image else path


def below_image(mounts: Sequence[Mount]) -> Mount | None:
    """The Btrfs at /sysroot where / shows an image of it; None where / shows none."""
    top, below = (mountinfo.at(mounts, at) for at in (boot_order.ROOT, boot_order.SYSROOT))
    return below if top and top.fstype != "btrfs" and below and below.fstype == "btrfs" else None


def now(mount: Mount) -> str:
    """What happens to data that is written now, in words."""
    return boot_order.live_words(datamode.of_live(mount.super_options).compressing)


# --- how a boot mounts it
def layout(uuid: str, host: HostView) -> BootLayout:
    """What a boot will find of the filesystem with a UUID."""
    seen = host.maybe(FstabLines())
    lines = tuple(line for line in seen or () if _is_of(line, uuid, host))
    command_line = host.maybe(KernelCommandLine()) or ""
    mounts = host.maybe(Mounts()) or ()
    top = mountinfo.at(mounts, boot_order.ROOT)
    is_writable = top is not None and "rw" in top.options.split(",")
    root = _root(uuid, lines, command_line, mounts, host)
    units = _units(uuid, lines, host)
    unseen = _unseen(root, host) if seen is not None else "/etc/fstab, which cannot be read here"
    found = boot_order.BootLayout(root, is_writable, command_line, lines, units, unseen)
    return replace(found, unseen=unseen or _below_etc(found, mounts))


def _below_etc(of: BootLayout, mounts: Sequence[Mount]) -> str:
    """What the initramfs reads where /etc is an overlay that is mounted after its lines.

    It matters where the option of such a line would change what the boot ends in.
    """
    etc = mountinfo.at(mounts, "/etc")
    if etc is None or etc.fstype != "overlay":
        return ""
    early = [line for line in of.lines if boot_order.is_early(line)]
    if all(is_idle(of, line) for line in early):
        return ""
    return "the fstab below the overlay at /etc, which the initramfs reads"


def _unseen(root: str, host: HostView) -> str:
    """In a booted snapshot /etc/fstab is a copy: an ordinary boot reads another file."""
    _, ordinary = booted.in_place_of_the_system(host) if root else ("", "")
    subvolume = ordinary.partition(" (")[0]
    return f"the /etc/fstab in {subvolume}, which is not the one here" if ordinary else ""


def _is_of(line: Line, uuid: str, host: HostView) -> bool:
    """It mounts the filesystem, and does not show a part of it a second time.

    What the source names cannot always be told: /dev/root and /dev/gpt-auto-root are such names.
    The mount point counts then. systemd-remount-fs.service(8) asks for no source of /.
    """
    if line.fstype not in {"btrfs", "auto"} or (not line.problem and fstab_line.binds(line)):
        return False
    if named := host.maybe(SourceUuid(line.source)):
        return named.lower() == uuid.lower()
    mount = mountinfo.at(host.maybe(Mounts()) or (), line.target)
    return mount is not None and mountable.uuid_of(mount, host) == uuid.lower()


def _root(
    uuid: str, lines: Sequence[Line], command_line: str, mounts: Sequence[Mount], host: HostView
) -> str:
    """Where the initramfs mounts the filesystem: "/", "/sysroot", or "" where it does not."""
    top = mountinfo.at(mounts, boot_order.ROOT)
    if top is None or top.fstype == "btrfs":
        is_top = top and mountable.uuid_of(top, host) == uuid.lower()
        is_unseen = top is None and any(line.target == boot_order.ROOT for line in lines)
        return boot_order.ROOT if is_top or is_unseen else ""
    below = mountinfo.at(mounts, boot_order.SYSROOT)
    if below and below.fstype == "btrfs":
        return boot_order.SYSROOT if mountable.uuid_of(below, host) == uuid.lower() else ""
    named = next((w[5:] for w in command_line.split() if w.startswith("root=")), "")
    found = host.maybe(SourceUuid(named)) if named else ""
    return boot_order.SYSROOT if found and found.lower() == uuid.lower() else ""


def _units(uuid: str, lines: Sequence[Line], host: HostView) -> tuple[MountUnit, ...]:
    """The mount units of the filesystem, and those that hide one of its lines."""
    units = host.maybe(MountUnits()) or ()
    if not units:
        return ()
    found = []
    places = {
        line.target: where.path for line in lines if (where := host.maybe(Locate(line.target)))
    }
    for unit in units:
        hidden = [line for line in lines if places.get(line.target, line.target) == unit.where]
        if unit.hides and hidden:
            found.append(replace(unit, where=hidden[0].target))
        elif unit.source and (host.maybe(SourceUuid(unit.source)) or "").lower() == uuid.lower():
            found.append(unit)
    return tuple(found)


# --- who decides, in words
def decided(of: BootLayout) -> tuple[str, str]:
    """The setting after the next boot ("" when that is open), and who decides it."""
    if of.unseen:
        return "", of.unseen
    found = boot_order.outcomes(of)
    steps = [each.by for each in found if each.by]
    if not found or len(steps) < len(found):
        return "", "whoever mounts it (no line of /etc/fstab does)"
    if len(found) == 1:
        return _only(found[0], steps[0], of)
    names = _joined(steps)
    if any(step.is_unread for step in steps):
        return "", f"whichever of {names} is mounted first"
    takes_over = any(each.takes_over for each in found)
    order = f"mounted writable first, {_since(of)}" if takes_over else "mounted first"
    if len({each.setting for each in found}) > 1:
        return "", f"whichever of {names} is {order}"
    takes = f" (the one that is {order})" if takes_over else ""
    return found[0].setting, f"{names} alike{takes}"


def _only(found: Outcome, step: Step, of: BootLayout) -> tuple[str, str]:
    if step.is_unread:
        return "", f"{step.name}, which cannot be read"
    if not re.fullmatch(r"off|(zlib|zstd|lzo)(:-?\d+)?(, forced)?", found.setting):
        return "", f"{step.name}, with {step.says}, which the kernel may refuse"
    if not step.line and not step.unit:
        if not boot_order.is_clear(of.command_line):
            return "", "the kernel's command line, which has rootflags= more than once"
        return found.setting, _by_the_kernel(step)
    if step.target == boot_order.ROOT:
        return found.setting, f"{step.name}, the line of /{_silent(step)}"
    if found.takes_over:
        order = f"which mounts {step.target} writable first, {_since(of)}"
        return found.setting, f"{step.name}, {order}{_silent(step)}"
    return found.setting, step.name


def _silent(step: Step) -> str:
    return "" if step.says else " (it names no compression)"


def _since(of: BootLayout) -> str:
    return f"since {of.root or 'the first mount'} is read-only"


def _by_the_kernel(step: Step) -> str:
    is_image = step.target != boot_order.ROOT
    where = ", with which it is mounted first, at /sysroot" if is_image else ""
    flags = "rootflags= on " if step.says else ""
    return f"{flags}the kernel's command line{where}{_silent(step)}"


def _joined(steps: Sequence[Step]) -> str:
    """Where the options of some steps are written: "/etc/fstab:1 and 2 and /etc/x.mount"."""
    numbers = [str(step.line.number) for step in steps if step.line]
    files = [step.name for step in steps if not step.line]
    lines = ["/etc/fstab:" + " and ".join(numbers)] if numbers else []
    return " and ".join(lines + files)


def is_idle(of: BootLayout, line: Line) -> bool:
    """Tell whether no compress option on a line changes what a boot ends in."""
    now = boot_order.settings(of)
    return all(
        boot_order.settings(written(of, [line], token)) == now
        for token in (None, "compress=no", "compress=lzo", "compress-force=zstd:9")
    )


def written(of: BootLayout, lines: Sequence[Line], token: str | None) -> BootLayout:
    """The same filesystem with a compress option written on some of its lines."""
    new = (
        replace(line, options=options.replace(line.options, options.COMPRESS, token))
        if line in lines and not line.problem
        else line
        for line in of.lines
    )
    return replace(of, lines=tuple(new))


def deciding(of: BootLayout, token: str) -> tuple[Line, ...]:
    """The lines on which a compress option must be written to hold after a boot; () where none do.

    One line, if one is enough: that of / first.
    """
    lines = [line for line in of.lines if not line.problem]
    lines.sort(key=lambda line: line.target != boot_order.ROOT)
    if of.root == boot_order.SYSROOT:  # at / is an image
        lines = [line for line in lines if line.target != boot_order.ROOT]
    for some in [*([line] for line in lines), lines]:
        if some and boot_order.settings(written(of, some, token)) == {words(token)}:
            return tuple(some)
    return ()


def _by_flags(of: BootLayout, token: str) -> str:
    """The value of rootflags= with which a compress option would hold; "" where it would not."""
    flags = fstab_line.flags_with(boot_order.rootflags(of.command_line), [token])
    kept = [word for word in of.command_line.split() if not word.startswith("rootflags=")]
    new = replace(of, command_line=" ".join([*kept, f"rootflags={flags}"]))
    return flags if boot_order.settings(new) == {words(token)} else ""


def remedy(of: BootLayout, token: str) -> str:
    """What to write where, for a compress option to hold after the next boot."""
    if lines := deciding(of, token):
        name, _, value = (options.effective(token) or "compress=no").partition("=")
        if len(lines) == 1:
            where = f"`target: {lines[0].target}` (line {lines[0].number})"
        else:
            where = f"each of the lines {' and '.join(str(line.number) for line in lines)}"
        return f"declare `{name}: {value}` for {where}"
    damaged = [str(line.number) for line in of.lines if line.problem]
    if damaged:
        return f"mend line {damaged[0]} first"
    flags = _by_flags(of, token) if of.root else ""
    return fstab_line.kernel_option(of.command_line, flags) if flags else ""
