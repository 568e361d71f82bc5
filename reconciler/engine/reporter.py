"""Long work, told as it goes on, and stopped where it can be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.value import Value

if TYPE_CHECKING:
    from collections.abc import Callable


class Progress(Value):
    """How far it is: ``done`` of ``size`` bytes of ``subject``, itself number ``number`` of ``of``.

    ``all_done`` of ``all_size`` bytes is the work as a whole. ``doing`` is one
    word: "copying", "comparing".
    """

    subject: str
    doing: str
    done: int
    size: int
    number: int = 1
    of: int = 1
    all_done: int = 0
    all_size: int = 0


class Reporter(Value):
    """Whoever waits: is told how far it is, and may ask for an end between two steps.

    ``step`` is called before and after what must not be forgotten if the run is killed just then:
    what it is about, and what is done or begins ("saving"). It is on disk when ``step`` returns.
    ``run`` is the number of the run, 0 for none.
    """

    tell: Callable[[Progress], None]
    stop: Callable[[], bool]
    step: Callable[[str, str], None] = lambda _subject, _doing: None
    run: int = 0


NOBODY = Reporter(lambda _step: None, lambda: False)


class Cancelled(Exception):
    """The work was ended early, as asked. ``why`` says what is there now."""

    def __init__(self, why: str) -> None:
        self.why = why
        super().__init__(why)
