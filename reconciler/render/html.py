"""Status as one page that needs nothing else: no script, no network, every word escaped."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from reconciler.core.model import Op
from reconciler.core.sizes import binary, counted
from reconciler.render import bars, charts
from reconciler.render import effect as words
from reconciler.render.layout import printable
from reconciler.render.status import verdict
from reconciler.render.stylesheet import CSS

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


def page(of: Report, host: str, config: str, created: str) -> str:
    """The whole page; ``created`` is ISO 8601."""
    title = f"{_text(host)}: virtual machine images on Btrfs"
    body = "\n".join(_body(of, host, config, created))
    return (
        f'<!DOCTYPE html>\n{MARK}\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>{CSS}</style>\n</head>\n<body>\n{body}\n"
        "</body>\n</html>\n"
    )


def _text(text: str) -> str:
    return escape(printable(text))


def _body(of: Report, host: str, config: str, created: str) -> Iterator[str]:
    yield charts.PATTERNS
    yield f"<h1>{_text(host)}</h1>"
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
    yield "<footer>vmtune status. Read only: nothing was changed.</footer>"


def _look(of: Plan) -> str:
    if of.actions or of.count(Op.BLOCKED):
        return "bad"
    return "unknown" if of.count(Op.UNKNOWN) or of.count(Op.WAITS) else "good"


def _row(change: Change) -> str:
    look = _LOOKS[change.op]
    code = f' <span class="soft">{change.code}</span>' if change.code else ""
    below = [*(note.text for note in change.notes), *filter(None, [change.hint])]
    said = "".join(f"<p>{_text(each)}</p>" for each in below)
    return (
        f'<li><b class="op {look}">{_text(change.op.value)}</b>'
        f"<b>{_text(change.kind)} {_text(change.name)}</b> {_text(change.text)}{code}{said}</li>"
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
    told = " · ".join(words.told(image, of))
    caption = f"<figcaption><b>{_text(name)}</b> <span>{_text(told)}</span></figcaption>"
    bar = charts.stacked(bars.parts(image))
    return f"<figure>{caption}{bar}{_trend(image, of)}</figure>"


def _trend(image: Layout, of: Effect) -> str:
    """Fragments before and now, one bar each, where the journal knows them and they differ."""
    was, now = words.before(image, of), image.fragments
    if was is None or now is None:
        return ""
    most = max(was, now, 1)
    then, there = (f"{counted(each, 'fragment')}" for each in (was, now))
    return (
        f'<p class="soft">before: {then}</p>{charts.counted(was, most, "cow", then)}'
        f'<p class="soft">now: {there}</p>'
        f"{charts.counted(now, most, 'nocow' if image.nocow else 'cow', there)}"
    )


def _filesystems(of: Effect) -> Iterator[str]:
    if not of.filesystems:
        return
    yield "<h2>Compression</h2>"
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
