"""Configurations of quickemu: shell variables, of which disk_img names the image."""

from __future__ import annotations

import posixpath
import re

_DISK = re.compile(rb"""(?m)^[ \t]*disk_img=(?:"([^"\n$`\\]+)"|'([^'\n]+)'|([^\s"'$`\\;#]+))""")


def disk(data: bytes, folder: str) -> str:
    """The image's absolute path, "" where none is named or only a shell can tell.

    A relative one counts from the ``folder`` of the file, where quickemu is started.
    """
    found = _DISK.findall(data)
    if not found:
        return ""
    name = b"".join(found[-1]).decode("utf-8", "surrogateescape")
    return posixpath.normpath(posixpath.join(folder, name))
