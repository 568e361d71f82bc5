"""Whether a line of /etc/fstab may be changed, and where to write where no line may."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from reconciler.facts import booted, diagnostics
from reconciler.facts.diagnostics import Refusal
from reconciler.facts.host import (
    FilesystemOf,
    FstabLines,
    KernelCommandLine,
    Locate,
    Mounts,
    MountUnits,
    ShadowingUnit,
    SourceUuid,
)
from reconciler.formats import fstab, mountinfo, options

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from reconciler.facts.host_view import HostView
    from reconciler.formats.fstab import Line
    from reconciler.formats.mountinfo import Mount


def not_btrfs(mount: Mount | None, lines: Sequence[Line]) -> str:
    """The live type is the truth; fstab's third field may say "auto".

    Of several lines for one mount point one for Btrfs is enough: which of them mounts is open.
    """
    if len(lines) > 1 and any(line.fstype in {"btrfs", "auto"} for line in lines):
        return ""
    if mount:
        return "" if mount.fstype == "btrfs" else f"{mount.fstype}, not Btrfs"
    types = {line.fstype for line in lines} - {"btrfs", "auto", "none"}
    return f"{', '.join(sorted(types))}, not Btrfs" if types else ""


def lines_for(target: str, place: str, host: HostView) -> list[Line]:
    """Return the lines that name a mount point, and with them those that lead there by a link.

    Without one of that name there is none: the other name is to be declared.
    """
    lines = host(FstabLines())
    if not any(line.target == target for line in lines):
        return []
    return [line for line in lines if line.target == target or leads_to(line, host) == place]


def leads_to(line: Line, host: HostView) -> str:
    """Return the mount point of a line, its links resolved: systemd and mount(8) resolve them."""
    if not line.target.startswith("/") or mountinfo.at(host(Mounts()), line.target):
        return line.target  # no mount point in mountinfo has a link in it
    where = host.maybe(Locate(line.target))
    return where.path if where else line.target


def not_editable(
    target: str, place: str, lines: Sequence[Line], host: HostView, wanted: Iterable[str] = ()
) -> Refusal | None:
    """The one line for a mount point, whose links lead to ``place``, must count, and be read.

    ``wanted`` are the options that are to be written, for the advice.
    """
    if refusal := shadowed(place, lines, host):
        return refusal
    if not lines:
        return no_line(target, place, tuple(filter(None, wanted)), host)
    if len(lines) > 1:
        numbers = " and ".join(str(line.number) for line in lines)
        links = sorted({line.target for line in lines} - {target})
        also = f" ({', '.join(links)} leads there)" if links else ""
        return Refusal(
            f"/etc/fstab names {target} in lines {numbers}{also}: systemd takes the first, "
            "`mount -a` tries each",
            "leave one of them",
            "V202",
        )
    if lines[0].problem:
        return Refusal(f"/etc/fstab:{lines[0].number}: {lines[0].problem}", code="V203")
    if binds(lines[0]):
        return Refusal(
            f"/etc/fstab:{lines[0].number} shows {lines[0].source} a second time",
            "declare the mount point of the filesystem's own line",
            "V209",
        )
    return None


def shadowed(place: str, lines: Sequence[Line], host: HostView) -> Refusal | None:
    """Why the options of a mount point are those of a unit file; None where they are the line's.

    The lines of / and /usr always count: systemd-remount-fs.service(8) reads them itself.
    """
    if is_remounted(place):
        return None
    shadow = host(ShadowingUnit(place))
    if lines and shadow:
        text = f"{shadow} hides the line in /etc/fstab: systemd never reads it"
        if shadow.endswith(".conf"):
            text = f"{shadow} sets Options=: systemd never uses those in /etc/fstab"
        return Refusal(text, f"set Options= in {shadow}, or remove that file", "V204")
    units = () if lines else host.maybe(MountUnits()) or ()
    file = shadow or next((unit.file for unit in units if unit.where == place), "")
    if not file:
        return None
    is_of_a_package = not file.startswith(("/etc/", "/run/"))  # systemctl(1), edit
    by = f"by `systemctl edit --full {file.rpartition('/')[2]}`"
    return Refusal(
        f"{file} mounts {place}, and /etc/fstab has no line for it",
        f"set Options= {by if is_of_a_package else f'in {file}'}: vmtune changes lines of "
        "/etc/fstab alone",
        "V204",
    )


def is_remounted(place: str) -> bool:
    """Tell whether systemd-remount-fs.service(8) applies the line of a mount point."""
    return place in {"/", "/usr"}


def not_of_the_line(line: Line, mount: Mount | None, uuid: str, host: HostView) -> Refusal | None:
    """The mount, of the filesystem ``uuid``, must be what the line would mount.

    A difference that cannot be seen from here is none: a source whose UUID is
    not known, a line without subvol=.
    """
    if mount is None or (differs := _differs(line, mount, uuid, host)) is None:
        return None
    is_, says = differs
    if is_.startswith("/") and (snapshot := booted.snapshot(mount, host)):
        verb = "is booted from" if mount.target == "/" else "shows"
        refusal = Refusal(
            f"{mount.target} {verb} a snapshot ({snapshot}), but /etc/fstab:{line.number} says "
            f"{says}",
            "boot the system itself first" if mount.target == "/" else "mount what the line says",
            "V208",
        )
    else:
        refusal = another(is_, line, mount.target, f"says {says}")
    unsure = _unsure(line, mount, host) if is_.startswith("/") else ""
    return replace(refusal, hint=f"{refusal.hint}; {unsure}") if unsure else refusal


def _unsure(line: Line, mount: Mount, host: HostView) -> str:
    """Who sees whether what subvol= names is a link to what is mounted; "" where that was seen."""
    name = fstab.subvolume_named(line.options)
    if not name or booted.leads_to(name, mount, host) is not None:
        return ""
    return diagnostics.hidden(f"see whether {name} is a symbolic link to that", host)


def another(is_: str, line: Line, target: str, says: str) -> Refusal:
    """Refuse a line because something else is mounted than what it ``says``."""
    return Refusal(
        f"{is_} is mounted at {target}, but /etc/fstab:{line.number} {says}",
        "mount what the line says, or mend the line",
        "V208",
    )


def binds(line: Line) -> bool:
    """It shows a directory a second time: type "none", bind or rbind (mount(8))."""
    return line.fstype == "none" or not {"bind", "rbind"}.isdisjoint(options.split(line.options))


def _differs(line: Line, mount: Mount, uuid: str, host: HostView) -> tuple[str, str] | None:
    """What is mounted, and what the line says; None where they agree."""
    named = host(SourceUuid(line.source))
    if named and named.lower() != uuid.lower():
        known = line.source == f"UUID={named}"
        return f"Btrfs {uuid}", line.source if known else f"{line.source}, which is {named}"
    if {"btrfs", "auto"}.isdisjoint(line.fstype.split(",")):
        return "Btrfs", line.fstype
    subvolume, mounted = fstab.subvolume_named(line.options), mountinfo.subvolume(mount)
    if subvolume and subvolume != mounted and not booted.leads_to(subvolume, mount, host):
        return mounted, f"subvol={subvolume}"
    return None


MADE_BY_NIXOS = "is made by NixOS"
"""How the reason ends for which /etc/fstab cannot be replaced there."""


def nixos_option(target: str, line_options: str) -> str:
    """Return the option that stands for the fourth field of a line."""
    added = {"defaults", "x-initrd.mount"}  # by NixOS itself
    words = [f'"{word}"' for word in options.split(line_options) if word not in added]
    shown = " ".join(words).replace("$", "\\$")
    return f'fileSystems."{target}".options = [ {shown} ];'


def no_line(target: str, place: str, wanted: Sequence[str], host: HostView) -> Refusal:
    """Name the mount that the path is on, the line that leads there, and what to write."""
    lines = [line for line in host(FstabLines()) if line.target.startswith("/")]
    named = {line.target: line for line in lines if not line.problem}
    for line in lines:
        where = host.maybe(Locate(line.target))
        if where and where.path == place:
            return Refusal(
                f"/etc/fstab has no line for {target}; line {line.number}, {line.target}, leads "
                "there",
                f"declare `target: {line.target}`",
                "V201",
            )
    mount = mountinfo.containing(host(Mounts()), place)
    if mount is None:
        return Refusal(f"/etc/fstab has no line for {target}", "declare a mount point", "V201")
    if mount.target == place:
        return _mounted(target, mount, named, wanted, host)
    on = named.get(mount.target)
    if on:
        text = f"{target} is no mount point: it is on {on.target} (/etc/fstab:{on.number})"
        return Refusal(text, f"declare `target: {on.target}`", "V201")
    found = _mounted(mount.target, mount, named, wanted, host)
    text = f"{target} is no mount point: it is on {mount.target}, for which /etc/fstab has no line"
    return Refusal(text, found.hint, "V201")


def _mounted(
    target: str, mount: Mount, named: dict[str, Line], wanted: Sequence[str], host: HostView
) -> Refusal:
    """Something is mounted there that no line mounts."""
    text = f"/etc/fstab has no line for {target}"
    if mount.fstype != "btrfs":
        return Refusal(text, "declare the mount point of a Btrfs filesystem", "V201")
    fellows = [
        m for m in host(Mounts()) if m.device == mount.device and m.target in named and m != mount
    ]
    if fellows:
        line = named[fellows[0].target]
        where = f"{text}; {line.target} (/etc/fstab:{line.number}) is of the same filesystem"
        return Refusal(
            where, f"declare `target: {line.target}`: one setting holds for all of it", "V201"
        )
    if target == "/":
        return Refusal(text, root_option(wanted, host), "V201")
    found = host.maybe(FilesystemOf(mount.target))
    source = f"UUID={found.uuid}" if found else mount.source
    words = ",".join([f"subvol={mountinfo.subvolume(mount)}", *wanted])
    return Refusal(
        f"{text}: something else mounts it, and decides its options",
        f"write a line, if /etc/fstab is to mount it: `{source} {target} btrfs {words} 0 0`",
        "V201",
    )


def root_option(wanted: Sequence[str], host: HostView) -> str:
    """Say what to write on the kernel's command line, where no line decides the options of /."""
    command_line = host.maybe(KernelCommandLine()) or ""
    flags = "".join(options.rootflags(command_line)[-1:])
    return kernel_option(command_line, flags_with(flags, wanted))


def flags_with(flags: str, wanted: Sequence[str]) -> str:
    """Return the value of rootflags= with other options in it; one with an open quote gets them."""
    if not options.well_formed(flags):
        return ",".join((flags, *wanted))
    for token in wanted:
        names = options.family(options.name(token))
        flags = options.replace(flags or "defaults", names, token)
    return ",".join(word for word in options.split(flags) if word != "defaults")


def kernel_option(command_line: str, flags: str) -> str:
    """Say how rootflags= is changed on the kernel's command line."""
    old = [word for word in command_line.split() if word.startswith("rootflags=")]
    if any(word.startswith("ostree=") for word in command_line.split()):
        taken = "".join(f" --delete={word}" for word in old)
        return f"`rpm-ostree kargs{taken} --append=rootflags={flags}`, then boot"
    return (
        f"write `rootflags={flags}` on the kernel's command line, in the boot loader's "
        "configuration (GRUB: /etc/default/grub; systemd-boot: /etc/kernel/cmdline)"
    )
