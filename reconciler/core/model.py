"""The words of a plan: goals, findings, actions, changes."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from reconciler.value import dataclass, field

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reconciler.core.origin import Origin
    from reconciler.core.ownership import Claims
    from reconciler.core.places import Place

V = TypeVar("V")


class Op(StrEnum):
    """What a row of the plan says; the value is the printed symbol."""

    ADD = "+"
    CHANGE = "~"
    REMOVE = "-"
    BLOCKED = "!"
    UNKNOWN = "?"
    WAITS = "R"
    """Done, as far as it can be: the rest takes effect when the filesystem is mounted afresh."""
    SAME = "="


WAITS = "V211"
"""The code of a note that says what does not take effect while the filesystem stays mounted."""

AFTER_IMAGES = "V410"
"""The code of a note that says that a row is done only once images were rewritten."""


@dataclass(frozen=True, slots=True)
class Goal(Generic[V]):
    """A value that a place should hold; ``why`` is printed behind the change.

    A ``weak`` goal is dropped where another resource wants the same place:
    a directory on the way to a declared one may be declared itself.
    """

    place: Place[V]
    want: V
    why: str = ""
    weak: bool = False
    part: Mapping[str, Any] | None = field(default=None, compare=False)
    """What of the value the entry itself decides, by name; None: the value as a whole.

    An entry about mount options decides some words of a line in /etc/fstab, and no others.
    """


@dataclass(frozen=True, slots=True)
class Note:
    """A line under the resource: advice, a price, a reason. Never a verdict."""

    text: str
    code: str = ""


@dataclass(frozen=True, slots=True)
class Summary:
    """What stands behind the resource's name; the last one given wins."""

    text: str


@dataclass(frozen=True, slots=True)
class NotApplicable:
    """The resource means nothing here (a filesystem that is not Btrfs): no failure."""

    text: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """The whole resource cannot or must not be done; none of its goals is followed."""

    text: str
    hint: str = ""
    code: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """A row of its own beside the resource: a difference that apply cannot end, or cannot see.

    ``kind`` is what the row is about where that is not the kind that says it.
    """

    op: Op
    subject: str
    text: str
    hint: str = ""
    code: str = ""
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Reload:
    """systemd holds older unit files than the disk: it must read them again."""


if TYPE_CHECKING:
    Said = Goal[Any] | Note | Summary | NotApplicable | Refusal | Finding | Reload


def is_end(word: Said) -> bool:
    """Whether a kind says with it that nothing of its entry is done."""
    is_hidden = isinstance(word, Finding) and not word.subject
    return is_hidden or isinstance(word, Refusal | NotApplicable)


@dataclass(frozen=True, slots=True)
class Swap:
    """Compare-and-swap: put ``want`` where ``have`` is; anything else there is stale."""

    place: Place[Any]
    have: Any
    want: Any
    why: str = ""
    owner: str = ""
    """The resource it serves, as printed: ``nocow ~/libvirt/images``."""


@dataclass(frozen=True, slots=True)
class Poke:
    """An effect that is no value: ``systemctl daemon-reload``, once, after what needs it."""

    name: str


Action = Swap | Poke


@dataclass(frozen=True, slots=True)
class Change:
    """One row of the plan: a resource, or a finding beside it."""

    op: Op
    kind: str
    name: str
    text: str = ""
    swaps: tuple[Swap, ...] = ()
    notes: tuple[Note, ...] = ()
    hint: str = ""
    code: str = ""
    applicable: bool = True
    origin: Origin | None = None
    about: str = ""
    """The absolute path or mount point that the row is about; "" where only its name tells."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is shown is what is done: rows for the reader, actions in order."""

    changes: tuple[Change, ...] = ()
    actions: tuple[Action, ...] = field(default=())
    claims: Claims | None = None
    """What the configuration declares now, where that is not what is on record; else None."""
    left_out: int = 0
    """Rows that were not chosen: the plan is about some entries only."""

    @property
    def waits(self) -> bool:
        """Whether something of it takes effect only when the filesystem is mounted afresh."""
        return any(note.code == WAITS for change in self.changes for note in change.notes)

    def count(self, op: Op) -> int:
        """How many rows say ``op``; what is not applicable counts as nothing."""
        return sum(change.op is op and change.applicable for change in self.changes)
