"""How an image lies on disk, as a row of characters; colours only repeat what they say."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from reconciler.value import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from reconciler.facts.host import Layout


Tint = Callable[[str, str], str]
"""Puts the colour of a part (the second argument) around a text, or leaves it plain."""

WORDS = {
    "nocow": "nocow",
    "cow": "copy-on-write",
    "compressed": "compressed",
    "shared": "shared",
    "hole": "hole",
    "unread": "not read",
}
"""Every part a bar can have, in the order in which they are explained."""


@dataclass(frozen=True, slots=True)
class Style:
    """The characters of a terminal, by part, and what colours them."""

    marks: tuple[str, ...]
    arrow: str
    tint: Tint

    def mark(self, part: str) -> str:
        return self.marks[list(WORDS).index(part)]


def style(tint: Tint, *, unicode: bool) -> Style:
    """Blocks from full to light where the locale has them, else letters."""
    return Style(("█", "▓", "▒", "░", "·", "?") if unicode else tuple("#=zs.?"), "->", tint)


PLAIN = style(lambda text, _part: text, unicode=False)


def parts(of: Layout) -> tuple[tuple[str, int], ...]:
    """What a bar shows of a file, in bytes; what was not read is one part."""
    if of.fragments is None:
        return (("unread", max(of.size, 1)),)
    return tuple((name, size) for name, size in of.parts if size > 0)


def cells(of: Sequence[tuple[str, int]], width: int) -> Iterator[tuple[str, int]]:
    """Each part with its columns: in proportion, none without one, ``width`` in all."""
    total, used = sum(size for _, size in of), 0
    for left, (name, size) in zip(range(len(of) - 1, -1, -1), of, strict=True):
        fair = round(width * size / total) if left else width - used
        # Those behind it get at least one each.
        count = max(1, min(fair, width - used - left))
        used += count
        yield name, count


def bar(of: Layout, width: int, style: Style) -> str:
    """The file from end to end: what is nocow or cow first, its holes last."""
    return "".join(
        style.tint(style.mark(name) * count, name) for name, count in cells(parts(of), width)
    )


def legend(of: Iterable[Layout], style: Style, width: int) -> Iterator[str]:
    """The characters that are used, explained, on as many lines as it takes."""
    used = {name for each in of for name, _ in parts(each)}
    line, long = "", 0
    for name in (name for name in WORDS if name in used):
        wide = len("  ? ") + len(WORDS[name])
        if line and long + wide > width:
            yield line
            line, long = "", 0
        line += f"  {style.tint(style.mark(name), name)} {WORDS[name]}"
        long += wide
    if line:
        yield line
