"""What a plan for mount options must know of layouts in which /etc/fstab is not the whole truth."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from reconciler.facts import boot_order, compression, fstab_line, mountable
from reconciler.facts.diagnostics import Note, Refusal, Summary
from reconciler.facts.host import KernelCommandLine, Mounts
from reconciler.formats import mountinfo, options

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from reconciler.facts.host_view import HostView
    from reconciler.formats.mountinfo import Mount
    from reconciler.formats.options import Setting


def all_mounts_of(uuid: str, host: HostView) -> tuple[Mount, ...]:
    """Return the mounts of the Btrfs with a UUID, also those that another mount hides."""
    return tuple(m for m in host(Mounts()) if mountable.uuid_of(m, host) == uuid.lower())


def after_boot(
    declared: Sequence[tuple[str, str]],
    token: str,
    uuid: str,
    put_back: Mapping[str, str],
    host: HostView,
) -> Iterator[Note]:
    """Yield what is said as long as a boot ends in another setting than the declared one.

    ``declared`` are the compress options of all entries by their targets, ``token`` is that of this
    entry, ``uuid`` is of its filesystem. ``put_back`` are the options that lines will have which
    are no longer declared, by their targets.
    """
    if not token or not uuid:
        return
    layout = compression.layout(uuid, host)
    then = (replace(line, options=put_back.get(line.target, line.options)) for line in layout.lines)
    layout = replace(layout, lines=tuple(then))
    for target, other in declared:
        lines = [line for line in layout.lines if line.target == target]
        layout = compression.written(layout, lines, other)
    boot, by = compression.decided(layout)
    if boot == compression.words(token):
        return
    way = compression.remedy(layout, token)
    alone = "" if boot else " alone"
    text = f"at boot compression is {boot or 'not known'}, decided by {by}, not by this line{alone}"
    also = ", too" if way.startswith("declare") else ""
    yield Note(f"{text}; {way}{also}" if way else text, "V207")


def image(target: str, settings: Sequence[Setting], host: HostView) -> Summary | Refusal | None:
    """Return what is said of / where it shows an image, and its Btrfs is mounted at /sysroot."""
    below = compression.below_image(host(Mounts())) if target == boot_order.ROOT else None
    if below is None:
        return None
    flags = boot_order.rootflags(host.maybe(KernelCommandLine()) or "")
    if all(
        options.value(flags, s.option.rivals) == s.token
        and mountinfo.live(below, s.option) == s.shown
        for s in settings
    ):
        return Summary("as declared, by rootflags= on the kernel's command line")
    tokens = [setting.token for setting in settings if setting.token]
    return Refusal(
        "/ is an overlay; the initramfs mounts its Btrfs at /sysroot, with rootflags= of the "
        "kernel's command line, and no line of /etc/fstab changes that",
        fstab_line.root_option(tokens, host),
        "V231",
    )


def fixed(obstacle: str, target: str = "", wanted: str = "") -> Refusal:
    """Say why /etc/fstab cannot be replaced, and what to write where instead."""
    remedy = "mend that first"
    if target and wanted and obstacle.endswith(fstab_line.MADE_BY_NIXOS):
        option = fstab_line.nixos_option(target, wanted)
        remedy = (
            f"write `{option}` in the configuration of NixOS, then `nixos-rebuild boot` and boot"
        )
    return Refusal(obstacle, f"{remedy}; the live mount is left alone as well", "V210")
