"""The one compression setting of a mounted Btrfs: what it is now, and who decides it at boot.

Sources: btrfs(5), and what was measured: the first mount decides for all
subvolumes. That of / is made with ``rootflags=`` of the kernel's command line;
then the line of / in /etc/fstab is applied, if it names compression at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.facts import fstab_line
from reconciler.facts.host import FstabLines, KernelCommandLine, Mounts, SourceUuid
from reconciler.formats import mountinfo, options
from reconciler.value import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.facts.host import Filesystem
    from reconciler.facts.host_view import HostView
    from reconciler.formats.fstab import Line


_NAMES = options.family("compress")

_LEVELS = {"zstd": "zstd:3", "zlib": "zlib:3", "": "zlib:3"}

OFF = "off"


@dataclass(frozen=True, slots=True)
class Compression:
    """``now`` and ``boot`` are "off", "zstd:3" or "zstd:3, forced"; ``boot`` "" is not known.

    ``by`` says who decides at boot, ``where`` all mount points, sorted.
    """

    uuid: str
    label: str
    where: tuple[str, ...]
    now: str
    boot: str
    by: str


def live(path: str, see: HostView) -> str:
    """The option as mountinfo shows it for the filesystem that a path is on; "" for none."""
    mounts = see(Mounts())
    mount = mountinfo.containing(mounts, path)
    return (mountinfo.option(mount.super_options, _NAMES) if mount else "") or ""


def of(path: str, on: Filesystem, see: HostView) -> Compression | None:
    """That of the filesystem an existing, resolved path is on."""
    mounts = see(Mounts())
    mount = mountinfo.containing(mounts, path)
    if mount is None:
        return None
    where = sorted({m.target for m in mounts if m.device == mount.device})
    lines = see.maybe(FstabLines()) or ()
    mine = [line for line in lines if _is_of(line, on.uuid, see)]
    boot, by = decided("/" in where, mine, see.maybe(KernelCommandLine()) or "")
    now = words(mountinfo.option(mount.super_options, _NAMES))
    return Compression(on.uuid, on.label, tuple(where), now, boot, by)


def _is_of(line: Line, uuid: str, see: HostView) -> bool:
    """It mounts the filesystem, and does not show a part of it a second time."""
    if line.problem or line.fstype not in {"btrfs", "auto"} or fstab_line.binds(line):
        return False
    return (see.maybe(SourceUuid(line.source)) or "").lower() == uuid.lower()


def words(token: str | None) -> str:
    """A compress option as the kernel takes it; None, or one that switches it off, is "off"."""
    name, _, value = (token or "").partition("=")
    if not name or value in {"no", "none"}:
        return OFF
    return _LEVELS.get(value, value) + (", forced" if name == "compress-force" else "")


def decided(has_root: bool, lines: Sequence[Line], command_line: str) -> tuple[str, str]:
    """The setting after the next boot ("" when that is open), and who decides it."""
    root = [line for line in lines if line.target == "/"]
    if root and (token := options.value(root[0].options, _NAMES)):
        return words(token), f"{_where(root[:1])}, the line of /"
    if has_root or root:
        if flags := _rootflags(command_line):
            return words(flags), "rootflags= on the kernel's command line"
        which = f"{_where(root[:1])}, the line of /" if root else "the kernel's command line"
        return OFF, f"{which} (it names none)"
    if not lines:
        return "", "whoever mounts it (no line of /etc/fstab does)"
    values = {words(options.value(line.options, _NAMES)) for line in lines}
    if len(values) > 1:
        return "", f"whichever of {_where(lines)} is mounted first"
    return values.pop(), _where(lines) + (" alike" if len(lines) > 1 else "")


def _where(lines: Sequence[Line]) -> str:
    return "/etc/fstab:" + " and ".join(str(line.number) for line in lines)


def _rootflags(command_line: str) -> str:
    """The effective compress option there; the kernel takes the last rootflags=."""
    found = [word for word in command_line.split() if word.startswith("rootflags=")]
    flags = found[-1].partition("=")[2].strip('"') if found else ""
    return mountinfo.option(flags, _NAMES) or ""
