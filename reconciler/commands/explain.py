"""``vmtune explain``: the long text behind a code, a kind of resource, or an entry."""

from __future__ import annotations

import difflib
import inspect
import sys
from typing import TYPE_CHECKING

from reconciler import exits
from reconciler.commands.load import guarded, load
from reconciler.config.paths import PathError, expand
from reconciler.core.model import Plan
from reconciler.host.people import caller
from reconciler.host.refused import Refused
from reconciler.render import text, topics
from reconciler.render.codes import CODES
from reconciler.render.layout import wrapped
from reconciler.render.topics import TOPICS
from reconciler.resources.registry import KINDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from reconciler.terminal import Terminal


def run(terminal: Terminal, subject: str, config: str | None, host: str | None) -> int:
    """Print it; looks at the host only for an entry of the configuration."""

    def command() -> int:
        if subject.startswith(("/", "~")) or subject.endswith("]"):
            return _entry(terminal, subject, config, host)
        code, kinds = subject.upper(), {kind.name: kind for kind in KINDS}
        if code in CODES:
            paragraphs = [f"{code}  {CODES[code]}"]
        elif subject in kinds:
            module = sys.modules[kinds[subject].want.__module__]
            paragraphs = (inspect.getdoc(module) or "").split("\n\n")
        elif subject in TOPICS:
            paragraphs = topics.paragraphs(subject)
        else:
            known = [*CODES, *kinds, *TOPICS]
            raise Refused(f"nothing is known of {subject!r}", _instead(subject, known))
        _say(terminal, paragraphs)
        return exits.DONE

    return guarded(terminal, command)


def _entry(terminal: Terminal, subject: str, config: str | None, host: str | None) -> int:
    """What is declared of ``nocow[~/images]``, or of a path alone; each code of it explained."""
    from reconciler.commands import plan as planning  # noqa: PLC0415 - looks at the host

    kind, path = subject[:-1].split("[", 1) if "[" in subject else ("", subject)
    loaded = load(config, host)
    try:
        path_of_it = expand(path, caller.home_of)
    except PathError as error:
        raise Refused(str(error), error.hint) from None
    names = {path, path_of_it}
    origins = [item.origin for item in loaded.items if names & {item.name, item.path}]
    found = planning.make(loaded)
    mine = [c for c in found.changes if c.origin in origins and kind in {"", c.kind}]
    if not mine:
        declared = dict.fromkeys(f"{c.kind}[{c.name}]" for c in found.changes if c.origin)
        raise Refused(f"{loaded.shown} declares nothing at {subject}", _instead(subject, declared))
    for origin in dict.fromkeys(origins):
        terminal.say(f"declared at {origin}")
    terminal.say("\n".join(text.plan(Plan(tuple(mine)), terminal.width, terminal.paint)))
    for code in sorted({c.code for c in mine} | {n.code for c in mine for n in c.notes}):
        if code:
            terminal.say()
            _say(terminal, [f"{code}  {CODES[code]}"])
    return exits.DONE


def _say(terminal: Terminal, paragraphs: Sequence[str]) -> None:
    """With a blank line between two, but for the rows of a table."""
    above = ""
    for paragraph in paragraphs:
        is_row = paragraph.startswith("@")
        if above and not (is_row and above.startswith("@")):
            terminal.say()
        for line in wrapped(paragraph.removeprefix("@"), terminal.width, 4 * is_row):
            terminal.say(line)
        above = paragraph


def _instead(subject: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(subject, list(known), 1)
    return f"did you mean {close[0]}?" if close else f"there are {', '.join(known)}"
