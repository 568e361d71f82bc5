"""Status as one page that needs nothing else: no script, no network, every word escaped."""

from __future__ import annotations

import re
from html import escape
from typing import TYPE_CHECKING

from reconciler.core.model import Op
from reconciler.core.sizes import binary, counted
from reconciler.render import bars, charts
from reconciler.render import effect as words
from reconciler.render.layout import printable
from reconciler.render.status import verdict
from reconciler.render.stylesheet import CSS
from reconciler.render.text import COUNTED, WAITING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from reconciler.core.compression import Compression
    from reconciler.core.effect import Effect, PathEffect
    from reconciler.core.layout import Layout
    from reconciler.core.model import Change, Plan
    from reconciler.core.status import Report

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
    yield charts.PATTERNS
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
        rows = (f"<li>{_text(words.scheduled(each))}</li>" for each in of.effect.schedules)
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
    shown = [each for path in of.paths if path.layouts for each in words.named(path.layouts)]
    used = {name for each in shown for name, _ in bars.parts(each)}
    if used:
        samples = (charts.swatch(name) for name in bars.WORDS if name in used)
        yield f'<div class="legend">{"".join(samples)}</div>'
    for path in of.paths:
        yield from _path(path, of)


def _path(path: PathEffect, of: Effect) -> Iterator[str]:
    if path.layouts is None:
        yield f"<h3>{_text(path.name)}</h3><p>? {_text(path.hidden)}</p>"
        return
    told = words.total(path.layouts)
    yield f'<h3>{_text(path.name)} <span class="soft">{_text(told)}</span></h3>'
    for image in words.named(path.layouts):
        yield _figure(image, words.inside(path.path, image.path), of)
    if more := words.rest(path.layouts):
        yield f'<p class="soft">{_text(more)}</p>'


def _figure(image: Layout, name: str, of: Effect) -> str:
    trend = _trend(image, of)
    told = " · ".join(words.told(image, None if trend else of))
    caption = f"<figcaption><b>{_text(name)}</b> <span>{_text(told)}</span></figcaption>"
    bar = charts.stacked(bars.parts(image))
    return f"<figure>{caption}{bar}{trend}</figure>"


def _trend(image: Layout, of: Effect) -> str:
    """Fragments before and now, one bar each, where the journal knows them and they differ."""
    was, now = words.before(image, of), image.fragments
    if was is None or now is None:
        return ""
    rows = (("before", was, "cow"), ("now", now, "nocow" if image.nocow else "cow"))
    told = "".join(
        f"<dt>{when}: {counted(pieces, 'fragment')}</dt>"
        f"<dd>{charts.counted(pieces, max(was, now, 1), look, counted(pieces, 'fragment'))}</dd>"
        for when, pieces, look in rows
    )
    return f'<dl class="trend">{told}</dl>'


def _filesystems(of: Effect) -> Iterator[str]:
    if not of.filesystems:
        return
    yield "<h2>Compression</h2>"
    if any(path.layouts and path.layouts.measured for path in of.paths):
        yield f'<div class="legend">{charts.swatch("compressed")}{charts.swatch("plain")}</div>'
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
    bar = charts.stacked([part for part in split if part[1]]) if data else ""
    name = of.label or of.uuid
    return f"<figure><figcaption><b>{_text(name)}</b></figcaption>{bar}<dl>{rows}</dl></figure>"
