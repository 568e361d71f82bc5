"""What ``vmtune init`` suggests and ``vmtune doctor`` found, as lines of text.

Valid for our own strict reader whatever the host's names are: text that is not
plain ASCII is written in double quotes, whose escapes YAML shares with JSON.
"""

from __future__ import annotations

import json
import re
import textwrap
from collections import Counter
from typing import TYPE_CHECKING, Any

from reconciler.facts.diagnostics import Op
from reconciler.facts.discovered import Health
from reconciler.report.wrap import columns, harmless, led, padded, plain, printable
from reconciler.resources.registry import SECTIONS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from reconciler.facts.discovered import Entry, Row, Suggestion
    from reconciler.report.wrap import Paint


_PLAIN = re.compile(r"[A-Za-z/~][A-Za-z0-9_./~@+-]*(?::[0-9]+)?")

SCHEMA = "vmtune.schema.json"
"""The file that editors look for beside a vmtune.yaml: its first line names it."""


def suggestion(
    of: Suggestion, width: int, *, has_schema: bool = False, as_root: str = ""
) -> Iterator[str]:
    """The whole file, line by line; ``has_schema``: the schema for editors lies beside it.

    ``as_root`` is the command that looks again as root.
    """
    yield f"# yaml-language-server: $schema={SCHEMA}"
    yield "#"
    head = (
        f"vmtune.yaml for {of.host}: what `vmtune init` found there, and what it suggests. Lines "
        "that begin with # declare nothing. Remove the # where you want a line; delete what you do "
        "not want."
    )
    yield from _comment(head, width)
    yield from _next(width, has_schema=has_schema)
    if of.is_right:
        yield "#"
        right = "All is right already: nothing that is declared here would change."
        yield from _comment(right, width)
    yield from _unseen(of, width, as_root)
    yield ""
    yield "version: 1"
    for section in SECTIONS:
        mine = [entry for entry in of.entries if entry.section == section.name]
        yield from _section(section.name, section.title, mine, width)
    if of.apart:
        yield from ("", *_rule("Found, with nothing to declare for it", width))
        for remark in of.apart:
            yield from _comment(remark.text, width, "# - ", "#   ")
    if of.looked_in:
        home = f" (~ is {of.home})" if of.home else ""
        yield from ("", *_rule("Looked in", width))
        yield from _comment(f"{'; '.join(of.looked_in)}{home}.", width)


def _next(width: int, *, has_schema: bool) -> Iterator[str]:
    yield "#"
    for command, text in (
        ("vmtune plan", "reads only, needs no root"),
        ("vmtune apply", "shows the plan again, asks, does it, reads it back"),
    ):
        head = f"#     {command:<19}"
        yield from _comment(text, width, head, "#".ljust(len(head)))
    if not has_schema:
        yield "#"
        yield from _comment(
            "For an editor that knows YAML, put the schema beside this file:", width
        )
        yield "#"
        yield f"#   vmtune schema -o {SCHEMA}"


def _unseen(of: Suggestion, width: int, as_root: str) -> Iterator[str]:
    if not of.unseen:
        return
    yield "#"
    yield from _comment("Not seen:" if of.is_root else "Not seen; root sees more:", width)
    for text in of.unseen:
        yield from _comment(text, width, "#   ")
    yield from [f"#     {as_root}"] * bool(as_root)


def _section(section: str, title: str, entries: Sequence[Entry], width: int) -> Iterator[str]:
    if not entries and section != "paths":
        return
    yield from ("", *_rule(title, width))
    if not entries:
        nothing = "No images of virtual machines were found. When you know where they will be:"
        yield from _comment(nothing, width)
        yield from ("#", "# paths:", "#   - path: ~/libvirt/images", "#     nocow: true")
        return
    is_active = any(entry.active for entry in entries)
    yield f"{section}:" if is_active else f"# {section}:"
    for number, entry in enumerate(entries):
        yield from [""] * bool(number)
        yield from _entry(entry, width)


def _rule(title: str, width: int) -> Iterator[str]:
    """A heading; the line behind it is as long as there is room."""
    *above, last = _comment(title, width, "# --- ", "#     ")
    yield from above
    yield f"{last} ".ljust(min(78, width), "-").rstrip()


def _entry(entry: Entry, width: int) -> Iterator[str]:
    for remark in entry.remarks:
        head = f"  # {remark.label}:".ljust(13)
        yield from _comment(remark.text, width, head, "  #".ljust(13))
    mark = "  " if entry.active else "  # "
    for number, line in enumerate(_yaml(entry.keys)):
        yield f"{mark}{'  ' if number else '- '}{line}"
    for choice in entry.choices:
        (line,) = _yaml({choice.key: choice.value})
        head = f"    {'' if choice.chosen else '# '}{line}".ljust(30)
        yield from _comment(f"# {choice.why}", width, f"{head} ", "    #".ljust(31) + "# ")


def _yaml(keys: Mapping[str, Any]) -> Iterator[str]:
    for key, value in keys.items():
        if isinstance(value, dict):
            yield f"{key}:"
            yield from (f"  {line}" for line in _yaml(value))
        else:
            yield f"{key}: {_scalar(value)}"


def _scalar(value: Any) -> str:
    """As YAML 1.2 reads it back; a list in one line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return f"[{', '.join(map(_scalar, value))}]"
    text = str(value)
    if _PLAIN.fullmatch(text) and text not in {"true", "false"}:
        return text
    return harmless(json.dumps(text, ensure_ascii=False))


def _comment(text: str, width: int, first: str = "# ", rest: str = "") -> Iterator[str]:
    yield from textwrap.wrap(
        harmless(text),
        max(width, 40),
        initial_indent=first,
        subsequent_indent=rest or first,
        break_long_words=False,
        break_on_hyphens=False,
    )


_COLOURS = {
    Health.OK: Op.SAME,
    Health.WARN: Op.CHANGE,
    Health.FAIL: Op.BLOCKED,
    Health.UNSEEN: Op.UNKNOWN,
}

_COUNTED = {Health.OK: "ok", Health.WARN: "warn", Health.FAIL: "fail", Health.UNSEEN: "not seen"}

_HEALTH = 6

_NAMES = 28
"""Columns of the longest subject that others are lined up with."""

_NARROW = 60
"""Below it the text stands under the subject."""


def health(rows: Sequence[Row], width: int, paint: Paint = plain) -> Iterator[str]:
    """A row each, its remedy below it, then how many came out how."""
    shown = [printable(row.subject) for row in rows]
    fitting = [wide for name in shown if (wide := columns(name)) <= _NAMES]
    longest = min(max(fitting, default=0), width // 3) + 2 if width >= _NARROW else 0
    column = 2 + _HEALTH + longest
    for row, name in zip(rows, shown, strict=True):
        head = f"  {row.health:<{_HEALTH}}{name}"
        text = f"{printable(row.text)}   {row.code}"
        if columns(head) + 2 > column:
            found = [head, *led(" " * column, text, width, column)]
        else:
            found = led(padded(head, column), text, width, column)
        found[0] = found[0].replace(row.health, paint(row.health, _COLOURS[row.health]), 1)
        yield from found
        if row.remedy:
            yield from led(" " * column + "-> ", printable(row.remedy), width, column + 3)
    yield ""
    counts = Counter(row.health for row in rows)
    told = [f"{counts[h]} {word}" for h, word in _COUNTED.items() if counts[h] or h is Health.OK]
    yield f"{', '.join(told)}."
