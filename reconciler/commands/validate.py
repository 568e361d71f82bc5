"""``vmtune validate``: syntax, schema and cross-checks; looks at no host, nor at its users."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from reconciler import exit_codes
from reconciler.commands.load import UNREAD, guarded, of_host, tell
from reconciler.config import load
from reconciler.config.hosts import any_home
from reconciler.errors import ConfigError, ConfigErrors, Misused, SourceLocation
from reconciler.formats.sizes import counted
from reconciler.linux import trusted_input
from reconciler.report.wrap import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.console import Terminal
    from reconciler.linux.trusted_input import Found


def run(  # noqa: PLR0913 - one per option
    terminal: Terminal,
    files: Sequence[str],
    config: str | None,
    host: str | None,
    stands_at: str | None,
    *,
    all_hosts: bool,
) -> int:
    """Check each file on its own, or the configuration; 1 when any has a problem.

    ``stands_at`` is where the one draft among them stands, that of standard input.
    """
    names: Sequence[str | None] = files or (config,)
    drafts = [name for name in names if name in trusted_input.STANDARD_INPUT]

    def check(name: str | None) -> int:
        place = stands_at if name in drafts or not drafts else None
        found = trusted_input.find(name, place, drafts=True)
        base = trusted_input.base_of(found.path, config if files else None)
        if base:
            return _overlay(terminal, found, base, host)
        if all_hosts:
            return _all_hosts(terminal, found)
        return _one(terminal, found, host)

    codes = [guarded(terminal, lambda name=name: check(name)) for name in names]  # type: ignore[misc]
    return max(codes, default=exit_codes.DONE)


def _one(terminal: Terminal, found: Found, host: str | None) -> int:
    loaded = of_host(found, host, home_of=any_home)
    tell(terminal, loaded)
    entries = counted(len(loaded.items), "entry", "entries")
    terminal.say(printable(f"{loaded.shown}: valid; {entries} for {loaded.host}"))
    return exit_codes.DONE


def _overlay(terminal: Terminal, found: Found, base: Found, named: str | None) -> int:
    """Check a file in hosts/ as what its host changes of the configuration beside the folder."""
    name = os.path.basename(found.path)
    host = trusted_input.overlay_host(name)
    if name != f"{host}.yaml":
        raise ConfigErrors([_unread(trusted_input.Misnamed(found.path, host))])
    if named is not None and trusted_input.short_name(named) != host:
        raise Misused(f"{found.shown} is for the host {host}", "leave --host out")
    items = load.load(
        base.text, base.shown, host=host, home_of=any_home, overlay=(found.text, found.shown)
    )
    draft = " (draft)" if found.is_draft else ""
    entries = counted(len(items), "entry", "entries")
    terminal.say(printable(f"{found.shown}{draft}: valid; {entries} for {host}"))
    return exit_codes.DONE


def _all_hosts(terminal: Terminal, found: Found) -> int:
    unread = [_unread(each) for each in trusted_input.misnamed(found)]
    overlays = {
        name: (other.text, other.shown) for name, other in trusted_input.overlays(found).items()
    }
    try:
        hosts = load.load_all_hosts(found.text, found.shown, home_of=any_home, overlays=overlays)
    except ConfigErrors as problems:
        raise ConfigErrors([*problems.problems, *unread]) from None
    if unread:
        raise ConfigErrors(unread)
    named = [name for name in hosts if name]
    for_whom = f"{', '.join(named)}, and any other host" if named else "any host: it names none"
    draft = " (draft)" if found.is_draft else ""
    terminal.say(printable(f"{found.shown}{draft}: valid for {for_whom}"))
    return exit_codes.DONE


def _unread(file: trusted_input.Misnamed) -> ConfigError:
    return ConfigError(SourceLocation(file.shown, 1, 1), UNREAD, file.hint)
