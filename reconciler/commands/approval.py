"""Whether the host may be changed: root, and told so by a person or in advance."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

from reconciler.engine import codec
from reconciler.facts.diagnostics import Op
from reconciler.linux import users

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.console import Terminal
    from reconciler.engine.model import Action, Plan


def token(plan: Plan) -> str:
    """What a person saw and said yes to, short enough for a command line.

    128 bits for what would be done, a dash, and 32 for what is shown of it. Root may see more than
    they did: then the rows differ, and where the actions differ the yes is worth nothing.
    """
    rows = repr([(change.op.value, change.kind, change.name) for change in plan.changes])
    return f"{digest(plan.actions)}-{hashlib.sha256(rows.encode()).hexdigest()[:8]}"


def digest(actions: Sequence[Action]) -> str:
    return codec.digest(actions)[:32]


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
