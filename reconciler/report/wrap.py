"""Lines that fit: wrapping with a hanging indent, and colour that only repeats symbols."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


Paint = Callable[[str, str], str]
"""Puts a colour around a text, or leaves it plain: that of a symbol, or of a word below."""

DIM, NAME, GONE, NEW = "dim", "name", "gone", "new"
"""What stands beside the answer; the name of an entry; a word that goes, and one that comes."""

ENDLESS = 1 << 20
"""The width of a pipe or a file: nothing is wrapped there, so that grep finds it."""

_INDENT = 4

_NARROWEST = 20
"""Columns below which text is no longer read with ease."""

_COLOUR = re.compile("\x1b\\[[0-9;]*m")


def plain(text: str, _of: str) -> str:
    return text


def fitted(line: str, width: int) -> str:
    """Break a finished line between words where it is wider than the terminal; colours stay.

    What follows stands below the first word. A word that is longer than a line stays whole.
    """
    if len(line) <= width or len(_COLOUR.sub("", line)) <= width:
        return line
    bare = line.lstrip(" ")
    indent = len(line) - len(bare)
    lines, used = [" " * indent], indent
    for word in re.findall(r" *[^ ]+", bare):
        size = len(_COLOUR.sub("", word))
        if used > indent and used + size > width:
            lines.append(" " * indent)
            word, used = word.lstrip(" "), indent  # noqa: PLW2901 - blanks end with the line
            size = len(_COLOUR.sub("", word))
        lines[-1] += word
        used += size
    return "\n".join(lines)


def command(words: str, width: int, indent: int, lead: str = "") -> Iterator[str]:
    """Break a command for a shell between its words, so that it still can be copied as a whole."""
    lines = list(wrapped(f"{lead}{words}", width - 2, indent, 2))
    yield from (f"{line} \\" for line in lines[:-1])
    yield from lines[-1:]


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


def beside(head: str, words: str, width: int) -> Iterator[str]:
    """Words behind the head; below it where there is no room for the longest beside it."""
    longest = max((len(word) for word in words.split()), default=0)
    has_room = len(head) + max(longest, _NARROWEST) <= width
    return hanging(head, words, width, len(head) if has_room else _INDENT)


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
