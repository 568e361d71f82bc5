"""What PyYAML could not read, in words for the person who wrote it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from reconciler.core.origin import Origin, Problem

if TYPE_CHECKING:
    import yaml

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


def explain(error: yaml.MarkedYAMLError, text: str, file: str) -> Problem:
    """Say what is wrong at the place PyYAML stopped, and what to write instead."""
    mark = _culprit(error)
    if mark is None:
        return Problem(Origin(file, 1, 1), f"not readable as YAML: {error.problem}")
    origin = Origin(file, mark.line + 1, mark.column + 1)
    rest, line = _rest_of_line(text, mark.index), _line_around(text, mark.index)
    return Problem(origin, *_message(str(error.problem), rest, line))


def quote_hint(rest: str) -> str:
    """Show the text that begins an unquoted value, quoted."""
    value = re.split(r"\s#", rest, maxsplit=1)[0].strip()
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
            quote_hint(rest)
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
