"""``vmtune doctor``: what the host lacks, or has against it. No root, no lock, no change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reconciler import __version__, exits
from reconciler.advice import subjects
from reconciler.advice.doctor import examine
from reconciler.commands.load import guarded, load
from reconciler.core.advice import Health
from reconciler.host import clock, readers
from reconciler.host.people import configfile
from reconciler.render import doctor as shown
from reconciler.render import text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.commands.load import Loaded
    from reconciler.core.advice import Row
    from reconciler.terminal import Terminal

FORMAT = "vmtune.doctor/1"


def run(terminal: Terminal, config: str | None, host: str | None) -> int:
    """0 when nothing fails, also with warnings; 1 when something does."""

    def command() -> int:
        loaded = _loaded(config, host)
        see = readers.look()
        looked = subjects.declared(loaded.items, see) if loaded else subjects.discovered(see)
        rows = examine(looked, see)
        code = exits.ERROR if any(row.health is Health.FAIL for row in rows) else exits.DONE
        name = loaded.host if loaded else host or configfile.short_hostname()
        where = f"config {loaded.shown}" if loaded else "no vmtune.yaml: what init would find"
        for line in text.header(f"host {name}   {where}", "read only", terminal.width):
            terminal.say(line)
        terminal.say()
        for line in shown.lines(rows, terminal.width, terminal.paint):
            terminal.say(line)
        terminal.data(_plain(name, loaded, rows, code))
        return code

    return guarded(terminal, command)


def _loaded(config: str | None, host: str | None) -> Loaded | None:
    """The configuration; None where there is none to be found, and none was named."""
    try:
        return load(config, host)
    except configfile.NoneFound:
        return None


def _plain(host: str, loaded: Loaded | None, rows: Sequence[Row], code: int) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "version": __version__,
        "created": clock.now(),
        "host": host,
        "config": loaded.path if loaded else None,
        "exit": code,
        "rows": [
            {
                "health": {"?": "unseen"}.get(row.health, str(row.health)),
                "subject": row.subject,
                "text": row.text,
                "code": row.code,
                "remedy": row.remedy,
            }
            for row in rows
        ],
    }
