"""Lines that fit: wrapping with a hanging indent, and colour that only repeats symbols."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from reconciler.facts.diagnostics import Op

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


Paint = Callable[[str, Op], str]
"""Puts a symbol's colour around a text, or leaves it plain."""


def plain(text: str, _op: Op) -> str:
    return text


def printable(text: str) -> str:
    """Without anything that moves a terminal's cursor; bytes that are not UTF-8 as escapes."""
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode("ascii")
        for c in text
    )


def hanging(head: str, text: str, width: int, indent: int) -> Iterator[str]:
    """``head`` and ``text`` on one line if they fit, else the text below, wrapped."""
    if not text:
        yield head.rstrip()
    elif len(head) + len(text) <= width:
        yield head + text
    elif len(head) <= indent:
        yield from _wrapped(head.ljust(indent), text, width, indent)
    else:
        yield head.rstrip()
        yield from wrapped(text, width, indent)


def wrapped(text: str, width: int, indent: int, more: int = 0) -> Iterator[str]:
    """A paragraph set in by ``indent``, lines after the first by ``more`` beyond it.

    Words longer than a line stay whole, to be copied.
    """
    yield from _wrapped(" " * indent, text, width, indent + more)


def _wrapped(head: str, text: str, width: int, indent: int) -> Iterable[str]:
    if text.isprintable() and text == text.strip() != "" and len(head) + len(text) <= width:
        return [head + text]
    import textwrap  # noqa: PLC0415 - many plans have no long line

    return textwrap.wrap(
        text,
        max(width, indent + 20),
        initial_indent=head,
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
