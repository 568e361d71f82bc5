"""The looks of the page: its style sheet, and the patterns that its charts are filled with.

Colours come from variables, so that one place has them for light and for dark.
"""

from __future__ import annotations

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
