"""Saved plans: written whole, read with suspicion, and checked against the world as it is now."""

from __future__ import annotations

import codecs
import json
import os
import re
import shlex
from typing import TYPE_CHECKING, Any

from reconciler.engine import document, preconditions
from reconciler.engine.model import Notify
from reconciler.engine.place import Swap
from reconciler.errors import HostError
from reconciler.facts.diagnostics import Op
from reconciler.facts.host_view import NotVisible
from reconciler.formats.jsondata import FormatError
from reconciler.linux import files, trusted_input, users
from reconciler.value import Value

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from reconciler.engine.document import Document, World
    from reconciler.engine.model import Action, Plan
    from reconciler.engine.place import Place
    from reconciler.facts.host_view import HostView


_LARGEST = 64 << 20

_PLAN = files.Sort('"format": "vmtune.plan/', "plan that vmtune saved")


def free(path: str) -> str:
    """The absolute path of a plan to be saved; HostError over anything but another plan."""
    return files.checked_output(path, "-o", _PLAN)


def save(path: str, of: Document) -> None:
    """Write it for its owner only, atomically: it says what root is going to do.

    The text is ASCII only: names that are not UTF-8 survive as escapes.
    """
    text = json.dumps(document.plain(of, users.owner), indent=1) + "\n"
    files.replace_output(path, text.encode("ascii"), "-o", _PLAN)


PLAN, CONFIGURATION, DATA, OTHER = "plan", "configuration", "data", "other"

_HEAD = 64 << 10
"""Bytes of a file that are read to see what it is: an image may have hundreds of GiB."""


def sort_of(path: str) -> str:
    """Tell what a regular file is, by its name and how it begins.

    PLAN, CONFIGURATION, DATA (no text, as an image) or OTHER.
    Any JSON object counts as a plan: what is wrong with it, ``load`` says. HostError where the file
    cannot be read.
    """
    if path.lower().endswith((".yaml", ".yml")):
        return CONFIGURATION
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(fd, "rb") as file:
            head = file.read(_HEAD)
    except OSError as error:
        raise HostError(f"{path}: {error.strerror}") from None
    if not _is_text(head):
        return DATA
    if head.lstrip().startswith(b"{"):
        return PLAN
    return CONFIGURATION if re.search(rb"^(\xef\xbb\xbf)?version:", head, re.MULTILINE) else OTHER


def _is_text(head: bytes) -> bool:
    """Tell whether a file that begins so can be text; its last character may be cut off."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return b"\0" not in head


def load(path: str) -> Document:
    """Read it; HostError when it is no plan, or (as root) when others could have written it."""
    text = trusted_input.read_trusted(path, _LARGEST)
    try:
        return document.read_document(json.loads(text))
    except (ValueError, RecursionError, FormatError) as error:
        if sort_of(path) == CONFIGURATION:
            name = shlex.quote(path)
            raise HostError(
                f"{path} is a configuration, not a saved plan",
                f"`vmtune plan --config {name}` shows what it would change",
            ) from None
        hint = "make it again with `vmtune plan -o`"
        raise HostError(f"{path} is no saved plan: {error}", hint) from None


class Checked(Value):
    """What of a saved plan is still to be done, or why none of it may be."""

    todo: tuple[Action, ...]
    stale: tuple[str, ...]


def check(saved: Document, world: World, now: Plan, host: HostView) -> Checked:
    """Per action: what it was planned on holds: to do; its result holds: done; else stale.

    ``now`` is the plan of this moment: a saved plan does nothing that it
    refuses, and nothing that the configuration does not ask for.
    """
    swaps = [action for action in saved.plan.actions if isinstance(action, Swap)]
    asked = {action.place: action.want for action in now.actions if isinstance(action, Swap)}
    states = {swap.place: _state(swap, host, asked) for swap in swaps}
    stale = [
        *_elsewhere(saved.world, world),
        *_rests(saved, host),
        *(states[swap.place] for swap in swaps if states[swap.place] not in {"todo", "done"}),
        *_refused(saved.plan, now),
    ]
    todo = {place for place, state in states.items() if state == "todo"}
    actions = tuple(
        action
        for action in saved.plan.actions
        if isinstance(action, Notify) or action.place in todo
    )
    if not any(isinstance(action, Swap) for action in actions):
        actions = tuple(action for action in actions if action in now.actions)
    return Checked(actions, tuple(stale))


def _state(swap: Swap, host: HostView, asked: Mapping[Place[Any], Any]) -> str:
    place = swap.place
    where = f"{swap.owner}: {place.label}"
    try:
        found: Any = host(place)
    except NotVisible as hidden:
        return f"{where}: {hidden.why}"
    if found == swap.want:
        return "done"
    if found != swap.have and not place.half_done(swap.have, found, swap.want):
        return f"{where}: planned on {place.words(swap.have)}, found {place.words(found)}"
    if place not in asked or asked[place] != swap.want:
        return f"{where}: planned to become {place.words(swap.want)}, which is not asked for now"
    return "todo"


def _elsewhere(planned: World, found: World) -> Iterator[str]:
    if planned.machine != found.machine:
        yield f"machine: planned for {planned.host}, this is another one"
    if planned.host != found.host:
        yield f"host: planned for {planned.host}, this is {found.host}"
    if planned.kernel != found.kernel:
        yield f"kernel: planned on {planned.kernel}, found {found.kernel}"
    if planned.digest != found.digest:
        yield f"{planned.config}: its text changed since the plan was made"


def _rests(saved: Document, host: HostView) -> Iterator[str]:
    if saved.facts is None:
        yield f"made by vmtune {saved.version}, which did not write down which directories it saw"
    else:
        yield from preconditions.changed(saved.facts, host)


def _refused(saved: Plan, now: Plan) -> Iterator[str]:
    """What the plan of this moment refuses of it, as a whole or (images) in part."""
    planned = {f"{change.kind} {change.name}" for change in saved.changes if change.swaps}
    known = {f"{change.kind} {change.name}" for change in saved.changes}
    images = tuple(f"{row}/" for row in planned if row.startswith("images "))
    for change in now.changes:
        row = f"{change.kind} {change.name}"
        is_part = row not in known and row.startswith(images)
        if change.op is Op.BLOCKED and (row in planned or is_part):
            yield f"{row}: {change.text}"
