"""What a room with doors raises when the host says no."""

from __future__ import annotations


class Refused(Exception):  # noqa: N818 - the host's answer, not a fault of the program
    """An action that was not done: what stands in the way, and what to do about it."""

    def __init__(self, message: str, hint: str = "") -> None:
        self.message = message
        self.hint = hint
        super().__init__(message)


class Misused(Refused):
    """The command line names what is not there: a mistake of usage (exit 64)."""


class Held(Exception):  # noqa: N818 - a state, not a fault
    """Another run holds the lock; the message names it."""
