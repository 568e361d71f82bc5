"""From the name of a configuration to declared resources."""

from __future__ import annotations

import difflib
import hashlib
import os
from dataclasses import replace
from shlex import quote
from typing import TYPE_CHECKING, Any

from reconciler.commands import choose
from reconciler.config import load as configuration
from reconciler.errors import HostError
from reconciler.linux import trusted_input, users
from reconciler.report import text
from reconciler.value import Value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from reconciler.console import Chosen, Terminal
    from reconciler.engine.item import Item


class Loaded(Value):
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
    choice: choose.Choice = choose.ALL
    """Which entries the command line names."""
    remarks: tuple[tuple[str, str], ...] = ()
    """What is told of the configuration that is no problem of this host: words, and what to do."""
    is_draft: bool = False
    """Whether it was read from standard input, and no file is obeyed."""

    @property
    def allow_words(self) -> list[str]:
        """Return the allowed risks as options of a command line."""
        return [word for risk in self.allowed for word in ("--allow", risk)]

    @property
    def is_of_another_host(self) -> bool:
        """Tell whether it is what the configuration says for another host than this one."""
        return self.host != trusted_input.short_hostname()

    @property
    def config_words(self) -> list[str]:
        """Return what names the configuration, as options of a command line."""
        if self.is_draft:
            return ["--config", "-", *(["--as", self.path] if self.path else [])]
        return ["--config", self.path] if self.path else []

    @property
    def host_words(self) -> list[str]:
        """Return what names the host, as options of a command line; none for this one."""
        return ["--host", self.host] if self.is_of_another_host else []

    @property
    def file(self) -> str:
        """The resolved path, by which a configuration is told from others; "" for none."""
        return os.path.realpath(self.path) if self.path else ""

    @property
    def digest(self) -> str:
        """SHA-256 of the text, in hexadecimal."""
        return hashlib.sha256(self.text).hexdigest()


def load(chosen: Chosen, allow: Sequence[str] = (), *, drafts: bool = False) -> Loaded:
    """Find, read and check; HostError or ConfigErrors when that fails.

    ``allow`` counts as if every entry said so; ``drafts`` as in trusted_input.
    """
    found = trusted_input.find(chosen.config, chosen.stands_at, drafts=drafts)
    if base := trusted_input.base_of(found.path, None):
        of = trusted_input.overlay_host(os.path.basename(found.path))
        raise HostError(
            f"{found.shown} is what one host changes of {base.shown}",
            f"name that one: --config {quote(base.path)}" + (f" --host {of}" if of else ""),
        )
    return of_host(found, chosen.host, allow)


def of_host(
    found: trusted_input.Found,
    host: str | None,
    allow: Sequence[str] = (),
    home_of: Callable[[str], str | None] = users.home_of,
) -> Loaded:
    """Check a text that was found, with what its host changes; raises as ``load``."""
    name = _host(host)
    overlay = trusted_input.overlay(found, name)
    items = configuration.load(
        found.text,
        found.shown,
        host=name,
        home_of=home_of,
        overlay=(overlay.text, overlay.shown) if overlay else None,
    )
    text_read = found.text + b"\0" + (overlay.text if overlay else b"")
    allowed = tuple(dict.fromkeys(allow))
    if allowed:
        items = tuple(replace(item, data=_allowing(item.data, allowed)) for item in items)
    remarks = [(f"{each.shown}: {UNREAD}", each.hint) for each in trusted_input.misnamed(found)]
    if host is not None and not overlay:
        remarks += _unknown_host(found, name)
    return Loaded(
        items,
        titled(found),
        found.path,
        name,
        text_read,
        allowed,
        remarks=tuple(remarks),
        is_draft=found.is_draft,
    )


def host_title(host: str) -> str:
    """Name a host, and whose facts are seen where that is another one."""
    here = trusted_input.short_hostname()
    return host if host == here else f"{host} (the facts are those of {here})"


def titled(found: trusted_input.Found) -> str:
    """Name a configuration, and say so where it is a draft."""
    return f"{found.shown} (draft)" if found.is_draft else found.shown


def _host(named: str | None) -> str:
    return trusted_input.short_hostname() if named is None else trusted_input.short_name(named)


UNREAD = "no host reads this file: a host reads NAME.yaml, with its short name in lower case"


def _unknown_host(found: trusted_input.Found, host: str) -> list[tuple[str, str]]:
    known = {*configuration.hosts_named(found.text, found.shown), *trusted_input.overlays(found)}
    if host in known or host == trusted_input.short_hostname():
        return []
    close = difflib.get_close_matches(host, known, 1, 0.6)
    hint = f"did you mean {close[0]}?" if close else f"named are: {', '.join(sorted(known))}"
    words = f"{found.shown} names no host {host!r}: this is what any other host gets"
    return [(words, hint if known else "it names no host at all")]


def tell(terminal: Terminal, loaded: Loaded) -> None:
    """Print the remarks on a configuration beside the answer, unless nobody wants to know."""
    for words, hint in loaded.remarks:
        terminal.progress(text.printable_lines(f"vmtune: {words}\n    {hint}"))


def heading(terminal: Terminal, parts: Iterable[str]) -> None:
    """Say which host and file an answer is about, then leave a line empty."""
    terminal.tell([*text.heading(parts, terminal.width, terminal.dot), ""])


def load_chosen(
    chosen: Chosen,
    allow: Sequence[str],
    words: Sequence[str],
    *,
    command: str = "plan",
    drafts: bool = False,
) -> Loaded:
    """Return the configuration with the entries that the command line names, or all of it.

    Where entries are named and there is no configuration, it is an empty one: what a
    configuration that is gone left can be named all the same. Raises as ``load``, and Misused.
    """
    choice = choose.choice(words, command)
    try:
        return replace(load(chosen, allow, drafts=drafts), choice=choice)
    except trusted_input.NoneFound:
        if not words:
            raise
        return Loaded((), "none", "", _host(chosen.host), b"", tuple(dict.fromkeys(allow)), choice)


def _allowing(data: Mapping[str, Any], allowed: tuple[str, ...]) -> dict[str, Any]:
    return {**data, "allow": tuple(dict.fromkeys((*data["allow"], *allowed)))}
