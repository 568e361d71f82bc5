"""A file that a user asked for: in the user's own name, and over nothing but one of its kind."""

from __future__ import annotations

import os
import pwd
from contextlib import nullcontext
from typing import TYPE_CHECKING

from reconciler.errors import HostError
from reconciler.linux import files, inode, users
from reconciler.value import Value

if TYPE_CHECKING:
    from contextlib import AbstractContextManager


class Sort(Value):
    """Files that vmtune may write anew: ``mark`` stands at their beginning; what messages say."""

    mark: str
    name: str


def checked(path: str, option: str = "-o", sort: Sort | None = None) -> str:
    """Return the path as of users.absolute; HostError where something is there.

    With a ``sort``, a file of that sort may be there, or an empty one.
    """
    if not path:
        raise HostError(f"{option} names no file", "is the variable empty that should name it?")
    absolute = users.absolute(path)
    try:
        with _as_owner(os.path.dirname(absolute)):
            is_free = not os.path.lexists(absolute) or (sort and _is_of(absolute, sort))
    except OSError as error:
        raise HostError(f"{absolute}: {error.strerror}", "nothing was written") from None
    if not is_free:
        raise _there(absolute, option, sort)
    return absolute


def write(path: str, data: bytes) -> None:
    """Whole or not at all, with the directories above it; HostError where it cannot be made."""
    try:
        with _as_owner(os.path.dirname(path)):
            os.makedirs(os.path.dirname(path), exist_ok=True)
            files.create_new(path, data)
    except FileExistsError:
        raise _there(path, "-o", None) from None
    except OSError as error:
        raise HostError(f"{path}: {error.strerror}", "nothing was written") from None


def replace(path: str, data: bytes, option: str, sort: Sort) -> None:
    """The same over a file of its sort, for its owner only: it names what closed folders hold."""
    path = checked(path, option, sort)
    try:
        with _as_owner(os.path.dirname(path)):
            files.create(path, data, 0o600)
    except OSError as error:
        raise HostError(f"{path} cannot be written: {error.strerror}") from None


def _is_of(path: str, sort: Sort) -> bool:
    if os.path.islink(path) or not os.path.isfile(path):
        return False
    head = files.start_of(path, 200)
    return not head or sort.mark.encode() in head


def _there(path: str, option: str, sort: Sort | None) -> HostError:
    if sort:
        return HostError(
            f"{path} is there, and is no {sort.name}; nothing was written",
            f"name another file with {option}, or move that one away",
        )
    return HostError(
        f"{path} is there already, and stays as it is",
        f"name another file with {option}, or remove this one first",
    )


def _as_owner(folder: str) -> AbstractContextManager[None]:
    """Below what belongs to the caller, as the caller, also under sudo."""
    while not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    who = users.caller()
    if os.geteuid() == 0 and who.uid and os.stat(folder).st_uid == who.uid:
        return inode.acting_as(who.uid, pwd.getpwuid(who.uid).pw_gid)
    return nullcontext()
