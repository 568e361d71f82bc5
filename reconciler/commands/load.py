"""From the name of a configuration to declared resources."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from reconciler import exit_codes
from reconciler.errors import ConfigErrors, Held, HostError, Misused
from reconciler.linux import trusted_input, users
from reconciler.report import text
from reconciler.value import dataclass, replace

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from reconciler.commands.choose import Choice
    from reconciler.console import Terminal
    from reconciler.engine.resource import Item
    from reconciler.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Loaded:
    """The items for one host, and where they came from."""

    items: tuple[Item, ...]
    shown: str
    path: str
    """Its absolute path as it was named; "" for none, and for a draft that stands nowhere."""
    host: str
    text: bytes
    """All that was read."""
    allowed: tuple[str, ...] = ()
    """Risks that are allowed for once, on the command line."""
    choice: Choice | None = None
    """Which entries the command line names; None: it is about all of them."""
    draft: str = ""
    """How a draft from standard input was named: `-`; "" for a file."""

    @property
    def entry_words(self) -> list[str]:
        """Return the chosen entries as arguments of a command line."""
        return self.choice.as_words if self.choice else []

    @property
    def allow_words(self) -> list[str]:
        """The same as options of a command line."""
        return [word for risk in self.allowed for word in ("--allow", risk)]

    @property
    def config_words(self) -> list[str]:
        """Return what names the configuration, as options of a command line."""
        if self.draft:
            return ["--config", self.draft, *(["--as", self.path] if self.path else [])]
        return ["--config", self.path] if self.path else []

    @property
    def file(self) -> str:
        """The resolved path, by which a configuration is told from others; "" for none."""
        return os.path.realpath(self.path) if self.path else ""

    @property
    def digest(self) -> str:
        """SHA-256 of the text, in hexadecimal."""
        import hashlib  # noqa: PLC0415 - OpenSSL takes 3 ms to load

        return hashlib.sha256(self.text).hexdigest()


def load(
    config: str | None,
    host: str | None,
    allow: Sequence[str] = (),
    stands_at: str | None = None,
    *,
    drafts: bool = False,
) -> Loaded:
    """Find, read and check; HostError or ConfigErrors when that fails.

    ``allow`` counts as if every entry said so; ``stands_at`` and ``drafts`` as in trusted_input.
    """
    from reconciler.config import load  # noqa: PLC0415 - YAML and its checks take a while

    found = trusted_input.find(config, stands_at, drafts=drafts)
    name = host or trusted_input.short_hostname()
    overlay = trusted_input.overlay(found, name)
    items = load.load(
        found.text,
        found.shown,
        host=name,
        home_of=users.home_of,
        overlay=(overlay.text, overlay.shown) if overlay else None,
    )
    text_read = found.text + b"\0" + (overlay.text if overlay else b"")
    allowed = tuple(dict.fromkeys(allow))
    if allowed:
        items = tuple(replace(item, data=_allowing(item.data, allowed)) for item in items)
    shown = f"{found.shown} (draft)" if found.is_draft else found.shown
    draft = str(config) if found.is_draft else ""
    return Loaded(items, shown, found.path, name, text_read, allowed, draft=draft)


def load_chosen(  # noqa: PLR0913 - one per option
    config: str | None,
    host: str | None,
    allow: Sequence[str],
    words: Sequence[str],
    stands_at: str | None = None,
    *,
    drafts: bool = False,
) -> Loaded:
    """Return the configuration with the entries that the command line names, or all of it.

    Where entries are named and there is no configuration, it is an empty one: what a
    configuration that is gone left can be named all the same. Raises as ``load``, and Misused.
    """
    from reconciler.commands import choose  # noqa: PLC0415 - it knows the kinds

    choice = choose.choice(words)
    try:
        found = load(config, host, allow, stands_at, drafts=drafts)
        return replace(found, choice=choice)
    except trusted_input.NoneFound:
        if choice is None:
            raise
        name = host or trusted_input.short_hostname()
        return Loaded((), "none", "", name, b"", tuple(dict.fromkeys(allow)), choice)


def _allowing(data: Mapping[str, Any], allowed: tuple[str, ...]) -> dict[str, Any]:
    return {**data, "allow": tuple(dict.fromkeys((*data["allow"], *allowed)))}


def guarded(terminal: Terminal, command: Callable[[], int]) -> int:
    """Run a command; problems with the input end in messages and exit code 1."""
    try:
        return command()
    except ConfigErrors as problems:
        terminal.report(text.problems(problems.problems))
        terminal.fail([_plain(problem) for problem in problems.problems])
        return exit_codes.ERROR
    except Misused as misused:
        terminal.complain(misused.message, misused.hint)
        return exit_codes.USAGE
    except HostError as refused:
        terminal.complain(refused.message, refused.hint)
        return exit_codes.ERROR
    except Held as held:
        terminal.complain(str(held), "try again when it is done")
        return exit_codes.LOCKED


def _plain(problem: ConfigError) -> dict[str, Any]:
    where = problem.origin
    return {
        "file": where.file,
        "line": where.line,
        "column": where.column,
        "message": problem.message,
        "hint": problem.hint,
    }
