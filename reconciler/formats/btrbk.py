"""btrbk.conf(5): which subvolumes it takes snapshots of."""

from __future__ import annotations

import re

_WORD = re.compile(rb"""(?m)^[ \t]*(volume|subvolume)[ \t]+(?:"([^"\n]*)"|'([^'\n]*)'|(\S+))""")


def subvolumes(data: bytes) -> tuple[str, ...]:
    """Their absolute paths, with wildcards as they are; relative ones count from their volume."""
    volume, found = "", []
    for word, *names in _WORD.findall(data):
        name = b"".join(names).decode("utf-8", "surrogateescape").rstrip("/") or "/"
        if word == b"volume":
            volume = name
        elif name.startswith("/"):
            found.append(name)
        elif volume.startswith("/"):  # not one on another host
            found.append(volume if name == "." else f"{volume.rstrip('/')}/{name}")
    return tuple(found)
