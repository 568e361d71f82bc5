"""How a command is called: by its name, and with one end for what is wrong with the input."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from reconciler import exit_codes
from reconciler.errors import ConfigErrors, Held, HostError, Misused
from reconciler.linux import selinux
from reconciler.report import text

if TYPE_CHECKING:
    from collections.abc import Callable

    from reconciler.console import Chosen, Terminal


def call(name: str, chosen: Chosen, /, **given: Any) -> int:
    """Have ``run`` of the module of that name do what the arguments say; return its exit code."""
    command = import_module(f"reconciler.commands.{name}")
    return guarded(chosen.terminal, lambda: command.run(chosen, **given))


def guarded(terminal: Terminal, command: Callable[[], int]) -> int:
    """Run a command; problems with the input end in messages and exit code 1."""
    try:
        return command()
    except ConfigErrors as problems:
        terminal.report(text.problems(problems.problems))
        terminal.fail(
            [
                {**each.origin._asdict(), "message": each.message, "hint": each.hint}
                for each in problems.problems
            ]
        )
        return exit_codes.ERROR
    except Misused as misused:
        terminal.complain(misused.message, misused.hint)
        return exit_codes.USAGE
    except HostError as refused:
        terminal.complain(refused.message, refused.hint or selinux.hint(refused.message))
        return exit_codes.ERROR
    except Held as held:
        terminal.complain(str(held), "try again when it is done")
        return exit_codes.LOCKED
