"""The style sheet of the HTML pages: light and dark, screen and paper."""

from __future__ import annotations

from typing import Final

STYLE: Final = """\
:root {
  color-scheme: light dark;
  --paper: #ffffff; --ink: #1b1f24; --dim: #5b6570; --line: #d5dae0; --soft: #f4f6f8;
  --bar: #3b74c4; --bad: #b3261e; --warn: #8a5300; --good: #1a6e34; --mark: #fde9e7;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #14171b; --ink: #e3e7eb; --dim: #98a3ae; --line: #343b43; --soft: #1d2127;
    --bar: #6ea3ec; --bad: #ff8a80; --warn: #f0b45a; --good: #7fd494; --mark: #43211f;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", "Noto Sans", sans-serif;
}
main { max-width: 62rem; margin: 0 auto; padding: 1.5rem 1.25rem 4rem; }
h1 { font-size: 1.4rem; line-height: 1.3; margin: 0 0 .75rem; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2.25rem 0 .5rem; }
h3 { font-size: 1rem; margin: 1.5rem 0 .5rem; }
p, ul { margin: .5rem 0; overflow-wrap: anywhere; }
ul { padding-left: 1.25rem; }
li { margin: .25rem 0; }
code, pre { font-family: ui-monospace, "SF Mono", Menlo, "DejaVu Sans Mono", monospace; font-size: .875em; }
code { background: var(--soft); border-radius: 3px; padding: .1em .3em; white-space: pre-wrap; }
h1 code { font-size: .9em; }
pre {
  background: var(--soft); border: 1px solid var(--line); border-radius: 6px;
  padding: .75rem; overflow-x: auto; line-height: 1.45;
}
mark { background: var(--mark); color: var(--bad); font-weight: 600; }
.wide { overflow-x: auto; margin: .75rem 0; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .925rem; }
th, td {
  padding: .25rem .8rem; text-align: right; vertical-align: top;
  border-bottom: 1px solid var(--line);
}
th { font-weight: 600; color: var(--dim); white-space: nowrap; }
td { white-space: nowrap; }
th.t, td.t { text-align: left; white-space: normal; overflow-wrap: break-word; }
td.t code { overflow-wrap: break-word; }
th:first-child, td:first-child { padding-left: .25rem; }
td.zero { color: var(--dim); }
table.bars { width: 100%; max-width: 46rem; }
table.bars td, table.bars th { border: 0; }
table.bars th { vertical-align: bottom; }
table.bars .bar { width: 100%; min-width: 4rem; }
table.bars i {
  display: block; height: .8rem; margin-top: .35rem; min-width: 2px;
  background: var(--bar); border-radius: 2px;
}
details { border: 1px solid var(--line); border-radius: 6px; margin: .6rem 0; padding: 0 .9rem; }
details[open] { padding-bottom: .5rem; }
summary { cursor: pointer; padding: .5rem 0; overflow-wrap: anywhere; }
.bad { color: var(--bad); font-weight: 600; }
.warn { color: var(--warn); font-weight: 600; }
.good { color: var(--good); font-weight: 600; }
.dim { color: var(--dim); }
@media (max-width: 40rem) {
  main { padding: 1rem .75rem 3rem; }
  th, td { padding: .2rem .45rem; }
  details { padding: 0 .6rem; }
  table.bars th { white-space: normal; }
}
@media print { details { break-inside: avoid; } pre { white-space: pre-wrap; } }
"""
