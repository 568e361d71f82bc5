"""PyYAML's events of a text: by libyaml where it surely reads it as the pure Python parser does.

libyaml is twenty times as fast, but another program: of some texts it makes something else, and
on deep nesting its time grows with the square. So it is given only what is printable ASCII, flat,
and without the signs where the two part; and whatever it finds fault with is read once more by
the pure parser, the only author of messages. A property test holds both to the same events.
"""

from __future__ import annotations

import re

from reconciler.config.pyyaml import pyyaml

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

_PRINTABLE = re.compile(r"[\n -~]*")
_COMMENT = re.compile(r"(?m)^ *#.*$")
_APART = re.compile(r"[!%&?\\|>]|^(?:---|\.\.\.)", re.MULTILINE)
"""Tags, directives, anchors, complex keys, escapes, block scalars and more than one document."""
_BRACKET = re.compile(r"[\[\]{}]")
_STEP = {"[": 1, "{": 1, "]": -1, "}": -1}
_DEEPEST = 32
_MOST = 500_000
"""More than any document of 100,000 values has."""


def read(text: str) -> Iterator[Any] | None:
    """All events of the text; None where the pure parser must read it."""
    yaml = pyyaml()
    if not yaml.__with_libyaml__ or not alike(text):
        return None
    parser: Any = yaml.CSafeLoader(text)
    found: list[Any] = []
    try:
        while parser.check_event() and len(found) < _MOST:
            found.append(parser.get_event())
    except (yaml.YAMLError, ValueError, OverflowError):
        return None
    return None if len(found) == _MOST or any(map(is_empty, found)) else iter(found)


def is_empty(event: Any) -> bool:
    """Tell ``key:`` with nothing behind it from ``key: ""``; they disagree on where it stands."""
    return getattr(event, "value", None) == "" and bool(event.implicit[0])


def alike(text: str) -> bool:
    """Whether the two parsers may be taken for one another."""
    bare = _COMMENT.sub("", text)
    quoted = any(sign in bare for sign in "\"'#")
    if not _PRINTABLE.fullmatch(text) or _APART.search(text if quoted else bare):
        return False
    return (text.count("[") + text.count("{") if quoted else _deepest(bare)) <= _DEEPEST


def _deepest(text: str) -> int:
    """No less than the depth of brackets, in a text in which nothing is quoted.

    One in plain text may count too, but one that closes less than was opened does not.
    """
    depth = deepest = 0
    for bracket in _BRACKET.findall(text):
        depth = max(0, depth + _STEP[bracket])
        deepest = max(deepest, depth)
    return deepest
