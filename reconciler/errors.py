"""What ends a command: the host says no (HostError), or vmtune.yaml does (ConfigErrors)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable


class HostError(Exception):
    """An action that was not done: what stands in the way, and what to do about it."""

    def __init__(self, message: str, hint: str = "") -> None:
        self.message = message
        self.hint = hint
        super().__init__(message)


class StillUsed(HostError):
    """What was to be changed is used by somebody, and nothing else is in the way."""


class Misused(HostError):
    """The command line names what is not there: a mistake of usage (exit 64)."""


class Held(Exception):
    """Another run holds the lock; the message names it."""


class SourceLocation(NamedTuple):
    """A place in a file; line and column count from 1, as compilers print them."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class ConfigError(NamedTuple):
    """One thing wrong with the input: what is there, what was expected, what to do."""

    origin: SourceLocation
    message: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.origin}: {self.message}" + (f"\n    {self.hint}" if self.hint else "")


class ConfigErrors(Exception):
    """Everything wrong with the input, in the order of the file."""

    def __init__(self, problems: Iterable[ConfigError]) -> None:
        self.problems = tuple(sorted(set(problems)))
        super().__init__("\n".join(map(str, self.problems)))
