"""Where a thing was written, and what is wrong with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.value import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True, order=True)
class Origin:
    """A place in a file; line and column count from 1, as compilers print them."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing wrong with the input: what is there, what was expected, what to do."""

    origin: Origin
    message: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.origin}: {self.message}" + (f"\n    {self.hint}" if self.hint else "")


class Problems(Exception):  # noqa: N818 - a set of problems, raised at once
    """Everything wrong with the input, in the order of the file."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(set(problems)))
        super().__init__("\n".join(map(str, self.problems)))
