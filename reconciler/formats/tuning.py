"""The mount options that vmtune tunes: how fstab says them, and how the kernel shows them.

Sources: btrfs(5), mount(8), and mountinfo of the running kernel, which shows
nothing where an option has its default: ``compress=no`` never appears.
"""

from __future__ import annotations

from reconciler.formats import options
from reconciler.value import dataclass


@dataclass(frozen=True, slots=True)
class Option:
    """A group of tokens of which the last one given counts.

    ``off`` is what makes the kernel show nothing for it on a live filesystem, ""
    where nothing can: it shows nossd, and strictatime as nothing.
    ``per_mount`` ones belong to one mount, all others to the whole filesystem.
    """

    name: str
    rivals: frozenset[str]
    off: str
    per_mount: bool = False


@dataclass(frozen=True, slots=True)
class Setting:
    """A declared value: its token in fstab (None: no token) and as the kernel shows it ("")."""

    option: Option
    token: str | None
    shown: str


def _option(name: str, off: str, *, per_mount: bool = False) -> Option:
    return Option(name, options.family(name), off, per_mount)


_COMPRESS = _option("compress", "compress=no")
_ATIME = _option("atime", "strictatime", per_mount=True)
_SSD = _option("ssd", "")
_DISCARD = _option("discard", "nodiscard")
_OPTIONS = {
    "compress": _COMPRESS,
    "compress-force": _COMPRESS,
    "noatime": _ATIME,
    "relatime": _ATIME,
    "nodiratime": _option("nodiratime", "diratime", per_mount=True),
    "nodev": _option("nodev", "dev", per_mount=True),
    "nosuid": _option("nosuid", "suid", per_mount=True),
    "noexec": _option("noexec", "exec", per_mount=True),
    "lazytime": _option("lazytime", "nolazytime"),
    "autodefrag": _option("autodefrag", "noautodefrag"),
    "flushoncommit": _option("flushoncommit", "noflushoncommit"),
    "ssd": _SSD,
    "discard": _DISCARD,
    "commit": _option("commit", "commit=30"),
    "user_subvol_rm_allowed": _option("user_subvol_rm_allowed", ""),
}
_BY_NAME = {option.name: option for option in _OPTIONS.values()}
ALL = tuple(_BY_NAME.values())

_DEFAULT_LEVEL = {"zstd": "zstd:3", "zlib": "zlib:3", "lzo": "lzo"}
_SHOWN = {"discard=sync": "discard", "commit=30": ""}


def option(name: str) -> Option:
    """The group by its name (``LiveOption.name``)."""
    return _BY_NAME[name]


def setting(name: str, value: str | int | bool) -> Setting:
    """What a key and value of ``options:`` in vmtune.yaml ask for."""
    group = _OPTIONS[name]
    if group is _SSD and value is False:  # without a word the kernel goes by the disk
        return Setting(group, "nossd", "nossd")
    if value is False:
        return Setting(group, None, "relatime" if group is _ATIME else "")
    if group is _DISCARD and value == "no":
        return Setting(group, group.off, "")
    if value is True:
        return Setting(group, name, name)
    token = f"{name}={value}"
    if group is _COMPRESS:
        return Setting(group, token, _compression(name, str(value)))
    return Setting(group, token, _SHOWN.get(token, token))


def _compression(name: str, value: str) -> str:
    return "" if value == "no" else f"{name}={_DEFAULT_LEVEL.get(value, value)}"
