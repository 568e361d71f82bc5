"""Status as one page that needs nothing else: no script, no network, every word escaped.

What colours tell in its charts (inline SVG), patterns and words tell too.
"""

from __future__ import annotations

import re
from html import escape
from typing import TYPE_CHECKING

from reconciler.facts.diagnostics import Op
from reconciler.formats.sizes import binary, counted
from reconciler.report import bar as bars
from reconciler.report import status as status_report
from reconciler.report.status import verdict
from reconciler.report.text import COUNTED, WAITING
from reconciler.report.wrap import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from reconciler.engine.model import Change, Plan
    from reconciler.facts.compression import Compression
    from reconciler.facts.host import Layout
    from reconciler.report.standing import Effect, PathEffect, Report


MARK = "<!-- written by vmtune status -->"
"""The page's second line: only what has it may be written over."""

_LOOKS = {
    Op.SAME: "good",
    Op.UNKNOWN: "unknown",
    Op.WAITS: "unknown",
    Op.ADD: "bad",
    Op.CHANGE: "bad",
    Op.REMOVE: "bad",
    Op.BLOCKED: "bad",
}

_CODE = re.compile(r"`([^`]+)`")

_SIZE = re.compile(r"(?<=\d) (?=[KMGTP]?i?B\b)")


def page(of: Report, host: str, config: str, created: str) -> str:
    """The whole page; ``created`` is ISO 8601."""
    title = f"{_text(host)}: virtual machine images on Btrfs"
    body = "\n".join(_body(of, title, config, created))
    return (
        f'<!DOCTYPE html>\n{MARK}\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>{CSS}</style>\n</head>\n<body>\n{body}\n"
        "</body>\n</html>\n"
    )


def _text(text: str) -> str:
    """Escaped; a size stays on one line."""
    return _SIZE.sub("&nbsp;", escape(printable(text)))


def _sentence(text: str, code: str = "") -> str:
    """What is in backticks is to be typed; a code is to be asked about."""
    behind = f' <code class="soft">{code}</code>' if code else ""
    return _CODE.sub(r"<code>\1</code>", _text(text)) + behind


def _body(of: Report, title: str, config: str, created: str) -> Iterator[str]:
    yield PATTERNS
    yield f"<h1>{title}</h1>"
    yield f'<p class="soft">{_text(config)}, {_text(created.replace("T", " ")[:16])}</p>'
    yield f'<p class="verdict {_look(of.plan)}">{_text(verdict(of.plan))}</p>'
    if of.plan.changes:
        yield "<h2>As declared?</h2>"
        yield f'<ul class="rows">{"".join(map(_row, of.plan.changes))}</ul>'
    yield from _images(of.effect)
    yield from _filesystems(of.effect)
    if of.effect.schedules:
        yield "<h2>Schedules</h2>"
        rows = (f"<li>{_text(status_report.scheduled(each))}</li>" for each in of.effect.schedules)
        yield f'<ul class="rows">{"".join(rows)}</ul>'
    yield (
        "<footer>Written by <code>vmtune status</code>: read only, nothing was changed. "
        "<code>vmtune explain V101</code> tells more of a code.</footer>"
    )


def _look(of: Plan) -> str:
    if of.actions or of.count(Op.BLOCKED):
        return "bad"
    return "unknown" if of.count(Op.UNKNOWN) or of.count(Op.WAITS) else "good"


def _row(change: Change) -> str:
    look, words = _LOOKS[change.op], dict((*COUNTED, WAITING))[change.op]
    below = [_sentence(note.text, note.code) for note in change.notes]
    if change.hint:
        below.append(_sentence(change.hint))
    said = "".join(f"<p>{each}</p>" for each in below)
    return (
        f'<li><b class="op {look}" title="{words}">{_text(change.op.value)}</b>'
        f"<b>{_text(change.kind)} {_text(change.name)}</b> "
        f"{_sentence(change.text, change.code)}{said}</li>"
    )


def _images(of: Effect) -> Iterator[str]:
    if not of.paths:
        return
    yield "<h2>How the images lie on disk</h2>"
    shown = [
        each for path in of.paths if path.layouts for each in status_report.named(path.layouts)
    ]
    used = {name for each in shown for name, _ in bars.parts(each)}
    if used:
        samples = (swatch(name) for name in bars.WORDS if name in used)
        yield f'<div class="legend">{"".join(samples)}</div>'
    for path in of.paths:
        yield from _path(path, of)
    if of.before.is_hidden:
        yield f'<p class="soft">{_text(status_report.BEFORE_IS_ROOTS)}</p>'


def _path(path: PathEffect, of: Effect) -> Iterator[str]:
    if path.layouts is None:
        yield f"<h3>{_text(path.name)}</h3><p>? {_text(path.hidden)}</p>"
        return
    told = status_report.total(path.layouts)
    yield f'<h3>{_text(path.name)} <span class="soft">{_text(told)}</span></h3>'
    for image in status_report.named(path.layouts):
        yield _figure(image, status_report.inside(path.path, image.path), of)
    if more := status_report.rest(path.layouts):
        yield f'<p class="soft">{_text(more)}</p>'


def _figure(image: Layout, name: str, of: Effect) -> str:
    trend = _trend(image, of)
    told = " · ".join(status_report.told(image, None if trend else of))
    caption = f"<figcaption><b>{_text(name)}</b> <span>{_text(told)}</span></figcaption>"
    bar = stacked(bars.parts(image))
    return f"<figure>{caption}{bar}{trend}</figure>"


def _trend(image: Layout, of: Effect) -> str:
    """Fragments before and now, one bar each, where the journal knows them and they differ."""
    was, now = status_report.before(image, of), image.fragments
    if was is None or now is None:
        return ""
    rows = (("before", was, "cow"), ("now", now, "nocow" if image.nocow else "cow"))
    told = "".join(
        f"<dt>{when}: {counted(pieces, 'fragment')}</dt>"
        f"<dd>{counted_bar(pieces, max(was, now, 1), look, counted(pieces, 'fragment'))}</dd>"
        for when, pieces, look in rows
    )
    return f'<dl class="trend">{told}</dl>'


def _filesystems(of: Effect) -> Iterator[str]:
    if not of.filesystems:
        return
    yield "<h2>Compression</h2>"
    if any(path.layouts and path.layouts.measured for path in of.paths):
        yield f'<div class="legend">{swatch("compressed")}{swatch("plain")}</div>'
    for filesystem in of.filesystems:
        yield _filesystem(filesystem, of.paths)


def _filesystem(of: Compression, paths: Iterable[PathEffect]) -> str:
    """The setting, and how much of the images' data it has caught."""
    mine = [path.layouts for path in paths if path.uuid == of.uuid and path.layouts]
    data = sum(each.data for layouts in mine for each in layouts.measured)
    packed = sum(each.compressed for layouts in mine for each in layouts.measured)
    facts = {
        "now": of.now,
        "at boot": of.boot or "not known",
        "decided by": of.by,
        "mounted at": " ".join(of.where),
        "images": f"{binary(packed)} of {binary(data)} are compressed" if data else "none",
    }
    rows = "".join(f"<dt>{name}</dt><dd>{_text(fact)}</dd>" for name, fact in facts.items())
    split = [("compressed", packed), ("plain", data - packed)]
    bar = stacked([part for part in split if part[1]]) if data else ""
    name = of.label or of.uuid
    return f"<figure><figcaption><b>{_text(name)}</b></figcaption>{bar}<dl>{rows}</dl></figure>"


_WORDS = {**bars.WORDS, "plain": "not compressed"}

_CELLS = 400
"""Steps of a bar: the smallest part gets one, so as to be seen."""

_PATTERNS = {
    "cow": '<path class="mark" d="M-2 2 L2 -2 M0 8 L8 0 M6 10 L10 6"/>',
    "compressed": '<circle class="dot" cx="2" cy="2" r="1"/><circle class="dot" cx="6" cy="6" '
    'r="1"/>',
    "shared": '<path class="mark" d="M0 0 L8 8 M8 0 L0 8"/>',
    "unread": '<path class="mark" d="M2 0 L2 8 M6 0 L6 8"/>',
}

PATTERNS = (
    '<svg width="0" height="0" style="position:absolute" aria-hidden="true"><defs>'
    + "".join(
        f'<pattern id="p-{name}" width="8" height="8" patternUnits="userSpaceOnUse">'
        f'<rect class="{name}" width="8" height="8"/>{inside}</pattern>'
        for name, inside in _PATTERNS.items()
    )
    + "</defs></svg>"
)
"""Once on a page that has bars."""


def stacked(parts: Sequence[tuple[str, int]]) -> str:
    """Parts side by side, in proportion to their bytes; hovering, or a reader, tells each."""
    total = sum(size for _, size in parts) or 1
    told = ", ".join(f"{_WORDS.get(name, name)} {binary(size)}" for name, size in parts)
    return f'<svg class="bar" role="img" aria-label="{escape(told)}">{_rects(parts, total)}</svg>'


def _rects(parts: Sequence[tuple[str, int]], total: int) -> str:
    made, at = [], 0
    for (name, size), (_, cells) in zip(parts, bars.cells(parts, _CELLS), strict=True):
        title = f"{_WORDS.get(name, name)}: {binary(size)}, {100 * size / total:.0f} %"
        made.append(
            f'<rect {_charts_look(name)} x="{100 * at / _CELLS}%" width="{100 * cells / _CELLS}%" '
            f'height="100%"><title>{escape(title)}</title></rect>'
        )
        at += cells
    return "".join(made)


def _charts_look(name: str) -> str:
    return f'fill="url(#p-{name})"' if name in _PATTERNS else f'class="{name}"'


def swatch(name: str) -> str:
    """A sample for the legend."""
    look = _charts_look(name)
    return (
        f'<span><svg aria-hidden="true"><rect {look} width="100%" height="100%"/></svg>'
        f"{_WORDS[name]}</span>"
    )


def counted_bar(value: int, most: int, name: str, told: str) -> str:
    """One number as a bar, of which ``most`` would fill the line."""
    share = max(0.5, 100 * value / most) if value else 0  # one of 48,211 is to be seen
    return (
        f'<svg class="pieces" role="img" aria-label="{escape(told)}">'
        f'<rect {_charts_look(name)} width="{share:.3f}%" height="100%"/></svg>'
    )


CSS = """
:root { color-scheme: light dark; --paper: #fff; --ink: #1d2129; --soft: #5b6472; --line: #dde1e7;
  --card: #f6f7f9; --nocow: #1a7f4b; --cow: #d18b00; --compressed: #8250c4; --shared: #cf3f3f;
  --hole: #e6e9ee; --good: #1a7f4b; --bad: #b3261e; --unknown: #8250c4; }
@media (prefers-color-scheme: dark) { :root { --paper: #14171c; --ink: #e6e9ee; --soft: #9aa4b2;
  --line: #323841; --card: #1c2027; --nocow: #3fb27c; --cow: #e0a52e; --compressed: #a98ae6;
  --shared: #f07a72; --hole: #2a3038; --good: #3fb27c; --bad: #f07a72; --unknown: #a98ae6; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 64rem; padding: 1.5rem 1rem 3rem; background: var(--paper);
  color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; margin: 0; } h2 { font-size: 1.15rem; margin: 2.25rem 0 .5rem; }
h3 { font-size: 1rem; margin: 1.25rem 0 .5rem; overflow-wrap: anywhere; }
p { margin: .25rem 0; } .soft, figcaption span { color: var(--soft); }
.verdict { border-left: .35rem solid; border-radius: .25rem; background: var(--card);
  font-size: 1.15rem; margin: 1.25rem 0; padding: .6rem .9rem; }
.good { border-color: var(--good); } .bad { border-color: var(--bad); }
.unknown { border-color: var(--unknown); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1rem; margin: 0; }
dl.trend { align-items: center; column-gap: .8rem; font-size: .9rem;
  font-variant-numeric: tabular-nums; }
@media (max-width: 32rem) { dl.trend { grid-template-columns: 1fr; } }
code { font: .95em ui-monospace, monospace; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
ul.rows { list-style: none; margin: 0; padding: 0; }
ul.rows li { border-top: 1px solid var(--line); padding: .45rem 0 .45rem 1.6rem;
  position: relative; overflow-wrap: anywhere; }
ul.rows b.op { font-family: ui-monospace, monospace; left: .3rem; position: absolute; }
ul.rows p { color: var(--soft); font-size: .9rem; }
.op.bad { color: var(--bad); } .op.good { color: var(--good); }
.op.unknown { color: var(--unknown); }
figure { background: var(--card); border-radius: .4rem; margin: .6rem 0; padding: .6rem .8rem; }
figcaption { overflow-wrap: anywhere; } figcaption span { font-size: .9rem; }
svg.bar { display: block; height: 1.5rem; margin: .35rem 0; width: 100%; }
svg.pieces { display: block; height: .6rem; width: 100%; }
.nocow { fill: var(--nocow); } .cow { fill: var(--cow); } .compressed { fill: var(--compressed); }
.shared { fill: var(--shared); } .hole, .unread { fill: var(--hole); }
.plain { fill: var(--soft); }
.mark { stroke: var(--paper); stroke-width: 1.5; fill: none; } .dot { fill: var(--paper); }
.legend { display: flex; flex-wrap: wrap; gap: .3rem 1.2rem; margin: .8rem 0; }
.legend svg { height: .9rem; margin-right: .4rem; vertical-align: -.1rem; width: 1.8rem; }
footer { border-top: 1px solid var(--line); color: var(--soft); font-size: .9rem;
  margin-top: 2.5rem; padding-top: .6rem; }
"""
