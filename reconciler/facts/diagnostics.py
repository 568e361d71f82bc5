"""What is said of one entry beside the values that it desires: notes, refusals, findings."""

from __future__ import annotations

from enum import StrEnum

from reconciler.value import Value


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


ALSO, COST, WHY, DO = "also", "cost", "why", "do"
"""What stands before a line below a row: a remark, a price, a reason, something to do."""

LABELS = frozenset({ALSO, COST, WHY, DO})


class Note(Value):
    """A line under the resource: advice, a price, a reason. Never a verdict.

    ``label`` is ALSO, COST, WHY or DO. ``is_of_host``: it says nothing of the entry itself, so a
    plan prints it once, however many entries say it.
    """

    text: str
    code: str = ""
    label: str = ALSO
    is_of_host: bool = False


class Summary(Value):
    """What stands behind the resource's name; the last one given wins."""

    text: str


class NotApplicable(Value):
    """The resource means nothing here (a filesystem that is not Btrfs): no failure."""

    text: str


class Refusal(Value):
    """The whole resource cannot or must not be done; none of its goals is followed."""

    text: str
    hint: str = ""
    code: str = ""


class Finding(Value):
    """A row of its own beside the resource: a difference that apply cannot end, or cannot see.

    ``kind`` is what the row is about where that is not the kind that says it.
    """

    op: Op
    subject: str
    text: str
    hint: str = ""
    code: str = ""
    kind: str = ""
