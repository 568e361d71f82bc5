"""Mount options: the comma-separated words of fstab's fourth field (mount(8)).

Double quotes and a backslash protect commas, as in libmount's ul_optstr_next().
Of two options that switch the same thing the later one holds.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

# Possessive: an unclosed quote must fail, not be matched in some other way.
_TOKEN = re.compile(r'(?:\\[,"]|"(?:\\"|[^"])*+"|\\(?=.)|[^,"\\])++', re.DOTALL)
_WELL_FORMED = re.compile(rf"(?:{_TOKEN.pattern}|,)*+", re.DOTALL)

# util-linux, libmount/src/optmap.c: userspace_opts_map. x-* and X-* belong to it by prefix.
USERSPACE = frozenset(
    """
    _netdev auto comment defaults encryption group helper loop noauto nofail nogroup noowner
    nouser nousers offset owner sizelimit uhelper user users
    """.split()  # noqa: SIM905 - words, as in the source they are from
)
# The same file: linux_flags_map. Flags of the mount or the VFS, known to every filesystem.
GENERIC = frozenset(
    """
    async atime bind dev diratime dirsync exec iversion lazytime loud mand noatime nodev
    nodiratime noexec noiversion nolazytime nomand norelatime nostrictatime nosuid nosymfollow
    private rbind relatime remount ro rprivate rshared rslave runbindable rw shared silent slave
    strictatime suid symfollow sync unbindable
    """.split()  # noqa: SIM905
)

_FAMILIES = tuple(
    frozenset(family.split())
    for family in (
        "ro rw",
        "sync async",
        "silent loud",
        "atime noatime relatime norelatime strictatime nostrictatime",
        "compress compress-force",
        "ssd nossd ssd_spread nossd_spread",
        "recovery usebackuproot",
        # Not the negation of the former: an alias of rescue=nologreplay.
        "norecovery nologreplay",
    )
)


def well_formed(options: str) -> bool:
    """Whether what is added behind a comma is an option: no open quote, no backslash at the end."""
    return _WELL_FORMED.fullmatch(options) is not None


def split(options: str) -> tuple[str, ...]:
    """The options as written, in order, quotes kept; empty ones ("a,,b") left out.

    Raises ValueError where they are not well formed.
    """
    if not well_formed(options):
        raise ValueError(f"an open quote, or a backslash at the end: {options!r}")
    return tuple(_TOKEN.findall(options))


def name(token: str) -> str:
    """The name of one option: "compress" of "compress=zstd:3"."""
    return token.partition("=")[0]


def family(option: str) -> frozenset[str]:
    """The names that switch the same thing, this one included: {"autodefrag", "noautodefrag"}."""
    for names in _FAMILIES:
        if option in names:
            return names
    positive = option.removeprefix("no")
    return frozenset({positive, f"no{positive}"})


def value(options: str, names: Collection[str]) -> str | None:
    """The effective option among ``names``, as written: the last one. None when there is none."""
    return next((token for token in reversed(split(options)) if name(token) in names), None)


def replace(options: str, names: Collection[str], token: str | None) -> str:
    """Options in which ``token`` is the only one among ``names``; None takes them out.

    It stands where the effective (last) one stood, since options of other
    names may override those before them, else at the end. All others stay as
    written and in order. Without any left: "defaults". Raises ValueError for
    a token that is not one option among ``names``.
    """
    if token is not None and not (split(token) == (token,) and name(token) in names):
        raise ValueError(f"{token!r} is not one of the options {', '.join(sorted(names))}")
    tokens, put = split(options), () if token is None else (token,)
    if tuple(old for old in tokens if name(old) in names) == put:
        return options
    last = max((i for i, old in enumerate(tokens) if name(old) in names), default=len(tokens))
    before = (old for old in tokens[:last] if name(old) not in names)
    return ",".join((*before, *put, *tokens[last + 1 :])) or "defaults"


def for_filesystem(options: str) -> tuple[str, ...]:
    """The options that the filesystem itself gets to see, neither USERSPACE nor GENERIC."""
    apart = USERSPACE | GENERIC
    return tuple(
        token
        for token in split(options)
        if name(token) not in apart and not token.startswith(("x-", "X-", "verity."))
    )
