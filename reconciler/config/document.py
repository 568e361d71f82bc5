"""YAML text to nodes, strictly.

PyYAML reads YAML 1.1, where ``compress: no`` is False, ``12:00`` is 720 and
``0755`` is 493. Here only ``true`` and ``false`` are booleans, only decimal
numbers are integers, and every other plain word is text, as in YAML 1.2.
The tree is built from PyYAML's events, not by its composer: the depth and the
size are known before anything is built, and an alias costs what it stands for.
The parser is PyYAML's own, not libyaml: libyaml dies of a signal on 100,000 brackets,
and tells other positions and other words for some mistakes.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Never

import yaml

from reconciler.config import syntax
from reconciler.config.decode import decode
from reconciler.config.messages import shown
from reconciler.config.node import Node
from reconciler.core.origin import Origin, Problem, Problems
from reconciler.value import replace

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_DEPTH = 32
MAX_NODES = 100_000
MAX_TEXT = 4096  # PATH_MAX: nothing here is longer than a path

_BOOLEANS = {"true": True, "false": False}
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]*)")
_MAX_DIGITS = 18  # int() itself refuses 4,301 digits with a ValueError
# The same as in the file itself, had it been written as an escape.
# The last three are there and not to be seen: a path copied from a web page would be another one.
_CONTROL = "[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff\u200b\u2060\ufeff]"
FIRST_LINE = "the first line to write is `version: 1`"


def read(data: bytes, file: str) -> tuple[Node | None, tuple[Problem, ...]]:
    """Return the document, and what is wrong with it; None when it is not a tree at all.

    Never raises. Values that cannot be used are nodes of value None.
    """
    try:
        text = decode(data, file)
        builder = _Builder(text, file)
    except Problems as problems:
        return None, problems.problems
    try:
        return builder.document(), tuple(builder.problems)
    except Problems as problems:
        return None, (*builder.problems, *problems.problems)
    except yaml.MarkedYAMLError as error:
        return None, (*builder.problems, syntax.explain(error, text, file))
    except (yaml.YAMLError, ValueError, OverflowError):
        # "\UFFFFFFFF" and "%YAML 1.<5,000 digits>" end in chr() and int(), without a position
        return None, (*builder.problems, builder.unreadable())


def is_empty(event: Any) -> bool:
    """Tell ``key:`` with nothing behind it from ``key: ""``."""
    return getattr(event, "value", None) == "" and bool(event.implicit[0])


class _Builder:
    """One pass over the events of one document."""

    def __init__(self, text: str, file: str) -> None:
        self.text = text
        self.file = file
        self.loader: Any = yaml.SafeLoader(text)
        self.event: Callable[[], Any] = self.loader.get_event
        self.problems: list[Problem] = []
        self.anchors: dict[str, Node | None] = {}
        self.count = 0

    def document(self) -> Node:
        self.event()  # the stream's start
        first = self.event()
        event = self.event() if isinstance(first, yaml.DocumentStartEvent) else first
        if isinstance(event, yaml.StreamEndEvent) or is_empty(event):
            self.fail(Origin(self.file, 1, 1), "the file is empty", FIRST_LINE)
        root = self.node(event, 1)
        self.event()  # the document's end
        after = self.event()
        if not isinstance(after, yaml.StreamEndEvent):
            self.fail(self.origin(after), "a second document begins here: one file, one document")
        return root

    def node(self, event: Any, depth: int) -> Node:
        self.charge(event, depth)
        if isinstance(event, yaml.AliasEvent):
            return self.alias(event, depth)
        self.refuse_tag(event)
        if event.anchor is not None:
            self.anchors[event.anchor] = None  # open: an alias to it from inside is recursive
        node = self.content(event, depth)
        if event.anchor is not None:
            self.anchors[event.anchor] = node
        return node

    def content(self, event: Any, depth: int) -> Node:
        if isinstance(event, yaml.ScalarEvent):
            return Node(self.scalar(event), self.origin(event))
        if isinstance(event, yaml.SequenceStartEvent):
            return Node(self.sequence(depth), self.origin(event))
        return Node(self.mapping(event, depth), self.origin(event))

    def scalar(self, event: Any) -> str | int | bool | None:
        text, plain = event.value, event.implicit[0]
        if event.tag is not None:
            return None
        if is_empty(event):
            self.note(event, "a value is missing", 'an empty text is written ""')
            return None
        if plain and text in _BOOLEANS:
            return _BOOLEANS[text]
        if plain and _INTEGER.fullmatch(text):
            return self.integer(event)
        return self.checked(event)

    def integer(self, event: Any) -> int | None:
        if len(event.value) > _MAX_DIGITS:
            self.note(event, f"a number of {len(event.value)} digits is out of any range")
            return None
        return int(event.value)

    def checked(self, event: Any) -> str | None:
        text: str = event.value
        if len(text) > MAX_TEXT:
            self.note(event, f"a text of {len(text)} characters; the limit is {MAX_TEXT}")
            return None
        if not text.isprintable() and (found := re.search(_CONTROL, text)):
            what, hint = f"control character U+{ord(found[0]):04X}", "remove it"
            if found[0] in "\r\n":
                what, hint = "a line break", "write it on one line"
            self.note(event, f"the text holds {what}", hint)
            return None
        if syntax.is_template(text):
            self.note(event, syntax.TEMPLATE, syntax.TEMPLATE_HINT)
            return None
        return text

    def sequence(self, depth: int) -> tuple[Node, ...]:
        nodes = []
        while not isinstance(event := self.event(), yaml.SequenceEndEvent):
            nodes.append(self.node(event, depth + 1))
        return tuple(nodes)

    def mapping(self, start: Any, depth: int) -> dict[str, Node]:
        index = start.start_mark.index
        if syntax.is_template(self.text[index : index + 2]):
            self.fail(self.origin(start), syntax.TEMPLATE, syntax.TEMPLATE_HINT)
        keys: dict[str, Node] = {}
        while not isinstance(event := self.event(), yaml.MappingEndEvent):
            self.charge(event, depth + 1)
            name, origin = self.key(event), self.origin(event)
            self.add(keys, name, self.value(name, origin, depth + 1))
        return keys

    def value(self, name: str, key: Origin, depth: int) -> Node:
        event = self.event()
        if is_empty(event) and event.tag is None:
            message = f"{shown(name)} has no value"
            self.problems.append(Problem(key, message, "write one, or remove the key"))
            return Node(None, key, key)
        return replace(self.node(event, depth), key=key)

    def key(self, event: Any) -> str:
        if not isinstance(event, yaml.ScalarEvent):
            self.fail(self.origin(event), "a key must be plain text")
        self.refuse_tag(event)
        if is_empty(event):
            self.note(event, "a key is missing before `:`")
        elif event.value == "<<" and event.implicit[0]:
            self.note(event, "merge keys (`<<`) are not read here", "write the keys out")
        return str(event.value)

    def add(self, keys: dict[str, Node], name: str, node: Node) -> None:
        if name not in keys:
            if name not in ("", "<<"):
                keys[name] = node
            return
        first, again = keys[name].key, node.key
        if first and again:
            message = (
                f"the key {shown(name)} is written twice, in lines {first.line} and {again.line}"
            )
            self.problems.append(Problem(again, message, "keep one of them"))

    def alias(self, event: Any, depth: int) -> Node:
        name = event.anchor
        if name not in self.anchors:
            rest = self.text[event.start_mark.index :].splitlines()[0]
            message = f"alias {shown(f'*{name}')} of nothing; if it is text, {syntax.QUOTE}"
            self.fail(self.origin(event), message, syntax.quote_hint(rest))
        node = self.anchors[name]
        if node is None:
            self.fail(self.origin(event), f"the alias {shown(f'*{name}')} contains itself")
        self.expand(node, depth, event)
        return replace(node, origin=self.origin(event))

    def expand(self, node: Node, depth: int, alias: Any) -> None:
        """Count what an alias stands for, as if it had been written out."""
        for child in (*node.entries, *node.keys.values()):
            self.charge(alias, depth + 1)
            self.expand(child, depth + 1, alias)

    def charge(self, event: Any, depth: int) -> None:
        self.count += 1
        if depth > MAX_DEPTH:
            self.fail(self.origin(event), f"nested more than {MAX_DEPTH} levels deep")
        if self.count > MAX_NODES:
            limit = f"more than {MAX_NODES:,} values, each alias counted as what it stands for"
            self.fail(self.origin(event), limit)

    def refuse_tag(self, event: Any) -> None:
        if event.tag is not None:
            tag = event.tag.replace("tag:yaml.org,2002:", "!!")
            message = f"the tag {shown(tag)} is not read here"
            self.note(event, message, 'values have no types to choose; text is written "in quotes"')

    def note(self, event: Any, message: str, hint: str = "") -> None:
        self.problems.append(Problem(self.origin(event), message, hint))

    def fail(self, origin: Origin, message: str, hint: str = "") -> Never:
        raise Problems([Problem(origin, message, hint)])

    def unreadable(self) -> Problem:
        mark = self.loader.get_mark()
        origin = Origin(self.file, mark.line + 1, mark.column + 1)
        return Problem(origin, "a number or an escape here is out of any range")

    def origin(self, event: Any) -> Origin:
        mark = event.start_mark
        return Origin(self.file, mark.line + 1, mark.column + 1)
