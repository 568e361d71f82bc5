"""The looks of the page that ``status --html`` writes: light and dark, wide and narrow."""

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
