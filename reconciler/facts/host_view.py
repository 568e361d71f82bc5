"""What was seen of the host: each question asked at most once.

Planning gets a HostView and nothing else, so planning cannot write: the type
has no way to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from reconciler.value import Value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Fact(Value, Generic[T_co]):
    """A question about the host whose answer is a T; places are questions, too.

    Questions of one class with equal fields are equal, so each is asked once.
    """

    grows: ClassVar[bool] = False
    """Whether to answer it takes the longer, the more there is below a path: ``path``."""


class PathFact(Fact[T_co]):
    """A question about one path."""

    path: str


class NotVisible(Exception):
    """The answer exists, but may not be seen from here.

    ``why`` says so in words: "not readable as alice"; ``for_all`` that nobody else sees it either.
    """

    def __init__(self, why: str, *, for_all: bool = False) -> None:
        self.why = why
        self.for_all = for_all
        super().__init__(why)


class HostView:
    """Answers facts from memory, asking the host only the first time."""

    def __init__(self, read: Callable[[Fact[Any], HostView], Any]) -> None:
        self._read = read
        self._seen: dict[Fact[Any], Any] = {}
        self._units: Callable[[], Iterable[str]] = tuple

    def __call__(self, fact: Fact[T]) -> T:
        """The answer; raises NotVisible, each time alike, where it may not be seen."""
        if fact not in self._seen:
            try:
                self._seen[fact] = self._read(fact, self)
            except NotVisible as hidden:
                self._seen[fact] = hidden
        answer: T = self._seen[fact]
        if isinstance(answer, NotVisible):
            raise answer
        return answer

    def expect(self, units: Callable[[], Iterable[str]]) -> None:
        """Say which systemd units will be asked about: one question can then answer for all.

        ``units`` is called where the first of them is asked about, if one ever is.
        """
        self._units = units

    def expected(self) -> tuple[str, ...]:
        """Their names, sorted; none where nobody said."""
        names = tuple(sorted(set(self._units())))
        self._units = lambda: names
        return names

    def known(self, fact: Fact[T]) -> T | None:
        """The answer if it was asked for before, else None; nothing is asked of the host."""
        answer: T | NotVisible | None = self._seen.get(fact)
        return None if isinstance(answer, NotVisible) else answer

    def maybe(self, fact: Fact[T]) -> T | None:
        """The answer, or None where it may not be seen: for advice, never for a verdict."""
        try:
            return self(fact)
        except NotVisible:
            return None
