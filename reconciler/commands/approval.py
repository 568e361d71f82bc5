"""Whether the host may be changed: becoming root, and yes said by a person or in advance."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from reconciler import exit_codes
from reconciler.engine import document
from reconciler.errors import HostError
from reconciler.facts.diagnostics import Op
from reconciler.linux import machine, process, trusted_input, users
from reconciler.report import wrap

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from reconciler.commands.load import Loaded
    from reconciler.console import Terminal
    from reconciler.engine.model import Action, Plan


_WITHOUT_ASKING = {"sudo": ["-n"], "doas": ["-n"], "run0": ["--no-ask-password"]}
"""In the order in which they are looked for; all of these tell root who called."""


def root_line(loaded: Loaded | None, *words: str) -> str:
    """Return the shortest command that does it as root, to be typed: all that advise it ask here.

    What root finds by itself is left out: the configuration of the person who calls, and the
    path of a vmtune that lies where sudo looks for programs.
    """
    try:
        program = os.path.basename(_program())
    except HostError:
        program = ""
    named: list[str] = []
    if loaded and (loaded.is_draft or loaded.path != trusted_input.found_by_root()):
        named = loaded.config_words
    here = loaded.host_words if loaded else []
    shown = machine.typed_command() or shlex.join(machine.own_command())
    who = [] if program in {*_WITHOUT_ASKING, ""} else ["env", f"SUDO_USER={users.caller().name}"]
    around = " ".join([program or "sudo", *who])
    return f"{around} {shown} {shlex.join([*named, *here, *words])}".rstrip()


def become_root(
    terminal: Terminal, loaded: Loaded, command_name: str, options: Sequence[str]
) -> int:
    """Replace this process by the same command as root; HostError when there is no way to.

    With --json it is waited for, and its exit code given: whoever reads the
    events is told how it ended also where sudo never let it begin.
    """
    program = _program()
    # The output of root shall look like this one: sudo drops the environment.
    look = ["--color", "always" if terminal.coloured else "never"]
    look += ["-v"] * terminal.verbose + ["-q"] * terminal.quiet
    words = [*look, command_name, *options, *["--json"] * terminal.json]
    command = [*machine.own_command(), *loaded.config_words, *loaded.host_words, *words]
    if not program:
        named = os.environ.get("VMTUNE_SUDO")
        none = f"VMTUNE_SUDO={named}" if named else "neither sudo nor doas nor run0"
        raise HostError(
            f"{command_name} needs root, and there is {none}; nothing was changed",
            f"as root: {shlex.join(_whole('', [], command))}",
        )
    quiet = [] if terminal.can_ask else _WITHOUT_ASKING.get(os.path.basename(program), [])
    whole = _whole(program, quiet, command)
    unasked = ", without a terminal to ask for a password on" if quiet else ""
    lead = f"needs root{unasked}: "
    for told in wrap.command(shlex.join(whole), terminal.width_beside, 0, lead):
        terminal.progress(told)
    terminal.event("root", command=whole)
    try:
        return _followed(terminal, whole) if terminal.json else _waited_for(terminal, whole)
    except OSError as error:
        raise HostError(f"{program}: {error.strerror}; nothing was changed") from None


def _waited_for(terminal: Terminal, whole: Sequence[str]) -> int:
    """Give the exit code of the command; say so where Ctrl-C ended it before vmtune began.

    vmtune has a word for Ctrl-C, and another exit code. sudo and its like ask for a password
    until then, and end with 1, or by the signal, without a word.
    """
    code, is_interrupted = process.attend(whole)
    name = os.path.basename(whole[0])
    if is_interrupted and (code == exit_codes.ERROR or code < 0):
        terminal.complain(f"interrupted while {name} asked for a password; nothing was changed")
        return exit_codes.INTERRUPTED
    if code < 0:
        terminal.complain(
            f"{name} was ended by signal {-code}", "`vmtune history` says how far it came"
        )
    return _as_shell(code)


def _as_shell(code: int) -> int:
    """Give an exit code as a shell has it: above 128, the signal that ended the program."""
    return code if code >= 0 else 128 - code


def _followed(terminal: Terminal, whole: Sequence[str]) -> int:
    heard: list[Mapping[str, Any]] = []
    told = replace(terminal, lenient=True)  # a reader that goes away stops nothing

    def line(text: str) -> None:
        try:
            heard.append(json.loads(text))
        except ValueError:  # what sudo itself prints
            terminal.report(text)
            return
        if heard[-1].get("event") != "exit":
            told.data(heard[-1])

    code = _as_shell(process.attend(whole, line)[0])
    if heard and heard[-1].get("event") == "exit":
        return int(heard[-1]["code"])
    name = os.path.basename(whole[0])
    if not heard:
        raise HostError(f"{name} ended with {code} before vmtune ran; nothing was changed")
    terminal.complain(
        f"{name} ended with {code} while vmtune ran", "`vmtune history` says how far it came"
    )
    return exit_codes.PART_WAY


def _program() -> str:
    """What $VMTUNE_SUDO names, else the first that is installed; "" for none."""
    chosen = os.environ.get("VMTUNE_SUDO", "")
    if chosen == "none":
        return ""
    if chosen:
        found = chosen if os.path.isabs(chosen) else process.find(chosen)
        if not os.path.isfile(found) or not os.access(found, os.X_OK):
            raise HostError(
                f"VMTUNE_SUDO={chosen}: there is no such program; nothing was changed",
                "it is sudo, doas, run0, an absolute path, or none",
            )
        return found
    return next((path for name in _WITHOUT_ASKING if (path := process.find(name))), "")


def _whole(program: str, quiet: Sequence[str], command: Sequence[str]) -> list[str]:
    """With the caller's name where nobody else would tell it: ``~`` must not become /root."""
    told = os.path.basename(program) in _WITHOUT_ASKING
    who = [] if told else [process.find("env"), f"SUDO_USER={users.caller().name}"]
    return [*[program] * bool(program), *quiet, *who, *command]


def token(plan: Plan) -> str:
    """What a person saw and said yes to, short enough for a command line.

    128 bits for what would be done, a dash, and 32 for what is shown of it. Root may see more than
    they did: then the rows differ, and where the actions differ the yes is worth nothing.
    """
    rows = repr([(change.op.value, change.kind, change.name) for change in plan.changes])
    return f"{digest(plan.actions)}-{hashlib.sha256(rows.encode()).hexdigest()[:8]}"


def digest(actions: Sequence[Action]) -> str:
    return document.digest(actions)[:32]


def is_of(approved: str, actions: Sequence[Action]) -> bool:
    """Whether a token from the command line is a yes to actions, whatever was shown of them."""
    return approved.partition("-")[0] == digest(actions)


def worth_root(terminal: Terminal, plan: Plan, *, yes: bool) -> bool:
    """Whether root may see more, and somebody can say yes to what it finds."""
    unseen = plan.count(Op.UNKNOWN) and not users.is_root()
    return bool(unseen) and (yes or terminal.can_ask)


def hushed(terminal: Terminal, *, yes: bool) -> Terminal:
    """The terminal that says only what is wrong, where that is asked for and nobody is asked."""
    return replace(terminal, hushed=True) if terminal.quiet and yes else terminal


def granted(  # noqa: PLR0913 - what is asked, and whether
    terminal: Terminal,
    plan: Plan | None,
    actions: Sequence[Action],
    approved: str,
    *,
    yes: bool,
    ask: str = "",
) -> bool:
    """True when told yes in advance, or by the person at the terminal; says so when not.

    Asked is for the rows of the ``plan`` that change something, as its last line counts them.
    """
    if yes or not actions or is_of(approved, actions):
        return True
    if not terminal.can_ask:
        terminal.complain(
            "there is no terminal to ask on; nothing was changed",
            "run it on a terminal, or add --yes to go on without a question",
        )
        return False
    steps = len(plan.steps) if plan else len(actions)
    question = ask or f"Make {'this change' if steps == 1 else f'these {steps:,} changes'}?"
    if terminal.ask(f"\n{question}"):
        return True
    terminal.complain("not a yes; nothing was changed")
    return False
