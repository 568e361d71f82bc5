"""Mount options that are not declared here, and why."""

from __future__ import annotations

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

_OPPOSITES = {
    "atime": "noatime: false",
    "diratime": "nodiratime: false",
    "norelatime": "relatime: false",
    "nolazytime": "lazytime: false",
    "dev": "nodev: false",
    "suid": "nosuid: false",
    "exec": "noexec: false",
    "noautodefrag": "autodefrag: false",
    "nossd": "ssd: false",
    "noflushoncommit": "flushoncommit: false",
    "nodiscard": "discard: no",
    "nocompress": "compress: no",
}


def refusal(option: str) -> tuple[str, str] | None:
    """Message and hint for an option that is known but not declared here; None if unknown."""
    if option in _OPPOSITES:
        return f"{option!r} is written as its opposite here", f"write `{_OPPOSITES[option]}`"
    if option.startswith("x-"):
        return f"{option!r} is not a tuning option: {_WHEN[0]}", _WHEN[1]
    if option not in REFUSED:
        return None
    reason, hint = REFUSED[option]
    return f"{option!r} is not a tuning option: {reason}", hint
