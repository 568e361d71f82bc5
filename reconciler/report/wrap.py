"""Lines that fit: wrapping with a hanging indent, and colour that only repeats symbols."""

from __future__ import annotations

import re
import textwrap
import unicodedata
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


Paint = Callable[[str, str], str]
"""Puts a colour around a text, or leaves it plain: that of a symbol, or of a word below."""

DIM, NAME, GONE, NEW = "dim", "name", "gone", "new"
"""What stands beside the answer; the name of an entry; a word that goes, and one that comes."""

ENDLESS = 1 << 20
"""The width of a pipe or a file: nothing is wrapped there, so that grep finds it."""

_NARROWEST = 20
"""Columns below which text is no longer read with ease."""

_COLOUR = re.compile("\x1b\\[[0-9;]*m")


def plain(text: str, _of: str) -> str:
    return text


def fitted(line: str, width: int) -> str:
    """Break a finished line between words where it is wider than the terminal; colours stay.

    What follows stands below the first word. A word that is longer than a line stays whole.
    """
    if columns(line) <= width or columns(_COLOUR.sub("", line)) <= width:
        return line
    bare = line.lstrip(" ")
    indent = len(line) - len(bare)
    lines, used = [" " * indent], indent
    for word in re.findall(r" *[^ ]+", bare):
        size = columns(_COLOUR.sub("", word))
        if used > indent and used + size > width:
            lines.append(" " * indent)
            word, used = word.lstrip(" "), indent  # noqa: PLW2901 - blanks end with the line
            size = columns(_COLOUR.sub("", word))
        lines[-1] += word
        used += size
    return "\n".join(lines)


def command(words: str, width: int, indent: int, lead: str = "") -> Iterator[str]:
    """Break a command for a shell between its words, so that it still can be copied as a whole."""
    lines = list(wrapped(f"{lead}{words}", width - 2, indent, 2))
    yield from (f"{line} \\" for line in lines[:-1])
    yield from lines[-1:]


class Charset:
    """What the terminal can show; the beginning of the program says it once."""

    is_ascii: ClassVar[bool] = False


def printable(text: str) -> str:
    """Without anything that moves a terminal's cursor, or that the terminal cannot show.

    Escapes stand for these, before lines are laid out: an escape is longer than its character.
    """
    if Charset.is_ascii and not text.isascii():
        text = text.encode("ascii", "backslashreplace").decode("ascii")
    return harmless(text)


def columns(text: str) -> int:
    """Count the columns of a terminal that a text takes, without colours (UAX 11)."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(c) else 1 + (unicodedata.east_asian_width(c) in {"W", "F"})
        for c in text
    )


def padded(text: str, width: int) -> str:
    """Fill up with blanks to a width in columns."""
    return text + " " * (width - columns(text))


def aligned(cells: Sequence[str]) -> list[str]:
    """Line up the cells of a column at their right ends, two blanks before the widest."""
    wide = max(map(len, cells))
    return [f"  {cell:>{wide}}" for cell in cells]


def harmless(text: str) -> str:
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
    elif columns(head) + columns(text) <= width:
        yield head + text
    elif columns(head) <= indent:
        yield from led(padded(head, indent), text, width, indent)
    else:
        yield head.rstrip()
        yield from wrapped(text, width, indent)


def beside(head: str, words: str, width: int) -> Iterator[str]:
    """Words behind the head; below it where there is no room for the longest beside it."""
    longest = max((columns(word) for word in words.split()), default=0)
    has_room = columns(head) + max(longest, _NARROWEST) <= width
    return hanging(head, words, width, columns(head) if has_room else 4)


def wrapped(text: str, width: int, indent: int, more: int = 0) -> Iterator[str]:
    """A paragraph set in by ``indent``, lines after the first by ``more`` beyond it.

    Words longer than a line stay whole, to be copied.
    """
    yield from led(" " * indent, text, width, indent + more)


def led(head: str, text: str, width: int, indent: int) -> list[str]:
    """A paragraph behind ``head``, which is not broken; lines after the first set in."""
    is_whole = text.isprintable() and text == text.strip() != ""
    if is_whole and columns(head) + columns(text) <= width:
        return [head + text]
    lines = textwrap.wrap(
        _spread(text),
        max(width, indent + 20),
        initial_indent=_spread(head),
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [line.replace(_FILLER, "") for line in lines]


_FILLER = "\0"


def _spread(text: str) -> str:
    """Have each character count that takes two columns: textwrap counts characters."""
    if text.isascii():
        return text
    return "".join(f"{c}{_FILLER * (columns(c) - 1)}" for c in text)
