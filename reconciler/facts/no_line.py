"""What is said where no line of /etc/fstab can be changed, and where to write instead."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.facts.diagnostics import Refusal
from reconciler.facts.host import FilesystemOf, FstabLines, KernelCommandLine, Locate, Mounts
from reconciler.formats import mountinfo, options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.facts.host_view import HostView
    from reconciler.formats.fstab import Line
    from reconciler.formats.mountinfo import Mount


MADE_BY_NIXOS = "is made by NixOS"
"""How the reason ends for which /etc/fstab cannot be replaced there."""


def nixos_option(target: str, line_options: str) -> str:
    """Return the option that stands for the fourth field of a line."""
    added = {"defaults", "x-initrd.mount"}  # by NixOS itself
    words = [f'"{word}"' for word in options.split(line_options) if word not in added]
    shown = " ".join(words).replace("$", "\\$")
    return f'fileSystems."{target}".options = [ {shown} ];'


def refusal(target: str, place: str, wanted: Sequence[str], host: HostView) -> Refusal:
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
    """Return the value of rootflags= with other options in it."""
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
