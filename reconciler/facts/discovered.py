"""What vmtune has to say before anything is declared: a suggested file, and a host's health."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any

from reconciler.value import Value

if TYPE_CHECKING:
    from collections.abc import Mapping


class Remark(Value):
    """A labelled comment: what was "found", "why", at what "price"."""

    label: str
    text: str


class Choice(Value):
    """A key beside those that tell what an entry is about: offered as a comment, or ``chosen``.

    A chosen one is suggested with the entry, and ``why`` names what may stand in its place.
    """

    key: str
    value: Any
    why: str
    chosen: bool = False


class Entry(Value):
    """One entry of ``section`` in vmtune.yaml, with what speaks for and against it.

    ``keys`` in the order printed. Not ``active``: printed as a comment, to be
    chosen by hand. ``is_right``: it declares what is there already.
    """

    section: str
    keys: Mapping[str, Any]
    remarks: tuple[Remark, ...]
    choices: tuple[Choice, ...] = ()
    active: bool = True
    is_right: bool = False


class Suggestion(Value):
    """A whole vmtune.yaml. ``apart`` was found, but there is nothing to declare for it."""

    host: str
    entries: tuple[Entry, ...]
    apart: tuple[Remark, ...] = ()
    unseen: tuple[str, ...] = ()
    """What could not be seen, and why."""
    is_root: bool = True
    looked_in: tuple[str, ...] = ()
    """Where images were looked for; ``home`` is what ``~`` stands for there."""
    home: str = ""

    @property
    def is_right(self) -> bool:
        """Something is declared, and all that is declared is so already."""
        active = [entry for entry in self.entries if entry.active]
        return bool(active) and all(entry.is_right for entry in active)


class Health(StrEnum):
    """How a check of ``vmtune doctor`` came out; the value is what is printed."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    UNSEEN = "?"


ASK_ROOT = "root sees it"
"""The remedy for what could not be seen; to root it is not given."""


class Row(Value):
    """One line of ``vmtune doctor``: what was looked at, how it is, and the remedy."""

    health: Health
    subject: str
    text: str
    code: str
    remedy: str = ""
