"""YAML text to nodes that know where they were written, strictly.

First the bytes become text, then the text becomes nodes; what PyYAML could not read is said in
words for the person who wrote it.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Never

import yaml

from reconciler.config.check import shown
from reconciler.errors import ConfigError, ConfigErrors, SourceLocation
from reconciler.formats.node import Node

if TYPE_CHECKING:
    from collections.abc import Callable


MAX_BYTES = 1 << 20

# What YAML 1.2 section 5.1 calls printable, less the three line breaks that
# PyYAML knows and editors do not (text after one of those would be on a line
# that nobody sees), and less the bidirectional controls (CVE-2021-42574: a
# reviewer is shown another text than is read).
_UNPRINTABLE = (
    "[^\x09\x0a\x0d\x20-\x7e\xa0-\u2027\u202f-\u2065\u206a-\ud7ff\ue000-\ufffd"
    "\U00010000-\U0010ffff]"
)

_LINE_BREAK = "\r\n|\r|\n"

_PRINTABLE = bytes({*b"\t\n\r", *range(0x20, 0x7F)})

_UTF8_BOM = b"\xef\xbb\xbf"

_UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")


def decode(data: bytes, file: str) -> str:
    """Text of a UTF-8 file, with or without a byte order mark; raises ConfigErrors."""
    if len(data) > MAX_BYTES:
        raise _problem(
            SourceLocation(file, 1, 1), f"the file has {len(data)} bytes; the limit is 1 MiB"
        )
    if data.startswith(_UTF16_BOMS):
        raise _problem(SourceLocation(file, 1, 1), "the file is UTF-16", "save it as UTF-8")
    try:
        text = data.removeprefix(_UTF8_BOM).decode()
    except UnicodeDecodeError as error:
        bad, before = error.object[error.start], error.object[: error.start].decode()
        message = f"byte 0x{bad:02X} is not UTF-8; is the file Latin-1?"
        raise _problem(locate(before, len(before), file), message, "save it as UTF-8") from None
    if not data.translate(None, _PRINTABLE):
        return text  # ASCII, as most are: the expression below takes 4 ms to compile
    if bad_character := re.search(_UNPRINTABLE, text):
        name = f"U+{ord(bad_character[0]):04X}"
        message = f"control character {name} is not allowed in a configuration file"
        raise _problem(locate(text, bad_character.start(), file), message, "remove it")
    return text


def locate(text: str, index: int, file: str) -> SourceLocation:
    """Line and column, from 1, of the character at ``index``."""
    breaks = list(re.finditer(_LINE_BREAK, text[:index]))
    start = breaks[-1].end() if breaks else 0
    return SourceLocation(file, len(breaks) + 1, index - start + 1)


def _problem(origin: SourceLocation, message: str, hint: str = "") -> ConfigErrors:
    return ConfigErrors([ConfigError(origin, message, hint)])


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


def read(data: bytes, file: str) -> tuple[Node | None, tuple[ConfigError, ...]]:
    """Return the document, and what is wrong with it; None when it is not a tree at all.

    Never raises. Values that cannot be used are nodes of value None.
    """
    try:
        text = decode(data, file)
        builder = _Builder(text, file)
    except ConfigErrors as problems:
        return None, problems.problems
    try:
        return builder.document(), tuple(builder.problems)
    except ConfigErrors as problems:
        return None, (*builder.problems, *problems.problems)
    except yaml.MarkedYAMLError as error:
        return None, (*builder.problems, explain(error, text, file))
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
        self.problems: list[ConfigError] = []
        self.anchors: dict[str, Node | None] = {}
        self.count = 0

    def document(self) -> Node:
        self.event()  # the stream's start
        first = self.event()
        event = self.event() if isinstance(first, yaml.DocumentStartEvent) else first
        if isinstance(event, yaml.StreamEndEvent) or is_empty(event):
            self.fail(SourceLocation(self.file, 1, 1), "the file is empty", FIRST_LINE)
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
        if is_template(text):
            self.note(event, TEMPLATE, TEMPLATE_HINT)
            return None
        return text

    def sequence(self, depth: int) -> tuple[Node, ...]:
        nodes = []
        while not isinstance(event := self.event(), yaml.SequenceEndEvent):
            nodes.append(self.node(event, depth + 1))
        return tuple(nodes)

    def mapping(self, start: Any, depth: int) -> dict[str, Node]:
        index = start.start_mark.index
        if is_template(self.text[index : index + 2]):
            self.fail(self.origin(start), TEMPLATE, TEMPLATE_HINT)
        keys: dict[str, Node] = {}
        while not isinstance(event := self.event(), yaml.MappingEndEvent):
            self.charge(event, depth + 1)
            name, origin = self.key(event), self.origin(event)
            self.add(keys, name, self.value(name, origin, depth + 1))
        return keys

    def value(self, name: str, key: SourceLocation, depth: int) -> Node:
        event = self.event()
        if is_empty(event) and event.tag is None:
            message = f"{shown(name)} has no value"
            self.problems.append(ConfigError(key, message, "write one, or remove the key"))
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
            self.problems.append(ConfigError(again, message, "keep one of them"))

    def alias(self, event: Any, depth: int) -> Node:
        name = event.anchor
        if name not in self.anchors:
            rest = self.text[event.start_mark.index :].splitlines()[0]
            message = f"alias {shown(f'*{name}')} of nothing; if it is text, {QUOTE}"
            self.fail(self.origin(event), message, quote_hint(rest))
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
        self.problems.append(ConfigError(self.origin(event), message, hint))

    def fail(self, origin: SourceLocation, message: str, hint: str = "") -> Never:
        raise _problem(origin, message, hint)

    def unreadable(self) -> ConfigError:
        origin = _origin(self.loader.get_mark(), self.file)
        return ConfigError(origin, "a number or an escape here is out of any range")

    def origin(self, event: Any) -> SourceLocation:
        return _origin(event.start_mark, self.file)


def _origin(mark: yaml.Mark, file: str) -> SourceLocation:
    return SourceLocation(file, mark.line + 1, mark.column + 1)


QUOTE = "quote it"

TEMPLATE = "template marks (`{{`, `{%`) here: is this an unrendered template?"

TEMPLATE_HINT = "run it through the template engine first, or use hosts: for what differs"

_TEMPLATE_MARKS = ("{{", "{%")

_SHOWN = 60

# Characters with a meaning in YAML, which people write at the start of a text.
_INDICATORS = "*&@`%!|>,]}"

_WORDS = (
    ("mapping values are not allowed", "a second `key: value` on one line, or wrong indentation"),
    ("could not find expected ':'", "expected `key: value`, found no colon"),
    ("expected escape sequence", "a backslash in double quotes begins an escape"),
    ("found unknown escape character", "a backslash in double quotes begins an escape"),
    ("but found ':'", "a key is missing before `:`"),
    ("expected <block end>", "this does not line up with the lines before it"),
    ("expected ',' or", "a bracket is not closed, or a comma is missing"),
    ("unexpected end of stream", "a quote is not closed"),
    ("unexpected document separator", "a quote is not closed"),
    ("expected the node content", "a value was expected here"),
    ("sequence entries are not allowed", "a list cannot begin on the line of its key"),
)

_HINTS = {
    "mapping values are not allowed": "indent with spaces; quote a text that holds `: `",
    "expected escape sequence": "use single quotes",
    "found unknown escape character": "use single quotes",
    "expected <block end>": "entries of one list, and keys of one mapping, begin in one column",
    "sequence entries are not allowed": "put `- ` on the next line",
}


def is_template(text: str) -> bool:
    return any(mark in text for mark in _TEMPLATE_MARKS)


def explain(error: yaml.MarkedYAMLError, text: str, file: str) -> ConfigError:
    """Say what is wrong at the place PyYAML stopped, and what to write instead."""
    mark = _culprit(error)
    if mark is None:
        return ConfigError(SourceLocation(file, 1, 1), f"not readable as YAML: {error.problem}")
    rest, line = _rest_of_line(text, mark.index), _line_around(text, mark.index)
    return ConfigError(_origin(mark, file), *_message(str(error.problem), rest, line))


def quote_hint(rest: str, line: str = "") -> str:
    """Show the text that begins an unquoted value, quoted: without the bracket that it is in."""
    value = re.split(r"\s#", rest, maxsplit=1)[0].strip()
    before = line.removesuffix(rest)
    if sum(map(before.count, "{[")) > sum(map(before.count, "}]")):
        value = re.split(r"[,\]}]", value, maxsplit=1)[0].strip()
    if len(value) > _SHOWN:
        return "put quotes around it"
    quote = "'" if '"' in value or "\\" in value else '"'
    return f"write {quote}{value}{quote}"


def _message(problem: str, rest: str, line: str) -> tuple[str, str]:
    if is_template(line):
        return TEMPLATE, TEMPLATE_HINT
    if rest.startswith("\t"):
        return "a tab where YAML wants spaces", "indent and separate with spaces"
    if rest[:1] and rest[0] in _INDICATORS and not problem.startswith("expected ',' or"):
        return f"a text that begins with `{rest[0]}` means something else to YAML: {QUOTE}", (
            quote_hint(rest, line)
        )
    for known, words in _WORDS:
        if known in problem:
            return f"not readable as YAML: {words}", _HINTS.get(known, "")
    return f"not readable as YAML: {problem}", ""


def _culprit(error: yaml.MarkedYAMLError) -> yaml.Mark | None:
    """Where the fault began: PyYAML points behind a bad `*` and at the end of an open quote."""
    scans = ("while scanning an alias", "while scanning an anchor", "while scanning a directive")
    began = (*scans, "while scanning a quoted scalar", "while scanning a tag")
    if error.context in began and "escape" not in str(error.problem):
        return error.context_mark or error.problem_mark
    return error.problem_mark or error.context_mark


def _rest_of_line(text: str, index: int) -> str:
    return re.split("[\r\n]", text[index:], maxsplit=1)[0]


def _line_around(text: str, index: int) -> str:
    start = max(text.rfind("\n", 0, index), text.rfind("\r", 0, index)) + 1
    return _rest_of_line(text, start)
