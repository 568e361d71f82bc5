"""The last fence around a command: every error becomes one clear line on standard error.

Where the answer is JSON, it becomes the one document too.
"""

from __future__ import annotations

import os
import sys

from reconciler import exits
from reconciler.terminal import Terminal, Unheard

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any


def asked(arguments: Sequence[str]) -> Terminal:
    """The terminal for what goes wrong before, or outside of, a command with one of its own."""
    return Terminal(json="--json" in arguments)


def fenced(command: Callable[[], Any], terminal: Terminal) -> int:
    """The exit code; never an exception, but where VMTUNE_DEBUG asks for it."""
    try:
        code = command()
    except KeyboardInterrupt:
        terminal.complain("interrupted; nothing was changed")
        return exits.INTERRUPTED
    except Unheard as unheard:
        if str(unheard):
            terminal.complain(f"the answer cannot be written: {unheard}")
        return exits.ERROR
    except BrokenPipeError:
        # The reader of a pipe went away; without this Python complains at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return exits.ERROR
    except Exception as error:  # noqa: BLE001 - no traceback reaches a user
        return _unexpected(error, terminal)
    return code if isinstance(code, int) else exits.DONE


def _unexpected(error: Exception, terminal: Terminal) -> int:
    if os.environ.get("VMTUNE_DEBUG"):
        raise error
    terminal.complain(
        f"this is a fault of vmtune: {type(error).__name__}: {error}",
        "VMTUNE_DEBUG=1 shows where; please report it with that",
    )
    return exits.ERROR
