"""The way from argv to the commands that run most, ``plan``, ``apply``, ``status``: without click.

click takes longer to load than a plan takes to make. Read here is only what can
mean one thing; anything else, each mistake among it, is click's to read.
"""

from __future__ import annotations

import gc
import os

from reconciler.fence import fenced
from reconciler.terminal import Terminal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import TypedDict

    Given = TypedDict(
        "Given",
        {
            "--config": str,
            "--host": str,
            "--color": str,
            "--verbose": bool,
            "--quiet": bool,
            "--output": str,
            "--json": bool,
            "--detailed-exitcode": bool,
            "--yes": bool,
            "--approved": str,
            "--html": str,
        },
        total=False,
    )

_SHORT = {"-v": "--verbose", "-q": "--quiet", "-o": "--output", "-y": "--yes"}
_BEFORE = frozenset({"--config", "--host", "--color", "--verbose", "--quiet"})
_AFTER = {
    "plan": frozenset({"--output", "--json", "--detailed-exitcode"}),
    "apply": frozenset({"--yes", "--json", "--approved"}),
    "status": frozenset({"--json", "--html", "--quiet"}),
}
_VALUED = frozenset({"--config", "--host", "--color", "--output", "--approved", "--html"})
_COLOURS = frozenset({"always", "auto", "never"})
_COLLECT_AFTER = 200_000
"""A plan keeps what it makes, to the end: looking for garbage finds none; long work has some."""


def run(arguments: Sequence[str]) -> int:
    """The exit code."""
    given = read(arguments)
    if given is None or "_VMTUNE_COMPLETE" in os.environ:
        from reconciler import clicked  # noqa: PLC0415 - what this module is there to avoid

        return clicked.run(arguments)
    gc.set_threshold(_COLLECT_AFTER)
    terminal = _terminal(given[1])
    code = fenced(lambda: _COMMANDS[given[0]](terminal, given[1]), terminal)
    gc.freeze()  # or all of it is looked through once more while Python ends
    return code


def read(arguments: Sequence[str]) -> tuple[str, Given] | None:
    """The command and its options, by their long names; None for what click must read."""
    before, command, after = _parted(arguments)
    found = {**before, **after}
    known = before.keys() <= _BEFORE and after.keys() <= _AFTER.get(command, frozenset())
    if command not in _AFTER or not known or found.get("--color", "auto") not in _COLOURS:
        return None
    return command, found  # type: ignore[return-value] # its keys are those of Given


def _parted(arguments: Sequence[str]) -> tuple[Mapping[str, object], str, Mapping[str, object]]:
    """Options before the first word that is none, that word, and those behind it."""
    words = iter(arguments)
    sides: tuple[dict[str, object], dict[str, object]] = ({}, {})
    command = ""
    for word in words:
        side = sides[bool(command)]
        name = _SHORT.get(word, word)
        if not command and not word.startswith("-"):
            command = word or "-"
        elif name in side:
            side[""] = word  # given twice
        elif name in _VALUED:
            side[name] = next(words, "-")
            side |= {"": word} if str(side[name]).startswith("-") else {}
        else:
            side[name] = True
    return sides[0], command, sides[1]


def _terminal(given: Given) -> Terminal:
    return Terminal(
        given.get("--color", "auto"),
        given.get("--verbose", False),
        given.get("--quiet", False),
        given.get("--json", False),
    )


def _plan(terminal: Terminal, given: Given) -> int:
    from reconciler.commands import plan  # noqa: PLC0415 - within the fence

    config, host = given.get("--config"), given.get("--host")
    detailed = given.get("--detailed-exitcode", False)
    return plan.run(terminal, config, host, given.get("--output"), detailed=detailed)


def _apply(terminal: Terminal, given: Given) -> int:
    from reconciler.commands import apply  # noqa: PLC0415 - each pays for itself

    config, host = given.get("--config"), given.get("--host")
    yes, approved = given.get("--yes", False), given.get("--approved", "")
    return apply.run(terminal, config, host, (), yes=yes, approved=approved)


def _status(terminal: Terminal, given: Given) -> int:
    from reconciler.commands import status  # noqa: PLC0415 - the same

    return status.run(terminal, given.get("--config"), given.get("--host"), given.get("--html"))


_COMMANDS = {"plan": _plan, "apply": _apply, "status": _status}
