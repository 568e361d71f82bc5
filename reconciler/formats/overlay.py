r"""Which directories an overlay is made of, from its mount options (overlayfs.rst in the kernel).

``lowerdir=a:b::data`` names several, and a backslash keeps a colon in a name; ``lowerdir+=`` and
``datadir+=`` (Linux 6.7) name one each, without escapes. The kernel shows each option as whoever
mounted it wrote it, with ",", " ", "\" and so on as three octal digits.
"""

from __future__ import annotations

import re

from reconciler.formats import mountinfo
from reconciler.formats.fstab import unescape


def layers(super_options: str) -> tuple[tuple[str, ...], ...]:
    r"""Each layer with the ways to read its name, of which one is right: ("/a\\b", "/ab").

    upperdir and workdir lose their backslashes where they came by mount(2), not by a descriptor.
    """
    found: list[tuple[str, ...]] = []
    for option in super_options.split(","):
        name, _, shown = option.partition("=")
        value = unescape(shown.encode("utf-8", "surrogateescape"))
        if name == "lowerdir":
            found += [(layer,) for layer in _lower(value)]
        elif name in {"lowerdir+", "datadir+"}:
            found.append((value,))
        elif name in {"upperdir", "workdir"}:
            found.append(_ways(value))
    return tuple(dict.fromkeys(ways for ways in found if ways[0]))


def upper(super_options: str) -> tuple[str, ...]:
    """The ways to read the name of the upper layer, of which one is right; () for none."""
    value = (mountinfo.option(super_options, {"upperdir"}) or "").partition("=")[2]
    return _ways(value) if value else ()


def _ways(value: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys((value, _plain(value))))


def _lower(value: str) -> list[str]:
    """The parts between colons; "::" only begins the layers that hold data alone."""
    return [_plain(part) for part in re.findall(r"(?:\\.?|[^\\:])+", value, re.DOTALL)]


def _plain(value: str) -> str:
    """The name without its escapes."""
    return re.sub(r"\\(.?)", r"\1", value, flags=re.DOTALL)
