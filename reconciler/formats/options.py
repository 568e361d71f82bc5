"""Mount options: the comma-separated words of mount(8), and those that vmtune tunes.

A tuned option more: a line of _OPTIONS, and none of REFUSED; its key in schemas/vmtune.schema.json,
at ``$defs.options`` (then `make validator man`, which also writes the Ansible module); a case in
tests/unit/plan/cases/mount/, a row in tests/btrfs/mount/test_mount.py. An option that "no" turns
off, and of which there is an opposite, has a line in _ON. Where the kernel shows another word than
fstab has, that is a line in _SHOWN. What costs something where images are has a line in _PRICES. A
flag of the mount itself (``per_mount``) is one of linux/syscalls.py.

For some values the kernel shows nothing, because they are its default. Where that default depends
on the host (``thread_pool``: on its processors, which `os` counts), it is a fact of facts.host,
answered in resources/mount/reads.py. Two callers of ``mountinfo.live`` compare with it then:
``image`` of facts/boot_layouts.py by the fact, and ``live`` of resources/mount/reads.py by itself,
because ``put_live`` of writes.py reads back with it and has no view of the host.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from reconciler.value import Value

if TYPE_CHECKING:
    from collections.abc import Collection


# Only one alternative fits at any position, so there is nothing to go back to: an unclosed quote
# fails. Possessive quantifiers would say so shorter, but Python before 3.11.5 gets them wrong.
_PIECE = r'\\[,"]|"(?:\\"|[^"\\]|\\(?!"))*"|\\(?=[^,"])|[^,"\\]'

_TOKEN = re.compile(rf"(?:{_PIECE})+")

_WELL_FORMED = re.compile(rf"(?:{_PIECE}|,)*")

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

# btrfs(5), with the opposites that the kernel takes: fs/btrfs/super.c, btrfs_fs_parameters.
BTRFS = frozenset(
    """
    acl autodefrag barrier clear_cache commit compress compress-force datacow datasum degraded
    device discard enospc_debug fatal_errors flushoncommit fragment inode_cache max_inline
    metadata_ratio noacl noautodefrag nobarrier nodatacow nodatasum nodiscard noenospc_debug
    noflushoncommit noinode_cache nologreplay norecovery nospace_cache nossd nossd_spread
    notreelog nouser_subvol_rm_allowed recovery rescan_uuid_tree rescue skip_balance space_cache
    ssd ssd_spread subvol subvolid thread_pool treelog usebackuproot user_subvol_rm_allowed
    """.split()  # noqa: SIM905
)

KNOWN = USERSPACE | GENERIC | BTRFS

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


COMPRESS = family("compress")
"""The names that decide about compression: compress, compress-force and their opposites."""

OFF = frozenset({"no", "none"})
"""What stands behind ``compress=`` where it means no compression (btrfs(5))."""

LEVELS = {"zstd": "zstd:3", "zlib": "zlib:3", "": "zlib:3"}
"""What the kernel makes of an algorithm without a level, and of ``compress`` alone."""


def effective(token: str | None) -> str:
    """The compress option that the kernel shows once it was given one; "" where it shows none."""
    name, _, value = (token or "").partition("=")
    return f"{name}={LEVELS.get(value, value)}" if name and value not in OFF else ""


def value(options: str, names: Collection[str]) -> str | None:
    """The effective option among ``names``, as written: the last one. None when there is none."""
    return next((token for token in reversed(split(options)) if name(token) in names), None)


def replace(options: str, names: Collection[str], token: str | None) -> str:
    """Options in which ``token`` is the only one among ``names``; None takes them out.

    It stands where the effective (last) one stood, since options of other
    names may override those before them, else at the end. Every other byte
    stays, empty options too ("a,,b"); what is taken out takes one comma with it.
    Without any left: "defaults". Raises ValueError for a token that is not one
    option among ``names``.
    """
    if token is not None and not (split(token) == (token,) and name(token) in names):
        raise ValueError(f"{token!r} is not one of the options {', '.join(sorted(names))}")
    split(options)  # it raises where they are not well formed
    found = [place for place in _TOKEN.finditer(options) if name(place[0]) in names]
    if tuple(place[0] for place in found) == (() if token is None else (token,)):
        return options
    if token is not None and not found:
        return f"{options}{'' if options[-1:] in {'', ','} else ','}{token}"
    after = options
    for place in reversed(found):
        start, end = place.span()
        if token is not None and place is found[-1]:
            after = after[:start] + token + after[end:]
        else:  # with the comma before it, else the one behind it
            after = after[: start - 1] + after[end:] if start else after[end + 1 :]
    return after if split(after) else "defaults"


def shown(option: str | None) -> str:
    """An option of mountinfo as it works; "" for none, and for ``compress=``.

    The kernel shows no algorithm where a read-only filesystem with compression was mounted
    writable by somebody who named none: then nothing is compressed.
    """
    is_empty = option is None or (name(option) in COMPRESS and option[-1:] == "=")
    return "" if option is None or is_empty else option


def rootflags(command_line: str) -> list[str]:
    """What each rootflags= says on the kernel's command line, without its quotes."""
    words = (word for word in command_line.split() if word.startswith("rootflags="))
    return [word.partition("=")[2].strip('"') for word in words]


def for_filesystem(options: str) -> tuple[str, ...]:
    """The options that the filesystem itself gets to see, neither USERSPACE nor GENERIC."""
    apart = USERSPACE | GENERIC
    return tuple(
        token
        for token in split(options)
        if name(token) not in apart and not token.startswith(("x-", "X-", "verity."))
    )


class Option(Value):
    """A group of tokens of which the last one given counts.

    ``off`` is what makes the kernel show nothing for it on a live filesystem, ""
    where nothing can: it shows nossd, and strictatime as nothing.
    ``per_mount`` ones belong to one mount, all others to the whole filesystem.
    """

    name: str
    rivals: frozenset[str]
    off: str
    per_mount: bool = False
    brings: frozenset[str] = frozenset()
    """Names of other options that the kernel shows or hides together with this one."""


class Setting(Value):
    """A declared value: its token in fstab (None: no token) and as the kernel shows it ("")."""

    option: Option
    token: str | None
    shown: str


def _option(name: str, off: str, *, per_mount: bool = False) -> Option:
    return Option(name, family(name), off, per_mount)


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
"""The options that vmtune tunes, by their keys in vmtune.yaml."""

_BY_NAME = {option.name: option for option in _OPTIONS.values()}

ALL = tuple(_BY_NAME.values())

_CHECKSUMS = (
    "it acts on the whole filesystem, and files made under it stay without checksums for good",
    "write `nocow: true` for a directory under paths",
)

_WHICH = ("it says what is mounted, not how it performs", "edit /etc/fstab for that")

_WHEN = ("it says when or by whom it is mounted", "edit /etc/fstab for that")

_RESCUE = ("it is for rescuing a damaged filesystem", "use it by hand, once: see btrfs(5)")

_INTERNAL = ("the kernel's own choice serves images as well", "leave it out")

REFUSED = {
    **dict.fromkeys(("nodatacow", "nodatasum", "datacow", "datasum"), _CHECKSUMS),
    **dict.fromkeys(("subvol", "subvolid", "device", "ro", "rw", "bind", "defaults"), _WHICH),
    **dict.fromkeys(("auto", "noauto", "nofail", "user", "users", "owner", "group"), _WHEN),
    **dict.fromkeys(
        ("degraded", "rescue", "recovery", "usebackuproot", "nologreplay", "norecovery"), _RESCUE
    ),
    **dict.fromkeys(("skip_balance", "clear_cache", "rescan_uuid_tree", "fatal_errors"), _RESCUE),
    **dict.fromkeys(("space_cache", "thread_pool", "max_inline", "metadata_ratio"), _INTERNAL),
    **dict.fromkeys(("nospace_cache", "ssd_spread", "acl", "noacl"), _INTERNAL),
    "nobarrier": ("a power cut can then destroy the filesystem", "leave it out"),
    "barrier": ("it is the default", "leave it out"),
    "notreelog": ("it makes each fsync, of which guests do many, a full commit", "leave it out"),
    "treelog": ("it is the default", "leave it out"),
}
"""Options that are known and nobody can declare, each with why, and what to do instead."""

_ON = {"discard": "async", "compress": "zstd"}
"""The value that turns an option on which "no" turns off: all others take true and false."""


def negated(name: str) -> str:
    """The name of a flag with "no" before it, or without."""
    return name.removeprefix("no") if name.startswith("no") else f"no{name}"


_OPPOSITES = {
    opposite: key for key in _OPTIONS if (opposite := negated(key)) in KNOWN | {"nocompress"}
}
"""The key that each opposite of a tuned option is declared by; no kernel knows nocompress."""

_LOST = {
    "nodatacow": Option(
        "nodatacow", family("nodatacow"), "datasum", brings=frozenset({"nodatasum"})
    ),
    "nodatasum": _option("nodatasum", "datasum"),
}

RESTORED = frozenset(_LOST)
"""Options that nobody can declare: they are only put back, where compression had ended them."""

_PRICES = {
    "autodefrag": (
        "autodefrag rewrites data around every small write, which images are full of",
        "declare `autodefrag: false` for its mount point",
    ),
    "discard": (
        "discard=sync has each commit wait until the disk has discarded: guests stall meanwhile",
        "declare `discard: async` for its mount point",
    ),
    "flushoncommit": (
        "flushoncommit has each commit write all changed data first: guests stall meanwhile",
        "declare `flushoncommit: false` for its mount point",
    ),
}

_COMMIT = 30
"""Seconds between commits that the kernel waits by itself."""

_SHOWN = {"discard=sync": "discard", "commit=30": ""}


def option(name: str) -> Option:
    """The group by its name (``LiveOption.name``)."""
    return _BY_NAME.get(name) or _LOST[name]


def of_token(token: str) -> Option:
    """The group that a word of /etc/fstab belongs to, also where vmtune does not tune it."""
    word = name(token)
    groups = (*_LOST.values(), *ALL)
    return next((o for o in groups if word in o.rivals), Option(word, family(word), ""))


def off(name: str) -> str:
    """What has a live filesystem show an option no more; "" where only its negation may.

    "" for a flag of one mount, too.
    """
    found = _OPTIONS.get(name) or _LOST.get(name)
    return found.off if found and not found.per_mount else ""


def refusal(option: str, *, is_no: bool = False) -> tuple[str, str] | None:
    """Message and hint for an option that is known but not declared here; None if unknown.

    ``is_no``: it is written with the value false, so its opposite is wanted on.
    """
    if option in _OPPOSITES:
        key = _OPPOSITES[option]
        on, no = (_ON[key], "no") if key in _ON else ("true", "false")
        value = on if is_no else no
        return f"{option!r} is written as its opposite here", f"write `{key}: {value}`"
    if option.startswith("x-"):
        return f"{option!r} is not a tuning option: {_WHEN[0]}", _WHEN[1]
    if option not in REFUSED:
        return None
    reason, hint = REFUSED[option]
    return f"{option!r} is not a tuning option: {reason}", hint


def price(shown: str) -> tuple[str, str]:
    """Return what an option costs where images are, and what to do about it; "" for nothing.

    ``shown`` is the option as the kernel shows it. Sources: btrfs(5), and measurements.
    """
    name, _, value = shown.partition("=")
    if name == "commit" and value.isdigit() and int(value) > _COMMIT:
        return (
            f"commit={value}: a crash of the host loses what was not synced for up to {value} s",
            f"declare `commit: {_COMMIT}` for its mount point",
        )
    return _PRICES.get(shown, ("", ""))


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
        return Setting(group, token, effective(token))
    return Setting(group, token, _SHOWN.get(token, token))
