"""From the name of a configuration to declared resources."""

from __future__ import annotations

from reconciler import exits
from reconciler.core.origin import Problems
from reconciler.host.people import caller, configfile
from reconciler.host.refused import Held, Refused
from reconciler.render import text
from reconciler.value import dataclass, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

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
    text: bytes
    """All that was read."""
    allowed: tuple[str, ...] = ()
    """Risks that are allowed for once, on the command line."""

    @property
    def allow_words(self) -> list[str]:
        """The same as options of a command line."""
        return [word for risk in self.allowed for word in ("--allow", risk)]

    @property
    def digest(self) -> str:
        """SHA-256 of the text, in hexadecimal."""
        import hashlib  # noqa: PLC0415 - OpenSSL takes 3 ms to load

        return hashlib.sha256(self.text).hexdigest()


def load(
    config: str | None, host: str | None, allow: Sequence[str] = (), *, piped: bool = False
) -> Loaded:
    """Find, read and check; Refused or Problems when that fails. ``piped`` as in configfile.

    ``allow`` counts as if every entry said so.
    """
    from reconciler import config as room  # noqa: PLC0415 - YAML and its checks take a while

    found = configfile.find(config, piped=piped)
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
    allowed = tuple(dict.fromkeys(allow))
    if allowed:
        items = tuple(replace(item, data=_allowing(item.data, allowed)) for item in items)
    return Loaded(items, found.shown, found.path, name, text_read, allowed)


def _allowing(data: Mapping[str, Any], allowed: tuple[str, ...]) -> dict[str, Any]:
    return {**data, "allow": tuple(dict.fromkeys((*data["allow"], *allowed)))}


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
    except Held as held:
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
