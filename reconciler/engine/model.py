"""The words of a plan: goals, findings, actions, changes."""

from __future__ import annotations

from dataclasses import field, replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from reconciler.engine.place import Swap
from reconciler.facts.diagnostics import Finding, NotApplicable, Note, Op, Refusal, Summary
from reconciler.value import Value

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from reconciler.engine.claims import Claims
    from reconciler.engine.place import Place
    from reconciler.errors import SourceLocation


V = TypeVar("V")

WAITS = "V211"
"""The code of a note that says what does not take effect while the filesystem stays mounted."""


class Desired(Value, Generic[V]):
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


class Awaited(Value):
    """A goal that only a use of something hinders: it can be followed once that use ends.

    Said beside the row that refuses the goal: ``subject`` is that of the finding, "" for the
    entry itself. ``have`` is what the place holds now. ``paths`` are the files and directories
    that are used, absolute; ``why`` says how: "in use by qemu-system-x86 (pid 7)". ``notes`` say
    what it takes, as of what is done at once.
    """

    goal: Desired[Any]
    have: Any
    why: str
    paths: tuple[str, ...] = ()
    subject: str = ""
    notes: tuple[Note, ...] = ()


class Apart(Value):
    """A goal that has a row of its own beside the entry's: ``subject`` names it, ``text`` tells it.

    Where the goal is reached, there is no row.
    """

    goal: Desired[Any]
    subject: str
    text: str
    notes: tuple[Note, ...] = ()
    code: str = ""


class Reload(Value):
    """systemd holds older unit files than the disk: it must read them again."""


if TYPE_CHECKING:
    Said = (
        Desired[Any] | Note | Summary | NotApplicable | Refusal | Finding | Reload | Awaited | Apart
    )
    Chosen = Callable[["Change"], bool]


def is_end(word: Said) -> bool:
    """Whether a kind says with it that nothing of its entry is done."""
    is_hidden = isinstance(word, Finding) and not word.subject
    return is_hidden or isinstance(word, Refusal | NotApplicable)


class Notify(Value):
    """An effect that is no value: ``systemctl daemon-reload``, once, after what needs it."""

    name: str


Action = Swap | Notify


class Wait(Value):
    """What a refused row comes to once a use ends: the action, how it is used, and which paths.

    ``notes`` are for a reader of the row; they are not saved with a plan.
    """

    swap: Swap
    why: str
    paths: tuple[str, ...] = ()
    notes: tuple[Note, ...] = ()


class Change(Value):
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
    origin: SourceLocation | None = None
    about: str = ""
    """The absolute path or mount point that the row is about; "" where only its name tells."""
    notify: Notify | None = None
    """What is notified, in the row of its own that a notification has."""
    waits: tuple[Wait, ...] = ()
    """What can be done once whoever is in the way lets go; none where that would not help."""

    @property
    def is_done(self) -> bool:
        """Whether ``apply`` does something for the row: what a plan counts as a change."""
        return bool(self.swaps or self.notify)

    def refused(self, by: Refusal, before: str = "") -> Change:
        """Return the row refused, as the refusal says behind the words ``before``."""
        told = replace(self, text=f"{before}{by.text}", hint=by.hint, code=by.code)
        return replace(told, op=Op.BLOCKED, swaps=(), notes=())


class Plan(Value):
    """What is shown is what is done: rows for the reader, actions in order."""

    changes: tuple[Change, ...] = ()
    actions: tuple[Action, ...] = ()
    claims: Claims | None = None
    """What the configuration declares now, where that is not what is on record; else None."""
    left_out: int = 0
    """Rows that were not chosen: the plan is about some entries only."""

    @property
    def steps(self) -> tuple[Change, ...]:
        """The rows of which something is done: the one count of a plan, a question, a result."""
        return tuple(change for change in self.changes if change.is_done)

    @property
    def waits(self) -> bool:
        """Whether something of it takes effect only when the filesystem is mounted afresh."""
        return any(note.code == WAITS for change in self.changes for note in change.notes)

    def count(self, op: Op) -> int:
        """How many rows say ``op``; what is not applicable counts as nothing."""
        return sum(change.op is op and change.applicable for change in self.changes)
