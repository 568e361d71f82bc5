"""Status as one page that needs nothing else: no script, no network, every word escaped.

Colours come from variables, so that one place has them for light and for dark.

What colours tell in its charts (inline SVG), patterns and words tell too. Each chart is a table
whose figures stand beside the bars, so a reader that sees no pictures misses nothing.
"""

from __future__ import annotations

import math
import re
from html import escape
from typing import TYPE_CHECKING

from reconciler.facts.diagnostics import Op
from reconciler.formats.sizes import binary, counted
from reconciler.report import bar as bars
from reconciler.report import history as history_report
from reconciler.report import status as status_report
from reconciler.report.text import COUNTED, counted_quiet, label
from reconciler.report.verdict import brought, verdict, worst
from reconciler.report.wrap import harmless

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from reconciler.engine.last_applied import Run
    from reconciler.engine.model import Change, Plan
    from reconciler.engine.place import Who
    from reconciler.engine.resource import ScheduleRuns
    from reconciler.facts.images import ImageLayout
    from reconciler.report.standing import Effect, PathEffect, Report, Step


_DOTS = '<circle class="dot" cx="2" cy="2" r="1.3"/><circle class="dot" cx="6" cy="6" r="1.3"/>'

_PATTERNS = {
    "cow": ("cow", '<path class="mark" d="M-2 2 L2 -2 M0 8 L8 0 M6 10 L10 6"/>'),
    "nocow-shared": ("nocow", _DOTS),
    "cow-shared": ("cow", _DOTS),
    "unread": ("hole", '<path class="ink" d="M2 0 L2 8 M6 0 L6 8"/>'),
}
"""The class of the ground of each part of a bar, and what is drawn on it."""

ICONS = (
    '<svg width="0" height="0" style="position:absolute" aria-hidden="true"><defs>'
    + "".join(
        f'<pattern id="p-{name}" width="8" height="8" patternUnits="userSpaceOnUse">'
        f'<rect class="{ground}" width="8" height="8"/>{marks}</pattern>'
        for name, (ground, marks) in _PATTERNS.items()
    )
    + "</defs></svg>"
)
"""Once on a page that has bars: what they are filled with."""

CSS = """
:root { color-scheme: light dark; --paper: #fbfbfa; --card: #fff; --ink: #1c2024; --soft: #60646c;
  --line: #e3e4e8; --nocow: #0d7d6c; --cow: #d97e0c; --hole: #e6e8ec; --was: #8b8f98;
  --good: #0d7d6c; --bad: #b8321f; --unknown: #6b55b8; --mark: rgb(255 255 255 / .55);
  --glow-good: #e2f3ef; --glow-bad: #fcebe5; --glow-unknown: #ece8fb; }
@media (prefers-color-scheme: dark) { :root { --paper: #111315; --card: #191b1f; --ink: #edeef0;
  --soft: #a0a4ae; --line: #2c2f36; --nocow: #2bb7a0; --cow: #f0a03c; --hole: #2e323a;
  --was: #858a95; --good: #2bb7a0; --bad: #ff8a75; --unknown: #b3a1f5; --mark: rgb(0 0 0 / .42);
  --glow-good: #10231f; --glow-bad: #2b1a16; --glow-unknown: #1f1b2f; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 62rem; padding: 2rem 1.25rem 3rem; background: var(--paper);
  color: var(--ink); font: 16px/1.5 system-ui, -apple-system, "Segoe UI", sans-serif;
  font-variant-numeric: tabular-nums; }
h1 { font-size: 1.05rem; margin: 0; } header p { margin: 0; font-size: .9rem; }
h2 { font-size: 1.2rem; letter-spacing: -.01em; margin: 2.75rem 0 .75rem; }
h3 { font-size: 1rem; margin: 1.5rem 0 .5rem; } p { margin: .25rem 0; }
.soft { color: var(--soft); } code { font: .92em ui-monospace, monospace; overflow-wrap: anywhere; }
.hero { background: var(--glow); border-radius: 1rem; margin: 1.25rem 0 0;
  padding: 1.5rem 1.75rem; }
.hero.good { --glow: var(--glow-good); } .hero.bad { --glow: var(--glow-bad); }
.hero.unknown { --glow: var(--glow-unknown); }
.figure { font-size: clamp(2.4rem, 9vw, 4.5rem); font-weight: 650; letter-spacing: -.035em;
  line-height: 1.05; margin: 0; } .figure s { color: var(--soft); font-weight: 350;
  text-decoration: none; } .figure i { color: var(--soft); font-style: normal; font-weight: 300; }
.figure small { font-size: .35em; font-weight: 500; letter-spacing: 0; }
.figure b { font-weight: 650; } .left { font-size: 1.15rem; margin: .35rem 0 1rem; }
.verdict { font-weight: 600; margin: 0; padding-left: 1.3rem; position: relative; }
.verdict::before { background: currentColor; border-radius: 50%; content: ""; height: .7rem;
  left: 0; position: absolute; top: .45em; width: .7rem; }
.verdict.good { color: var(--good); } .verdict.bad { color: var(--bad); }
.verdict.unknown { color: var(--unknown); } .verdict code { font-weight: 600; }
.steps { counter-reset: step; display: grid; gap: .6rem; list-style: none; margin: 0; padding: 0; }
.steps li { background: var(--card); border: 1px solid var(--line); border-radius: .6rem;
  counter-increment: step; padding: .65rem 1rem .65rem 3.1rem; position: relative;
  overflow-wrap: anywhere; }
.steps li::before { align-items: center; background: var(--ink); border-radius: 50%;
  color: var(--paper); content: counter(step); display: flex; font-size: .8rem; font-weight: 600;
  height: 1.5rem; justify-content: center; left: .9rem; position: absolute; top: .7rem;
  width: 1.5rem; }
.steps p { margin: 0; } .steps p:first-child { color: var(--soft); font-size: .9rem; }
figure { background: var(--card); border: 1px solid var(--line); border-radius: .6rem;
  margin: .5rem 0; padding: .9rem 1rem; }
.legend { display: flex; flex-wrap: wrap; font-size: .85rem; gap: .25rem 1.1rem;
  margin-bottom: .6rem; } .legend svg { border-radius: 2px; height: .8rem; margin-right: .4rem;
  vertical-align: -.08rem; width: 1.5rem; }
table { border-collapse: collapse; width: 100%; } thead { color: var(--soft); font-size: .8rem; }
th { font-weight: 500; text-align: left; overflow-wrap: anywhere; }
.chart { table-layout: fixed; } .chart th:first-child { width: 13rem; }
.chart td, .chart th { padding: .22rem 0; vertical-align: middle; }
.chart .number { color: var(--soft); font-size: .9rem; padding-right: 1rem; text-align: right;
  white-space: nowrap; } .chart thead th:nth-child(2) { padding-right: 1rem; text-align: right; }
.sizes thead th:nth-child(2) { width: 6.5rem; } .pieces thead th:nth-child(2) { width: 9rem; }
.chart .path th { padding: .7rem 0 .2rem; font-weight: 650; } .path .soft { font-weight: 400;
  font-size: .9rem; margin-left: .4rem; } .chart tbody:first-of-type .path th { padding-top: 0; }
.more td { font-size: .9rem; } .bar span { display: block; font-size: .8rem; line-height: 1.3; }
.stack { border-radius: 3px; display: block; height: 1.15rem; min-width: 4px; overflow: hidden; }
.track { display: block; height: 1.9rem; overflow: visible; width: 100%; }
.pieces .bar { padding: 0; }
.axis { display: block; height: 1.2em; position: relative; } .axis span { position: absolute;
  transform: translateX(-50%); white-space: nowrap; } .grid { stroke: var(--line); }
.way { stroke: var(--was); stroke-width: 2; } .was { fill: var(--card); stroke: var(--was);
  stroke-width: 2; } .nocow { fill: var(--nocow); } .cow { fill: var(--cow); }
.hole { fill: var(--hole); } .mark { fill: none; stroke: var(--mark); stroke-width: 1.5; }
.dot { fill: var(--mark); } .ink { fill: none; stroke: var(--was); }
ul.rows { list-style: none; margin: 0; padding: 0; }
ul.rows li { border-top: 1px solid var(--line); padding: .5rem 0 .5rem 1.7rem; position: relative;
  overflow-wrap: anywhere; } ul.rows b.op { font-family: ui-monospace, monospace; left: .3rem;
  position: absolute; } ul.rows p { color: var(--soft); font-size: .9rem; }
.op.bad, tr.bad td, tr.bad th { color: var(--bad); } .op.good { color: var(--good); }
.op.unknown { color: var(--unknown); } summary { color: var(--soft); cursor: pointer;
  padding: .4rem 0; } details[open] summary { margin-bottom: .3rem; }
.runs td, .runs th { border-top: 1px solid var(--line); padding: .45rem 1rem .45rem 0;
  vertical-align: top; overflow-wrap: anywhere; } .runs thead th { border: 0; }
.runs th, .runs td:nth-child(2) { white-space: nowrap; } .runs th:first-child { max-width: 18rem; }
dl { display: grid; gap: .15rem 1rem; grid-template-columns: max-content 1fr; margin: .4rem 0 0; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
footer { border-top: 1px solid var(--line); color: var(--soft); font-size: .85rem;
  margin-top: 3rem; padding-top: .8rem; }
@media (max-width: 36rem) { body { padding: 1.25rem .9rem 2rem; } .hero { padding: 1.2rem; }
  .chart, .chart tbody, .runs, .runs tbody { display: block; } .runs thead { display: none; }
  .sizes thead { display: none; } .pieces thead { display: block; } .pieces thead tr,
  .chart tbody tr { display: grid; grid-template-columns: 1fr max-content; padding: .25rem 0; }
  .chart thead th:nth-child(2), .chart .number { padding-right: 0; width: auto; }
  .chart th:first-child { width: auto; } .chart .bar, .pieces thead th:nth-child(3), .path th,
  .more td { grid-column: 1 / -1; } .runs tr { border-top: 1px solid var(--line); display: block;
  padding: .5rem 0; } .runs td, .runs th { border: 0; display: block; padding: 0;
  white-space: normal; }
  .runs td::before { color: var(--soft); content: attr(data-name) ": "; } .runs tbody th {
  font-weight: 650; } }
"""


MARK = "<!-- written by vmtune status -->"
"""The page's second line: only what has it may be written over."""

_LOOKS = {Op.SAME: "good", Op.UNKNOWN: "unknown", Op.WAITS: "unknown"}
"""Classes of rows; all others are bad."""

_CODE = re.compile(r"`([^`]+)`")

_SIZE = re.compile(r"(?<=\d) (?=[KMGTP]?i?B\b)")

_RUNS = 12
"""Runs of vmtune that the page names, the last ones."""


def page(of: Report, host: str, config: str, created: str) -> str:
    """Return the whole page; ``created`` is ISO 8601."""
    title = f"{_text(host)}: virtual machine images on Btrfs"
    when = _text(created.replace("T", " ")[:16])
    parts = (
        f"<header><h1>{title}</h1>",
        f'<p class="soft">{_text(config)} &middot; {when}</p></header>',
        "<main>",
        _hero(of),
        *_steps(of.steps),
        *_images(of.effect),
        *_rows(of.plan, of.who),
        *_schedules(of.effect.schedules),
        *_runs(of.runs),
        *_filesystems(of.effect),
        "</main>",
    )
    body = "\n".join(parts)
    return (
        f'<!DOCTYPE html>\n{MARK}\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>{CSS}</style>\n</head>\n<body>\n{ICONS}\n{body}"
        "<footer>Written by <code>vmtune status --html</code>, which reads only. "
        "<code>vmtune explain CODE</code> tells more of a code such as V101.</footer>\n"
        "</body>\n</html>\n"
    )


def _text(text: str) -> str:
    """Escaped; a size stays on one line."""
    return _SIZE.sub("&nbsp;", escape(harmless(text)))


def _sentence(text: str, code: str = "") -> str:
    """What is in backticks is to be typed; a code is to be asked about."""
    behind = f' <code class="soft">{code}</code>' if code else ""
    return _CODE.sub(r"<code>\1</code>", _text(text)) + behind


def _hero(of: Report) -> str:
    """The one figure that tells what it brought, and the verdict."""
    look, found, figure = _LOOKS.get(worst(of.plan) or Op.SAME, "bad"), brought(of.effect), ""
    if found:
        pieces = f"<b>{found.now:,}</b>"
        if found.was != found.now:
            pieces = f'<s>{found.was:,}</s> <i aria-label="now">&rarr;</i> {pieces}'
        unit = "fragment" if found.now == 1 else "fragments"
        figure = (
            f'<p class="figure">{pieces} <small>{unit}</small></p>'
            f'<p class="left">{_text(found.left)}</p>'
        )
    return (
        f'<section class="hero {look}">{figure}'
        f'<p class="verdict {look}">{_sentence(verdict(of.plan))}</p></section>'
    )


def _steps(of: Sequence[Step]) -> Iterator[str]:
    if not of:
        return
    yield '<h2>What to do next</h2><ol class="steps">'
    for step in of:
        do = step.do[:1].upper() + step.do[1:]
        yield f"<li><p>{_sentence(step.what, step.code)}</p><p>{_sentence(do)}</p></li>"
    yield "</ol>"


# --- images


def _images(of: Effect) -> Iterator[str]:
    if not of.paths:
        return
    shown = [image for path in of.paths for _, image in status_report.named(path)]
    yield "<h2>How the images lie on disk</h2>"
    yield "<figure>"
    if used := {name for each in shown for name, _ in bars.parts(each)}:
        samples = (_swatch(name) for name in bars.WORDS if name in used)
        yield f'<figcaption class="legend">{"".join(samples)}</figcaption>'
    yield '<table class="chart sizes"><thead><tr><th>Image</th><th>Size</th>'
    yield "<th>All bars have one scale</th></tr></thead>"
    longest = bars.scale(shown)
    for path in of.paths:
        yield from _path(path, longest)
    yield "</table></figure>"
    yield from _fragments(of)


def _path(path: PathEffect, longest: int) -> Iterator[str]:
    yield f'<tbody><tr class="path"><th colspan="3" scope="rowgroup">{_text(path.name)} '
    yield f'<span class="soft">{_text(status_report.total(path))}</span></th></tr>'
    for name, image in status_report.named(path):
        size, *said = status_report.told(image, None)
        if image.fragments is not None:
            del said[0]  # fragments have a chart of their own
        yield (
            f'<tr><th scope="row">{_text(name)}</th><td class="number">{_text(size)}</td>'
            f'<td class="bar">{_stacked(bars.parts(image), 100 * image.size / longest)}'
            f'<span class="soft">{_text(", ".join(said))}</span></td></tr>'
        )
    for more in status_report.below(path):
        yield f'<tr class="more"><td colspan="3" class="soft">{_text(more)}</td></tr>'
    yield "</tbody>"


def _fragments(of: Effect) -> Iterator[str]:
    """Fragments before and now on a scale of powers of ten, one line for each image."""
    rows = [
        (name, "nocow" if image.nocow else "cow", _pair(image, of))
        for path in of.paths
        for name, image in status_report.named(path)
        if image.fragments is not None
    ]
    if not rows:
        return
    top = max(1, math.ceil(math.log10(max(1, *(max(pair) for *_, pair in rows)))))
    yield "<h3>Fragments, before and now</h3>"
    if more := status_report.before_hidden(of.before):
        yield f'<p class="soft">{_text(more)}</p>'
    yield '<figure><figcaption class="legend">'
    if any(len(pair) > 1 for *_, pair in rows):
        yield '<span><svg aria-hidden="true"><circle class="was" cx="50%" cy="50%" r="4.5"/></svg>'
        yield "when vmtune first looked</span>"
    for sort in ("nocow", "cow"):
        if any(sort == each for _, each, _ in rows):
            dot = f'<circle class="{sort}" cx="50%" cy="50%" r="5.5"/>'
            yield f'<span><svg aria-hidden="true">{dot}</svg>now, {bars.WORDS[sort]}</span>'
    yield '</figcaption><table class="chart pieces"><thead><tr><th>Image</th><th>Fragments</th>'
    yield f"<th>{_axis(top)}</th></tr></thead><tbody>"
    for name, sort, pair in rows:
        yield _fragment_row(name, sort, pair, top)
    yield "</tbody></table></figure>"


def _pair(image: ImageLayout, of: Effect) -> list[int]:
    """Fragments now, behind those before where these are known and were others."""
    was, now = status_report.before(image, of), image.fragments or 0
    return [now] if was is None else [was, now]


def _place(count: int, top: int) -> str:
    """Where a count stands on the scale, in per cent: 0 and 1 at its left end."""
    return f"{3 + 94 * min(1.0, math.log10(max(count, 1)) / top):.2f}%"


def _axis(top: int) -> str:
    """The powers of ten above the chart, as many as have room."""
    step = -(-top // 6)
    marks = "".join(
        f'<span style="left:{_place(10**power, top)}">{_power(power)}</span>'
        for power in range(0, top + 1, step)
    )
    return f'<span class="axis">{marks}</span>'


def _power(power: int) -> str:
    return f"{10**power:,}" if power < 6 else f"{10 ** (power - 6):,}M"  # noqa: PLR2004 - a million


def _fragment_row(name: str, sort: str, pair: Sequence[int], top: int) -> str:
    said = " &rarr; ".join(f"{each:,}" for each in pair)
    ends = [_place(each, top) for each in pair]
    marks = f'<circle class="{sort}" cx="{ends[-1]}" cy="50%" r="5.5"/>'
    if len(pair) > 1:
        line = f'<line class="way" x1="{ends[0]}" x2="{ends[1]}" y1="50%" y2="50%"/>'
        marks = f'{line}<circle class="was" cx="{ends[0]}" cy="50%" r="4.5"/>{marks}'
    grid = "".join(
        f'<line class="grid" x1="{x}" x2="{x}" y1="0" y2="100%"/>'
        for x in (_place(10**power, top) for power in range(top + 1))
    )
    told = " before, ".join(counted(each, "fragment") for each in pair) + " now" * (len(pair) > 1)
    return (
        f'<tr><th scope="row">{_text(name)}</th><td class="number">{said}</td><td class="bar">'
        f'<svg class="track" role="img" aria-label="{escape(told)}">{grid}{marks}</svg></td></tr>'
    )


# --- what is declared, and what ran


def _rows(of: Plan, who: Who) -> Iterator[str]:
    """What is not in sync; what is, folded away."""
    if not of.changes:
        return
    yield "<h2>What is declared</h2>"
    rest, quiet = status_report.parted(of)
    if rest:
        yield f'<ul class="rows">{"".join(_row(each, who) for each in rest)}</ul>'
    if quiet:
        yield f"<details><summary>{counted_quiet(quiet)}</summary>"
        yield f'<ul class="rows">{"".join(_row(each, who) for each in quiet)}</ul></details>'


def _row(change: Change, who: Who) -> str:
    below = [
        _sentence(f"{label(swap.place, change)}: {status_report.differing(swap, who)}")
        for swap in change.swaps
    ]
    below += [_sentence(note.text, note.code) for note in change.notes]
    if change.hint:
        below.append(_sentence(change.hint))
    said = "".join(f"<p>{each}</p>" for each in below)
    return (
        f'<li><b class="op {_LOOKS.get(change.op, "bad")}" title="{COUNTED[change.op]}">'
        f"{_text(change.op.value)}</b>"
        f"<b>{_text(change.kind)} {_text(change.name)}</b> "
        f"{_sentence(change.text, change.code)}{said}</li>"
    )


def _schedules(of: Iterable[ScheduleRuns]) -> Iterator[str]:
    titles = ("Entry", "Last run", "How it ended", "Next run")
    rows = [
        (each.run.has_failed, each.entry, each.run.last, _ending(each), each.run.next)
        for each in of
    ]
    return _table("Schedules", titles, rows)


def _ending(of: ScheduleRuns) -> str:
    if of.hidden:
        return f"? {of.hidden}"
    if not of.scheduler:
        return "not set up yet"
    if of.scheduler == "cron":
        return "cron keeps no record"
    return status_report.ended(of) if of.run.last or of.run.result else "has not run yet"


def _runs(of: Sequence[Run]) -> Iterator[str]:
    """What vmtune did here, the last run first."""
    titles = ("Run", "When", "What", "How it ended", "What it brought")
    rows = [
        (
            run.result != "done",
            f"run {run.number}",
            run.started.replace("T", " ")[:16],
            f"{run.command} by {run.user}",
            run.result or "cut off",
            history_report.trend(run),
        )
        for run in reversed(of[-_RUNS:])
    ]
    yield from _table("Runs of vmtune", titles, rows)
    if len(of) > _RUNS:
        yield f'<p class="soft">{len(of) - _RUNS:,} more: <code>vmtune history</code></p>'


def _table(
    heading: str, titles: Sequence[str], rows: Sequence[tuple[bool, str, *tuple[str, ...]]]
) -> Iterator[str]:
    """A table; of each row whether it tells of something bad, its name, and its other cells."""
    if not rows:
        return
    yield f"<h2>{heading}</h2>"
    head = "".join(f"<th>{title}</th>" for title in titles)
    yield f'<table class="runs"><thead><tr>{head}</tr></thead><tbody>'
    for is_bad, first, *cells in rows:
        look = ' class="bad"' if is_bad else ""
        named = zip(titles[1:], cells, strict=True)
        tds = "".join(f'<td data-name="{name}">{_text(cell or "-")}</td>' for name, cell in named)
        yield f'<tr{look}><th scope="row">{_text(first)}</th>{tds}</tr>'
    yield "</tbody></table>"


def _filesystems(of: Effect) -> Iterator[str]:
    """The settings, and how much of the images' data they have caught."""
    if of.filesystems:
        yield "<h2>Compression</h2>"
    for each in of.filesystems:
        mine = [path.layouts for path in of.paths if path.uuid == each.uuid and path.layouts]
        images = [image for layouts in mine for image in layouts.measured]
        data = sum(image.data for image in images)
        packed = sum(image.compressed for image in images)
        facts = {
            "now": each.now,
            "at boot": each.boot or "not known",
            "decided by": each.by,
            "mounted at": " ".join(each.where),
            "images": f"{binary(packed)} of {binary(data)} are compressed" if data else "none",
        }
        rows = "".join(f"<dt>{name}</dt><dd>{_text(fact)}</dd>" for name, fact in facts.items())
        title = _text(each.label or each.uuid)
        yield f"<figure><figcaption><b>{title}</b></figcaption><dl>{rows}</dl></figure>"


# --- bars


def _stacked(parts: Sequence[tuple[str, int]], wide: float) -> str:
    """Parts side by side, in proportion to their bytes; hovering, or a reader, tells each.

    ``wide`` is the length of the whole bar, in per cent of the longest.
    """
    total, at, made = sum(size for _, size in parts) or 1, 0.0, []
    for name, size in parts:
        share = 100 * size / total
        title = f"{bars.WORDS[name]}: {binary(size)}"
        made.append(
            f'<rect {_fill(name)} x="{at:.3f}%" width="{share:.3f}%" height="100%">'
            f"<title>{escape(title)}</title></rect>"
        )
        at += share
    told = ", ".join(f"{bars.WORDS[name]} {binary(size)}" for name, size in parts)
    return (
        f'<svg class="stack" style="width:{wide:.3f}%" role="img" aria-label="{escape(told)}">'
        f"{''.join(made)}</svg>"
    )


def _fill(name: str) -> str:
    return f'class="{name}"' if name in {"nocow", "hole"} else f'fill="url(#p-{name})"'


def _swatch(name: str) -> str:
    """A sample for the legend."""
    return (
        f'<span><svg aria-hidden="true"><rect {_fill(name)} width="100%" height="100%"/></svg>'
        f"{bars.WORDS[name]}</span>"
    )
