"""``vmtune validate``: syntax, schema and cross-checks; looks at no host."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler import exit_codes
from reconciler.commands.load import guarded, load
from reconciler.linux import trusted_input, users
from reconciler.report.wrap import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.console import Terminal


def run(
    terminal: Terminal,
    files: Sequence[str | None],
    host: str | None,
    stands_at: str | None,
    *,
    all_hosts: bool,
) -> int:
    """Check each file on its own; 1 when any has a problem.

    ``stands_at`` is where the one draft among them stands, that of standard input.
    """
    drafts = [file for file in files if file in trusted_input.STANDARD_INPUT]

    def check(file: str | None) -> int:
        place = stands_at if file in drafts or not drafts else None
        if all_hosts:
            return _all_hosts(terminal, file, place)
        return _one(terminal, file, host, place)

    codes = [guarded(terminal, lambda file=file: check(file)) for file in files]  # type: ignore[misc]
    return max(codes, default=exit_codes.DONE)


def _one(terminal: Terminal, file: str | None, host: str | None, stands_at: str | None) -> int:
    loaded = load(file, host, stands_at=stands_at, drafts=True)
    words = f"{loaded.shown}: valid; {len(loaded.items)} declared for {loaded.host}"
    terminal.say(printable(words))
    return exit_codes.DONE


def _all_hosts(terminal: Terminal, file: str | None, stands_at: str | None) -> int:
    from reconciler.config import load  # noqa: PLC0415 - YAML and its checks take a while

    found = trusted_input.find(file, stands_at, drafts=True)
    overlays = {
        name: (other.text, other.shown) for name, other in trusted_input.overlays(found).items()
    }
    hosts = load.load_all_hosts(found.text, found.shown, home_of=users.home_of, overlays=overlays)
    names = ", ".join(name or "(any other)" for name in hosts)
    terminal.say(f"{printable(found.shown)}: valid for {len(hosts)} hosts: {names}")
    return exit_codes.DONE
