"""Files that root obeys: nobody but root and the caller may have had a hand in them."""

from __future__ import annotations

import grp
import os
import pwd
import stat

from reconciler.host.people import caller
from reconciler.host.refused import Refused

_ACL = "system.posix_acl_access"


def read(path: str, largest: int) -> bytes:
    """The file's first ``largest`` bytes; Refused where it cannot be read, or obeyed."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise Refused(f"{path}: {error.strerror}") from None
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        os.close(fd)  # before fdopen(), which refuses a directory with an error of its own
        raise Refused(f"{path} is not a file")
    with os.fdopen(fd, "rb") as file:
        _trust(path, status)
        return file.read(largest)


def _trust(path: str, status: os.stat_result) -> None:
    """As root, refuse a file that others could have written, or put in its place.

    ``status`` is that of the opened file, which no name can change any more.
    Folders count as well: who may write one of them decides what ``path``
    leads to (as with StrictModes of sshd_config(5)).
    """
    if os.geteuid() != 0:
        return
    _check(path, path, status)
    for folder in _folders(path):
        status = os.stat(folder)
        # Sticky, as /tmp is: only the owner of an entry renames or removes it.
        if not status.st_mode & stat.S_ISVTX or status.st_uid not in _allowed():
            _check(path, folder, status)


def _folders(path: str) -> list[str]:
    """All above it, by the path as given and by the one that links lead to."""
    found: dict[str, None] = {}
    for name in (os.path.abspath(path), os.path.realpath(path)):
        folder = name
        while folder != "/":
            folder = os.path.dirname(folder)
            found[folder] = None
    return list(found)


def _allowed() -> set[int]:
    return {0, caller.caller().uid}


def _check(path: str, at: str, status: os.stat_result) -> None:
    whose = path if at == path else f"{path}: {at}"
    if status.st_uid not in _allowed():
        raise Refused(f"{whose} belongs to another user (uid {status.st_uid})", f"chown {at}")
    others = status.st_mode & stat.S_IWOTH
    if others or (status.st_mode & stat.S_IWGRP and not _private(at, status.st_gid)):
        raise Refused(
            f"{whose} may be written by others (mode {stat.S_IMODE(status.st_mode):04o})",
            f"chmod go-w {at}",
        )


def _private(at: str, gid: int) -> bool:
    """A group of nobody but root and the caller, as useradd(8) makes one for each user.

    Where a umask of 002 goes with that, all files are writable by group. With
    an ACL the same bits are its mask, and say nothing about the group.
    """
    if _ACL in os.listxattr(at):
        return False
    primary = {entry.pw_name for entry in pwd.getpwall() if entry.pw_gid == gid}
    try:
        members = {*primary, *grp.getgrgid(gid).gr_mem}
    except KeyError:
        members = primary
    return members <= {"root", caller.caller().name}
