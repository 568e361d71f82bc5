"""Does /etc/fstab say for Btrfs what will hold, and would it boot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.core.advice import ASK_ROOT, Health, Row
from reconciler.core.discovery import FstabFaults
from reconciler.core.facts import FstabLines, KernelTakes, Locate, ShadowingUnit
from reconciler.core.sizes import counted
from reconciler.core.snapshot import Hidden
from reconciler.formats import options

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from reconciler.advice.filesystems import Btrfs
    from reconciler.core.snapshot import Snapshot
    from reconciler.formats.fstab import Line

_COMPRESS = options.family("compress")
_OF_THE_LINE = frozenset({"subvol", "subvolid", "device"})
"""Options that say what to mount, not how."""


def check(found: Sequence[Btrfs], see: Snapshot) -> Iterator[Row]:
    """Rows for what is wrong; one row where nothing is."""
    try:
        lines = [line for line in see(FstabLines()) if line.fstype == "btrfs"]
    except Hidden as hidden:
        if hidden.for_all:
            yield Row(
                Health.FAIL, "/etc/fstab", hidden.why, "V509", "it must be a file that can be read"
            )
        else:
            yield Row(Health.UNSEEN, "/etc/fstab", hidden.why, "V509", ASK_ROOT)
        return
    count = counted(len(lines), "sound line") if lines else "no line"
    yield from _sound(lines, found, see) or [
        Row(Health.OK, "/etc/fstab", f"{count} for Btrfs", "V509")
    ]
    for filesystem in found:
        yield from _decoration(filesystem)
    for target in dict.fromkeys(line.target for line in lines):
        yield from _shadowed(target, see)
    yield from _taken([line for line in lines if not line.problem], see)


def _sound(lines: Sequence[Line], found: Sequence[Btrfs], see: Snapshot) -> list[Row]:
    rows = [
        Row(Health.FAIL, f"/etc/fstab:{line.number}", line.problem, "V509", "mend that line")
        for line in lines
        if line.problem
    ]
    targets = [line.target for line in lines]
    rows += [
        Row(Health.WARN, f"/etc/fstab:{line.number}", text, "V509", "keep one of them")
        for line in lines
        if targets.index(line.target) != lines.index(line)
        if (text := f"a second line for {line.target}: systemd uses the first, mount both")
    ]
    mounted = {line.target for filesystem in found for line in filesystem.lines}
    return rows + [
        Row(Health.WARN, f"fstab {fault.target}", fault.text, "V509", "see findmnt --verify")
        for fault in see.maybe(FstabFaults()) or ()
        # Without udev findmnt does not find the source of a filesystem that is mounted.
        if fault.target in targets and not ("source" in fault.text and fault.target in mounted)
    ]


def _decoration(of: Btrfs) -> Iterator[Row]:
    """At boot the first mount of a filesystem sets compression for all of it."""
    first = of.deciding
    for line in of.lines:
        said = "" if line.problem else options.value(line.options, _COMPRESS)
        if first and said and line.target != first.target:
            text = f"{said} has no effect here: the line of {first.target} decides for all of it"
            yield Row(
                Health.WARN,
                f"/etc/fstab:{line.number}",
                text,
                "V510",
                f"declare it for {first.target}, or take it out",
            )


def _shadowed(target: str, see: Snapshot) -> Iterator[Row]:
    where = see.maybe(Locate(target)) if target.startswith("/") else None
    unit = see.maybe(ShadowingUnit(where.path)) if where else ""
    if unit:
        text = f"systemd uses the options in {unit}, not those of its line in /etc/fstab"
        yield Row(Health.WARN, f"mount {target}", text, "V511", "keep one of the two")


def _taken(lines: Sequence[Line], see: Snapshot) -> Iterator[Row]:
    """A word that the kernel refuses boots to a read-only root, or to an emergency shell."""
    refused, untold = False, ""
    for line in lines:
        asked = tuple(
            token
            for token in options.for_filesystem(line.options)
            if options.name(token) not in _OF_THE_LINE
        )
        try:
            verdict = see(KernelTakes(asked)) if asked else None
        except Hidden as hidden:
            yield Row(Health.UNSEEN, "mount options", hidden.why, "V515", ASK_ROOT)
            return
        if verdict and verdict.takes is None:
            untold = verdict.text
        elif verdict and not verdict.takes:
            refused = True
            yield Row(
                Health.FAIL,
                f"/etc/fstab:{line.number}",
                f"{verdict.text}: {_boots(line)}",
                "V515",
                "mend that line before the next boot",
            )
    if untold:
        yield Row(Health.UNSEEN, "mount options", untold, "V515")
    elif lines and not refused:
        yield Row(Health.OK, "mount options", "the kernel takes all those in /etc/fstab", "V515")


def _boots(line: Line) -> str:
    return "it boots to a read-only root" if line.target == "/" else "the mount fails at boot"
