"""A file that a user asked for: in the user's own name, and never over another one."""

from __future__ import annotations

import os
import pwd
from contextlib import contextmanager
from typing import TYPE_CHECKING

from reconciler.host import files
from reconciler.host.kernel import inode
from reconciler.host.people import caller
from reconciler.host.refused import Refused

if TYPE_CHECKING:
    from collections.abc import Iterator


def checked(path: str) -> str:
    """The absolute path, ``~`` being the caller's home; Refused where something is there."""
    if not path:
        raise Refused("-o names no file", "is the variable empty that should name it?")
    user, slash, rest = path.partition("/")
    home = caller.home_of(user[1:]) if user.startswith("~") else None
    absolute = caller.absolute(path if home is None else f"{home}{slash}{rest}")
    if os.path.lexists(absolute):
        raise _there(absolute)
    return absolute


def write(path: str, data: bytes) -> None:
    """Whole or not at all, with the directories above it; Refused where it cannot be made."""
    try:
        with _as_owner(os.path.dirname(path)):
            os.makedirs(os.path.dirname(path), exist_ok=True)
            files.create_new(path, data)
    except FileExistsError:
        raise _there(path) from None
    except OSError as error:
        raise Refused(f"{path}: {error.strerror}", "nothing was written") from None


def _there(path: str) -> Refused:
    return Refused(f"{path} is there already, and stays as it is", "name another file with -o")


@contextmanager
def _as_owner(folder: str) -> Iterator[None]:
    """Below what belongs to the caller, as the caller, also under sudo."""
    while not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    who = caller.caller()
    if os.geteuid() == 0 and who.uid and os.stat(folder).st_uid == who.uid:
        with inode.acting_as(who.uid, pwd.getpwuid(who.uid).pw_gid):
            yield
    else:
        yield
