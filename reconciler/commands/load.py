"""From the name of a configuration to declared resources."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reconciler import exits
from reconciler.core.origin import Problems
from reconciler.host import caller, configfile, lock
from reconciler.host.refused import Refused
from reconciler.render import text

if TYPE_CHECKING:
    from collections.abc import Callable

    from reconciler.core.item import Item
    from reconciler.core.origin import Problem
    from reconciler.terminal import Terminal


@dataclass(frozen=True, slots=True)
class Loaded:
    """The items for one host, and where they came from."""

    items: tuple[Item, ...]
    shown: str
    path: str
    host: str
    digest: str
    """SHA-256 of all the text that was read."""


def load(config: str | None, host: str | None) -> Loaded:
    """Find, read and check; Refused or Problems when that fails."""
    from reconciler import config as room  # noqa: PLC0415 - YAML and its checks take a while

    found = configfile.find(config)
    name = host or configfile.short_hostname()
    overlay = configfile.overlay(found, name)
    items = room.load(
        found.text,
        found.shown,
        host=name,
        home_of=caller.home_of,
        overlay=(overlay.text, overlay.shown) if overlay else None,
    )
    text_read = found.text + b"\0" + (overlay.text if overlay else b"")
    digest = hashlib.sha256(text_read).hexdigest()
    return Loaded(items, found.shown, found.path, name, digest)


def guarded(terminal: Terminal, command: Callable[[], int]) -> int:
    """Run a command; problems with the input end in messages and exit code 1."""
    try:
        return command()
    except Problems as problems:
        terminal.report(text.problems(problems.problems))
        terminal.fail([_plain(problem) for problem in problems.problems])
        return exits.ERROR
    except Refused as refused:
        terminal.complain(refused.message, refused.hint)
        return exits.ERROR
    except lock.Held as held:
        terminal.complain(str(held), "try again when it is done")
        return exits.LOCKED


def _plain(problem: Problem) -> dict[str, Any]:
    where = problem.origin
    return {
        "file": where.file,
        "line": where.line,
        "column": where.column,
        "message": problem.message,
        "hint": problem.hint,
    }
