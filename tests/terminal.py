"""A program on a terminal of a given width, with nobody there: what it printed."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import termios
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def screen(argv: Sequence[str], columns: int, env: Mapping[str, str], cwd: str = "/") -> str:
    """Run it to its end; standard output and error, as they came, with all colours."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("4H", 50, columns, 0, 0))
    kept = {name: value for name, value in env.items() if name != "COLUMNS"}
    process = subprocess.Popen(
        list(argv), stdin=subprocess.DEVNULL, stdout=slave, stderr=slave, cwd=cwd, env=kept
    )
    os.close(slave)
    seen = b""
    while True:
        try:
            data = os.read(master, 65536)
        except OSError:  # EIO: nobody has the other end open any more
            break
        if not data:
            break
        seen += data
    os.close(master)
    process.wait()
    return seen.decode("utf-8", "replace").replace("\r\n", "\n")
