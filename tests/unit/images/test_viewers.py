"""Who is connected to a program's socket, asked of the kernel: the program stands in for QEMU."""

from __future__ import annotations

import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from reconciler.formats.libvirtxml import Viewers
from reconciler.linux import viewers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LISTENS = """
import socket, sys
with socket.socket(socket.AF_UNIX) as here:
    here.bind(sys.argv[1])
    here.listen()
    print(flush=True)
    there = here.accept()
    print(flush=True)
    sys.stdin.read()
"""
NAME = "two  blanks"


@pytest.fixture
def qemu(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    argv = [sys.executable, "-c", LISTENS, NAME]
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, cwd=tmp_path, stdin=pipe, stdout=pipe) as found:
        assert found.stdout
        found.stdout.readline()
        yield found
        found.kill()


def test_a_socket_is_known_by_its_whole_name(qemu, tmp_path, monkeypatch):
    """Of another one's name what follows a newline is no socket."""
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as other, socket.socket(socket.AF_UNIX) as viewer:
        other.bind("new\nline")
        where = Viewers((), (NAME,), has_tpm=False)
        assert viewers.problem(qemu.pid, where) == ""
        viewer.connect(NAME)
        qemu.stdout.readline()
        assert "a viewer is connected to its screen" in viewers.problem(qemu.pid, where)
