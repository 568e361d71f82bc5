"""How a Btrfs filesystem writes data: compress, nodatacow and nodatasum are one family of options.

Of the family the later option holds. These rules are those of btrfs_parse_param() in
fs/btrfs/super.c, and a test holds them against the running kernel:

- ``nodatacow`` ends compression, and brings ``nodatasum`` with it;
- ``nodatasum`` alone leaves the compress option in sight, but nothing is compressed;
- compression ends ``nodatacow`` and ``nodatasum``; ``compress=no`` ends neither;
- ``datasum`` ends both, ``datacow`` only ``nodatacow``.
"""

from __future__ import annotations

from functools import reduce

from reconciler.formats import mountinfo, options
from reconciler.formats.options import COMPRESS, OFF
from reconciler.value import Value

FAMILY = (*sorted(COMPRESS), "nodatacow", "datacow", "nodatasum", "datasum")


class DataMode(Value):
    """What holds for data that is written from now on.

    ``compress`` is the option as written or as the kernel shows it, "" where it is off.
    """

    compress: str = ""
    nodatacow: bool = False
    nodatasum: bool = False

    @property
    def compressing(self) -> str:
        """The compress option that has an effect; "" where nothing is compressed."""
        return "" if self.nodatasum or self.nodatacow else self.compress

    @property
    def plain(self) -> str:
        """The option that takes checksums away from new files; "" where they have checksums."""
        return "nodatacow" if self.nodatacow else "nodatasum" if self.nodatasum else ""


DEFAULT = DataMode()


def of_line(line_options: str, before: DataMode = DEFAULT) -> DataMode:
    """Return what holds once options as in /etc/fstab are given to a filesystem.

    ``before`` is what holds without them. ValueError where they are not well formed.
    """
    return reduce(_next, options.split(line_options), before)


def of_live(super_options: str) -> DataMode:
    """Return what the kernel shows of a mounted filesystem; order means nothing there."""
    return DataMode(
        options.shown(mountinfo.option(super_options, COMPRESS)),
        mountinfo.option(super_options, {"nodatacow"}) is not None,
        mountinfo.option(super_options, {"nodatasum"}) is not None,
    )


def _next(mode: DataMode, token: str) -> DataMode:
    name = options.name(token)
    if name in COMPRESS:
        return DataMode(token) if is_on(token) else DataMode("", mode.nodatacow, mode.nodatasum)
    if name == "nodatacow":
        return DataMode("", nodatacow=True, nodatasum=True)
    if name == "datacow":
        return DataMode(mode.compress, nodatasum=mode.nodatasum)
    if name == "nodatasum":
        return DataMode(mode.compress, mode.nodatacow, nodatasum=True)
    return DataMode(mode.compress) if name == "datasum" else mode


def is_on(token: str) -> bool:
    """Tell whether a compress option switches compression on."""
    return token.partition("=")[2] not in OFF


def idle(line_options: str) -> tuple[tuple[str, str], ...]:
    """Return options of the family without effect, each with the one behind it that ends it."""
    found: list[tuple[str, str]] = []
    held: list[str] = []
    mode = DEFAULT
    for token in options.split(line_options):
        if options.name(token) not in FAMILY:
            continue
        mode = _next(mode, token)
        lost = [other for other in held if _is_lost(other, mode)]
        found += [(other, token) for other in lost if _is_strange(other, token)]
        held = [other for other in held if other not in lost] + [token]
    return tuple(found)


def _is_lost(token: str, mode: DataMode) -> bool:
    if options.name(token) in COMPRESS:
        return is_on(token) and not mode.compressing
    return token in {"nodatacow", "nodatasum"} and not getattr(mode, token)


def _is_strange(token: str, by: str) -> bool:
    """``compress=no`` behind a compress option says off in the words for it."""
    return (options.name(token) in COMPRESS) != (options.name(by) in COMPRESS)


def rootflags(command_line: str) -> str:
    """Return the options that / is mounted with first; the kernel takes the last rootflags=.

    "" where they cannot be read word by word.
    """
    flags = "".join(options.rootflags(command_line)[-1:])
    return flags if options.well_formed(flags) else ""
