"""``vmtune explain``: the long text behind a code, a kind of resource, or a path."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING

from reconciler import exits
from reconciler.commands.glossary import MODULES, names, of_kind, sentence
from reconciler.commands.load import guarded
from reconciler.host.refused import Refused
from reconciler.render import topics
from reconciler.render.codes import CODES
from reconciler.render.layout import wrapped
from reconciler.render.topics import TOPICS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.console import Terminal

_CODE = 6
"""Columns of a code in the list, the space behind it counted."""


def run(terminal: Terminal, words: Sequence[str], config: str | None, host: str | None) -> int:
    """Print it; looks at the host only for a path. ``words`` may be a kind and a path."""

    def command() -> int:
        kind, subject = _parted(" ".join(words))
        if kind or subject.startswith(("/", "~")):
            from reconciler.commands import explain_path  # noqa: PLC0415 - looks at the host

            return explain_path.run(terminal, kind, subject, config, host)
        say(terminal, _paragraphs(subject))
        return exits.DONE

    return guarded(terminal, command)


def listed(terminal: Terminal) -> int:
    """Each of them with its first sentence: the codes under each other, and what is no code."""
    longest = max(len(name) for name in names() if name not in CODES) + 2
    for name in names():
        indent = _CODE if name in CODES else longest
        first, *rest = wrapped(sentence(name), terminal.width, indent)
        terminal.say(name.ljust(indent) + first[indent:])
        for line in rest:
            terminal.say(line)
    return exits.DONE


def say(terminal: Terminal, paragraphs: Sequence[str]) -> None:
    """With a blank line between two, but for the rows of a table."""
    above = ""
    for paragraph in paragraphs:
        is_row = paragraph.startswith("@")
        if above and not (is_row and above.startswith("@")):
            terminal.say()
        for line in wrapped(paragraph.removeprefix("@"), terminal.width, 4 * is_row):
            terminal.say(line)
        above = paragraph


def coded(code: str) -> str:
    """A code and what it means."""
    return f"{code}  {CODES[code]}"


def _parted(subject: str) -> tuple[str, str]:
    """``nocow ~/images``, as a plan prints it, or ``nocow[~/images]``: its kind, and its path."""
    if found := re.fullmatch(r"([a-z]+)(?:\[(.*)\]| +([/~].*))", subject):
        return found[1], found[2] or found[3]
    return "", subject


def _paragraphs(subject: str) -> Sequence[str]:
    code = subject.upper()
    if code in CODES:
        return [coded(code)]
    if subject in MODULES:
        return of_kind(subject)
    if subject in TOPICS:
        return topics.paragraphs(subject)
    close = difflib.get_close_matches(code, CODES, 1, 0.7) or difflib.get_close_matches(
        subject.lower(), [*MODULES, *TOPICS], 1, 0.7
    )
    raise Refused(
        f"nothing is known of {subject!r}",
        f"did you mean {close[0]}?"
        if close
        else "name a code, a kind or a path; `vmtune explain --list` shows which",
    )
