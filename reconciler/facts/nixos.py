"""What to write in the configuration of NixOS, which makes /etc/fstab."""

from __future__ import annotations

from reconciler.formats import options

MADE = "is made by NixOS"
"""How the reason ends for which /etc/fstab cannot be replaced there."""

_ADDED = frozenset({"defaults", "x-initrd.mount"})
"""Words that NixOS writes by itself."""


def option(target: str, line_options: str) -> str:
    """Return the option that stands for the fourth field of a line."""
    words = " ".join(
        f'"{word}"' for word in options.split(line_options) if word not in _ADDED
    ).replace("$", "\\$")
    return f'fileSystems."{target}".options = [ {words} ];'


def remedy(target: str, line_options: str) -> str:
    """Say what to write, and what makes the change take effect."""
    return (
        f"write `{option(target, line_options)}` in the configuration of NixOS, then "
        "`nixos-rebuild boot` and boot; the live mount is left alone as well"
    )
