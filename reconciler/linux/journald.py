"""journald: sd_journal_print(3)'s protocol (systemd.io, Journal Native Protocol), no library."""

from __future__ import annotations

import socket
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


_SOCKET = "/run/systemd/journal/socket"

_PATIENCE = 5.0
"""Seconds that a journal which takes nothing is waited for."""


def send(fields: Mapping[str, str]) -> bool:
    """Send one entry of the journal; return False where it was not taken.

    Names are of A-Z, 0-9 and _. Bytes that are not UTF-8 are surrogates (PEP 383).
    """
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as to:
            to.settimeout(_PATIENCE)
            to.sendto(b"".join(map(_field, fields.items())), _SOCKET)
    except OSError:  # there is none, or the entry is larger than a datagram
        return False
    return True


def _field(pair: tuple[str, str]) -> bytes:
    """Encode one field by its length, so that its value may hold line breaks."""
    name, value = pair
    data = value.encode("utf-8", "surrogateescape")
    return name.encode("ascii") + b"\n" + struct.pack("<Q", len(data)) + data + b"\n"
