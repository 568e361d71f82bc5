"""``vmtune explain``: the long text behind a code, or behind a kind of resource."""

from __future__ import annotations

import difflib
import inspect
import sys
from typing import TYPE_CHECKING

from reconciler import exits
from reconciler.commands.load import guarded
from reconciler.host.refused import Refused
from reconciler.render.codes import CODES
from reconciler.render.layout import wrapped
from reconciler.resources.registry import KINDS

if TYPE_CHECKING:
    from reconciler.terminal import Terminal


def run(terminal: Terminal, subject: str) -> int:
    """Print it; looks at no host."""

    def command() -> int:
        code, kinds = subject.upper(), {kind.name: kind for kind in KINDS}
        if code in CODES:
            paragraphs = [f"{code}  {CODES[code]}"]
        elif subject in kinds:
            module = sys.modules[kinds[subject].want.__module__]
            paragraphs = (inspect.getdoc(module) or "").split("\n\n")
        else:
            raise Refused(f"nothing is known of {subject!r}", _instead(subject, [*CODES, *kinds]))
        for number, paragraph in enumerate(paragraphs):
            for line in [*[""] * bool(number), *wrapped(paragraph, terminal.width, 0)]:
                terminal.say(line)
        return exits.DONE

    return guarded(terminal, command)


def _instead(subject: str, known: list[str]) -> str:
    close = difflib.get_close_matches(subject, known, 1)
    return f"did you mean {close[0]}?" if close else f"there are {', '.join(known)}"
