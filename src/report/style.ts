/** @file The report's only style sheet: light, dark and print; no fonts, pictures or scripts from anywhere. */
export const STYLE = `
:root { color-scheme: light dark; --paper: #fff; --ink: #1b1d1f; --soft: #5b6168; --rule: #d5d9dd;
  --faint: #eceef0; --mark: #0b5cad; --warn: #a8361c; --other: #8a5a00; }
@media (prefers-color-scheme: dark) { :root { --paper: #16181a; --ink: #e6e8ea; --soft: #a2a9b0;
  --rule: #3a3f44; --faint: #24282b; --mark: #6fb3f2; --warn: #f0876c; --other: #e0b050; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 15px/1.45 system-ui, "Segoe UI", "Liberation Sans", Arial, sans-serif; }
main { max-width: 78rem; margin: 0 auto; padding: 1.5rem 1.25rem 3rem; }
h1 { font-size: 1.35rem; line-height: 1.25; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 1.05rem; margin: 2.2rem 0 .5rem; padding-top: .5rem; border-top: 1px solid var(--rule); }
p { margin: .5rem 0; max-width: 48rem; }
.about, .note, figcaption { color: var(--soft); font-size: .87rem; }
.about { margin: .15rem 0 1rem; }
.verdict { font-size: 1.12rem; line-height: 1.4; border-left: 4px solid var(--mark); padding: .1rem 0 .1rem .8rem; }
.verdict.none { border-color: var(--warn); }
ul { margin: .5rem 0; padding-left: 1.2rem; max-width: 48rem; }
.scroll { overflow-x: auto; }
.scroll:focus-visible { outline: 2px solid var(--mark); outline-offset: 2px; }
table { border-collapse: collapse; font-size: .87rem; font-variant-numeric: tabular-nums; }
.wide { width: 100%; }
caption { text-align: left; color: var(--soft); padding-bottom: .35rem; }
th, td { padding: .3rem .5rem; text-align: right; vertical-align: top; border-bottom: 1px solid var(--faint); white-space: nowrap; }
th:first-child, td:first-child { padding-left: 0; }
th.text, td.text { text-align: left; white-space: normal; overflow-wrap: break-word; min-width: 8rem; }
td.code { text-align: left; }
td.name, th.name { text-align: left; white-space: normal; overflow-wrap: anywhere; min-width: 9.5rem; max-width: 22rem; font-weight: inherit; }
thead th.name { font-weight: 600; }
thead th { font-weight: 600; vertical-align: bottom; border-bottom: 1px solid var(--ink); white-space: normal; line-height: 1.2; }
tfoot td, tfoot th { border-top: 1px solid var(--ink); border-bottom: 0; }
tr.chosen th, tr.chosen td { background: var(--faint); }
tr.chosen th.name, .no { font-weight: 600; }
.no { color: var(--warn); }
.range, .about-recipe { display: block; color: var(--soft); font-size: .92em; font-weight: 400; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(24rem, 100%), 1fr)); gap: 1rem 1.5rem; }
figure { margin: 0; min-width: 0; }
figure svg { display: block; width: 100%; max-width: 46rem; min-width: 20rem; height: auto; }
figure.long svg { max-width: 54rem; min-width: 32rem; }
svg text { paint-order: stroke; stroke: var(--paper); stroke-width: 3px; stroke-linejoin: round; font: 12.5px system-ui, "Segoe UI", "Liberation Sans", Arial, sans-serif; fill: var(--ink); }
svg text.tick, svg text.title { fill: var(--soft); }
svg text.chosen { font-weight: 600; }
svg text.rejected { fill: var(--soft); }
svg text.limit { fill: var(--warn); font-size: 11.5px; }
.grid { stroke: var(--faint); fill: none; }
.axis { stroke: var(--soft); fill: none; }
path.limit { stroke: var(--warn); stroke-dasharray: 5 3; fill: none; }
.interval { stroke: var(--soft); fill: none; stroke-width: 1.3; }
.interval.chosen, .interval.accepted { stroke: var(--mark); }
.leader { stroke: var(--soft); fill: none; stroke-width: .8; }
.mark { stroke: var(--mark); stroke-width: 1.6; fill: var(--mark); }
.mark.baseline { fill: var(--paper); stroke: var(--ink); }
.mark.rejected { fill: var(--paper); stroke: var(--soft); }
.ring { fill: none; stroke: var(--mark); stroke-width: 1.6; }
.measured { fill: var(--mark); }
.predicted { stroke: var(--other); stroke-width: 2.5; fill: none; }
.bar { display: block; margin-top: .2rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1.2rem; margin: .5rem 0; font-size: .92rem; }
dt { color: var(--soft); }
dd { margin: 0; overflow-wrap: anywhere; max-width: 48rem; }
@media (max-width: 34rem) { dl { grid-template-columns: 1fr; gap: 0; } dd { margin-bottom: .5rem; } }
@media print { :root { color-scheme: light; --paper: #fff; --ink: #000; --soft: #444; --rule: #999; --faint: #ddd;
    --mark: #0b5cad; --warn: #a8361c; --other: #8a5a00; }
  body { font-size: 9.5pt; } main { max-width: none; padding: 0; } .scroll { overflow: visible; }
  tr, figure { break-inside: avoid; } h2 { break-after: avoid; } thead { display: table-header-group; }
  th, td, th.text, td.text { padding: .15rem .25rem; font-size: 7.5pt; min-width: 0; } td.code { text-align: left; }
td.name, th.name { min-width: 0; }
  td.code { white-space: normal; overflow-wrap: anywhere; } .bar { width: 50px; }
  .charts { grid-template-columns: 1fr 1fr; } figure svg, figure.long svg { min-width: 0; } * { print-color-adjust: exact; -webkit-print-color-adjust: exact; } }
`;
