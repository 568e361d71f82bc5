"""Who called, also when sudo, doas or run0 stand in between."""

from __future__ import annotations

import grp
import os
import pwd
from functools import cache

from reconciler.errors import HostError
from reconciler.facts.diagnostics import denied
from reconciler.facts.host_view import NotVisible
from reconciler.value import Value


class Caller(Value):
    """The person in front of the terminal: ``~`` is their home, also under sudo."""

    name: str
    uid: int
    home: str


def is_root() -> bool:
    """Whether this process may do as root does."""
    return os.geteuid() == 0


def acting() -> str:
    """Name who is let read a file or not: root under sudo, whoever called."""
    return "root" if is_root() else caller().name


def not_visible(what: str) -> NotVisible:
    """Return what to raise where the kernel says EPERM; ``what`` is as of ``denied``."""
    return NotVisible(denied(what, as_root=is_root()), for_all=is_root())


def caller() -> Caller:
    """From the name that the elevating program leaves behind, else from the real user."""
    entry = None
    if os.getuid() == 0:  # run0(1) sets SUDO_USER too
        entry = _by_name(os.environ.get("SUDO_USER") or os.environ.get("DOAS_USER") or "")
    return entry or _by_uid(os.getuid())


def tilde(path: str) -> str:
    """Name a path as the caller does, with ~ for the home; another text stays as it is."""
    home = caller().home
    return f"~{path[len(home) :]}" if path.startswith(f"{home}/") else path


def owner(uid: int, gid: int) -> str:
    """Name an owner, and the group where that is not the owner's; numbers for who has no name."""
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        return f"{uid}:{gid}"
    if entry.pw_gid == gid:
        return entry.pw_name
    try:
        return f"{entry.pw_name}:{grp.getgrgid(gid).gr_name}"
    except KeyError:
        return f"{entry.pw_name}:{gid}"


@cache  # glibc asks its sources anew each time; people do not move while a command runs
def _by_name(name: str) -> Caller | None:
    try:
        return _caller(pwd.getpwnam(name)) if name else None
    except KeyError:
        return None


@cache
def _by_uid(uid: int) -> Caller:
    try:
        return _caller(pwd.getpwuid(uid))
    except KeyError:  # a user that no passwd knows, as in some containers
        return Caller(str(uid), uid, os.environ.get("HOME", "/"))


def _caller(entry: pwd.struct_passwd) -> Caller:
    return Caller(entry.pw_name, entry.pw_uid, entry.pw_dir)


def home_of(name: str) -> str | None:
    """The home of a user by name, of the caller for "", None for a user that is not there."""
    found = _by_name(name) if name else caller()
    return found.home if found else None


def absolute(path: str) -> str:
    """Return a path as seen from where the caller stands, ``~`` being the caller's home.

    A shell need not have expanded it. HostError if the working directory was removed meanwhile.
    """
    user, slash, rest = path.partition("/")
    home = home_of(user[1:]) if user.startswith("~") else None
    try:
        return os.path.abspath(path if home is None else f"{home}{slash}{rest}")
    except OSError as error:
        raise HostError(
            f"{path}: the working directory is not to be found: {error.strerror}",
            "go to one that is there (cd), or give the whole path",
        ) from None


def homes() -> frozenset[str]:
    """Home directories of people: what the system's own users call home is not one."""
    return frozenset(
        os.path.realpath(entry.pw_dir)
        for entry in pwd.getpwall()
        if (entry.pw_uid >= 1000 or entry.pw_uid == 0) and entry.pw_dir not in {"/", "/nonexistent"}  # noqa: PLR2004 - login.defs(5) UID_MIN
    )
