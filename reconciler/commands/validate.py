"""``vmtune validate``: syntax, schema and cross-checks; looks at no host, nor at its users."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING

from reconciler import exit_codes
from reconciler.commands.call import guarded
from reconciler.commands.load import UNREAD, of_host, tell, titled
from reconciler.config import load
from reconciler.config.hosts import any_home
from reconciler.errors import ConfigError, ConfigErrors, Misused, SourceLocation
from reconciler.formats.sizes import counted
from reconciler.linux import trusted_input
from reconciler.report.wrap import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.console import Chosen, Terminal
    from reconciler.engine.item import Item
    from reconciler.linux.trusted_input import Found


def run(chosen: Chosen, files: Sequence[str], *, all_hosts: bool) -> int:
    """Check each file on its own, or the configuration; 1 when any has a problem.

    ``--as`` says where the one draft among them stands, that of standard input.
    """
    terminal, host = chosen.terminal, chosen.host
    names: Sequence[str | None] = files or (chosen.config,)
    drafts = [name for name in names if name in trusted_input.STANDARD_INPUT]

    def check(name: str | None) -> int:
        place = chosen.stands_at if name in drafts or not drafts else None
        found = trusted_input.find(name, place, drafts=True)
        base = trusted_input.base_of(found.path, chosen.config if files else None)
        if base:
            return _overlay(terminal, found, base, host)
        if all_hosts:
            return _all_hosts(terminal, found)
        loaded = of_host(found, host, home_of=any_home)
        tell(terminal, loaded)
        return _valid(terminal, loaded.shown, loaded.items, loaded.host)

    codes = [guarded(terminal, partial(check, name)) for name in names]
    return max(codes, default=exit_codes.DONE)


def _valid(terminal: Terminal, shown: str, items: Sequence[Item], host: str) -> int:
    entries = counted(len(items), "entry", "entries")
    terminal.say(printable(f"{shown}: valid; {entries} for {host}"))
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
    return _valid(terminal, titled(found), items, host)


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
    terminal.say(printable(f"{titled(found)}: valid for {for_whom}"))
    return exit_codes.DONE


def _unread(file: trusted_input.Misnamed) -> ConfigError:
    return ConfigError(SourceLocation(file.shown, 1, 1), UNREAD, file.hint)
