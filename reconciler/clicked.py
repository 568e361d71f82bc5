"""The command line as click reads it: what click itself says and fails at, made vmtune's own."""

from __future__ import annotations

import os
import sys

import click

from reconciler import exits
from reconciler.cli import cli
from reconciler.fence import asked, fenced
from reconciler.terminal import unheard

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Any

    from reconciler.terminal import Terminal

_TELLING = frozenset({"apply", "defrag"})
"""With --json they print lines, of which the last one is the exit code."""


def run(arguments: Sequence[str]) -> int:
    """The exit code; every error becomes one clear line on standard error."""
    terminal = asked(arguments)
    return fenced(lambda: _run(arguments, terminal), terminal)


def _run(arguments: Sequence[str], terminal: Terminal) -> Any:
    try:
        return cli.main(list(arguments) or ["--help"], prog_name="vmtune", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        code = exits.USAGE if isinstance(error, click.UsageError) else exits.ERROR
        terminal.fail([{"message": error.format_message(), "hint": ""}])
        context = getattr(error, "ctx", None)
        if context and context.info_name in _TELLING:
            terminal.event("exit", code=code)
        return code
    except click.Abort:
        raise KeyboardInterrupt from None
    except OSError as error:
        if not _is_clicks(error.__traceback__):
            raise
        raise unheard(sys.stdout, error) from None
    except (KeyError, ValueError, IndexError):
        if not os.environ.get("_VMTUNE_COMPLETE"):
            raise
        terminal.complain("_VMTUNE_COMPLETE is for the script of `vmtune completion` alone")
        return exits.USAGE


def _is_clicks(trace: TracebackType | None) -> bool:
    """Whether it was click that could not print: --help, --version, completions."""
    while trace and trace.tb_next:
        trace = trace.tb_next
    return trace is not None and trace.tb_frame.f_globals.get("__name__") == "click.utils"
