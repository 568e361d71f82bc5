"""Who is connected to the screen of a virtual machine by SPICE: by the sockets of its process.

A viewer may hand a USB device of its own host to the machine (USB redirection). The device is
unplugged when the machine is saved, because QEMU ends and the connection with it. libvirt does not
tell of viewers, and QEMU's monitor may not be asked without marking the machine as tampered with.
"""

from __future__ import annotations

import os
import re
import socket
import struct
from contextlib import suppress
from typing import TYPE_CHECKING

from reconciler.linux import files, process

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reconciler.formats.libvirtxml import Viewers


_UNIX = re.compile(rb"^\S+: \w{8} \w{8} \w{8} \w{4} (\w\w) +(\d+)(?: (.*))?$", re.MULTILINE)
"""State, inode and name of each row. A name may hold a newline: what follows that is no row."""


def problem(pid: int, where: Viewers) -> str:
    """Say who is connected to a machine's screen, or that it cannot be seen; "" for nobody."""
    try:
        own = _sockets(pid)
        is_seen = _by_tcp(pid, own, where.ports) or _by_socket(pid, own, where)
    except (OSError, ValueError):
        return "whether a viewer hands a USB device to it cannot be seen"
    if not is_seen:
        return ""
    return "a viewer is connected to its screen, and may hand a USB device to it: close the viewer"


def _sockets(pid: int) -> frozenset[int]:
    """Return the inodes of the sockets that a process has open."""
    folder = f"/proc/{pid}/fd"
    found = set()
    for name in os.listdir(folder):
        with suppress(FileNotFoundError):  # closed since
            if match := re.fullmatch(r"socket:\[(\d+)\]", os.readlink(f"{folder}/{name}")):
                found.add(int(match[1]))
    return frozenset(found)


def _by_tcp(pid: int, own: frozenset[int], ports: tuple[int, ...]) -> bool:
    """Tell whether a connection to one of the ports is there (proc_pid_net(5), tcp and tcp6)."""
    texts = (files.read(f"/proc/{pid}/net/{table}") or b"" for table in ("tcp", "tcp6"))
    rows = (line.decode().split() for text in texts for line in text.splitlines()[1:])
    return any(
        row[3] == "01"  # established
        and int(row[9]) in own
        and int(row[1].rpartition(":")[2], 16) in ports
        for row in rows
    )


def _by_socket(pid: int, own: frozenset[int], where: Viewers) -> bool:
    """Tell whether a viewer has the other end of a Unix socket.

    One that has no name was handed over by libvirt, as virt-manager has it on the host itself; or
    both ends are in QEMU; or the other end is the TPM's.
    """
    table = _UNIX.findall(files.read(f"/proc/{pid}/net/unix") or b"")  # state 03: connected
    connected = {int(inode): os.fsdecode(name) for state, inode, name in table if state == b"03"}
    names = {inode: connected[inode] for inode in own & connected.keys()}
    if not set(where.sockets).isdisjoint(names.values()):
        return True
    nameless = {inode for inode, name in names.items() if not name}
    peers = _peers()
    if nameless - peers.keys():  # as where this process has another network than the machine
        raise OSError("the kernel does not tell of its sockets")
    # Where the other end was closed it is 0.
    others = {peers[each] for each in nameless} - own - {0}
    return bool(others - _of_tpms(others)) if where.has_tpm else bool(others)


def _of_tpms(inodes: set[int]) -> set[int]:
    """Return those sockets that an emulated TPM has (swtpm(8))."""
    found: set[int] = set()
    for pid in process.pids():
        if process.program(pid) == "swtpm":
            with suppress(FileNotFoundError, ProcessLookupError, PermissionError):
                found |= inodes & _sockets(int(pid))
    return found


_DIAGNOSTICS, _ASK, _ALL, _SHOW_PEER, _PEER = 4, 20, 0x301, 4, 2
_ERROR, _DONE = 2, 3
"""NETLINK_SOCK_DIAG, SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST | NLM_F_DUMP, UDIAG_SHOW_PEER,
UNIX_DIAG_PEER; NLMSG_ERROR, NLMSG_DONE (sock_diag(7), netlink(7))."""


def _peers() -> Mapping[int, int]:
    """Return the other end of each connected Unix socket, by inode; OSError."""
    every = 0xFFFFFFFF
    asked = struct.pack("=BBHIIIII", socket.AF_UNIX, 0, 0, every, 0, _SHOW_PEER, 0, 0)
    head = struct.pack("=IHHII", 16 + len(asked), _ASK, _ALL, 1, 0)
    found: dict[int, int] = {}
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _DIAGNOSTICS) as line:
        line.settimeout(5)
        line.send(head + asked)
        while True:
            data = line.recv(1 << 18)
            while data:
                length, kind = struct.unpack_from("=IH", data)
                if kind == _DONE:
                    return found
                if kind == _ERROR or length < 16:  # noqa: PLR2004 - the header itself
                    raise OSError("the kernel does not tell of sockets")
                found |= _answer(data[16:length])
                data = data[(length + 3) & ~3 :]


def _answer(body: bytes) -> dict[int, int]:
    """Return the inode of a socket and of its other end, from one message (unix_diag_msg)."""
    inode, at = struct.unpack_from("=I", body, 4)[0], 16
    while at + 8 <= len(body):
        length, kind = struct.unpack_from("=HH", body, at)
        if kind == _PEER:
            return {inode: struct.unpack_from("=I", body, at + 4)[0]}
        at += max((length + 3) & ~3, 4)
    return {}
