"""Lines of tmpfiles.d(5) that set the nocow attribute at boot: ``h DIR - - - - +C``."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from reconciler.value import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

_ARGUMENT = 6
"""Type, path, mode, user, group, age, argument."""


@dataclass(frozen=True, slots=True)
class Line:
    """``number`` counts lines from 1; ``path`` is absolute, without specifiers or wildcards."""

    number: int
    path: str


def nocow(data: bytes) -> Iterator[Line]:
    """Lines of type h or H that add C; what only systemd can read is left out."""
    for number, row in enumerate(data.decode("utf-8", "surrogateescape").split("\n"), 1):
        try:
            fields = [] if row.lstrip().startswith("#") else shlex.split(row)
        except ValueError:  # a quote is open
            continue
        if len(fields) > _ARGUMENT and fields[0][:1] in {"h", "H"}:
            path, argument = fields[1], fields[_ARGUMENT]
            adds = "C" in argument and not argument.startswith("-")
            if adds and path.startswith("/") and _is_plain(path):
                yield Line(number, path.rstrip("/") or "/")


def _is_plain(path: str) -> bool:
    return not set(path) & set("%*?[")
