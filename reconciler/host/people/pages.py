"""Writing a page for people: as the caller, whole or not at all, and over no file of theirs."""

from __future__ import annotations

import os

from reconciler.host import files
from reconciler.host.people import caller
from reconciler.host.refused import Refused

_HEAD = 200


def write(path: str, text: str, mark: str) -> None:
    """Put the page there, for its owner only: it names what closed directories hold.

    Refused over anything but a page that has ``mark`` at its beginning.
    """
    full = caller.absolute(path)
    try:
        _check(full, path, mark)
        files.create(full, text.encode("utf-8", "backslashreplace"), 0o600)
    except OSError as error:
        raise Refused(f"{path} cannot be written: {error.strerror}") from None


def _check(full: str, path: str, mark: str) -> None:
    if not os.path.lexists(full):
        return
    is_ours = False
    if os.path.isfile(full) and not os.path.islink(full):
        with open(full, "rb") as file:
            is_ours = mark.encode() in file.read(_HEAD)
    if not is_ours:
        raise Refused(
            f"{path} is there, and is no page that vmtune wrote; nothing was written",
            "name another file, or move that one away",
        )
