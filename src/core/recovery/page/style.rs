//! The style of the page: light, dark by the reader's preference, and printable.

/// The content of its one `<style>` element.
pub(super) const STYLE: &str = "\
:root {
  color-scheme: light dark;
  --ground: #ffffff; --raised: #f5f6f8; --line: #d9dde3; --grid: #eceef2;
  --ink: #1b2330; --soft: #5a6575;
  --good: #1f8a4c; --good-ink: #ffffff; --bad: #c0392b; --bad-soft: #f6d5d1; --bad-ink: #8e2217;
  --phase: #3b73c8; --wait: #d99a1c; --unknown: #c9ced6; --stem: #9aa4b2;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #12161d; --raised: #1a2029; --line: #2f3744; --grid: #222935;
    --ink: #e4e8ee; --soft: #98a3b3;
    --good: #35a365; --good-ink: #07130c; --bad: #e0594a; --bad-soft: #43211f; --bad-ink: #ffb4aa;
    --phase: #5c93e6; --wait: #e0ab3d; --unknown: #3b4452; --stem: #5d6878;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--ground); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif;
}
main { max-width: 1120px; margin: 0 auto; padding: 28px 32px 48px; }
header { border-bottom: 1px solid var(--line); padding-bottom: 16px; margin-bottom: 20px; }
h1 { font-size: 25px; line-height: 1.25; margin: 0 0 6px; }
h2 { font-size: 17px; margin: 30px 0 10px; }
p { margin: 4px 0; }
.id, td.time, td.number { font-variant-numeric: tabular-nums; }
.soft, .note { color: var(--soft); }
.note { font-size: 13px; }
.badge {
  display: inline-block; padding: 2px 10px; border-radius: 999px; font-size: 14px;
  font-weight: 600; vertical-align: 3px; margin-right: 8px; border: 1.5px solid currentColor;
}
.badge.recovered { color: var(--good); }
.badge.failed, .badge.abandoned { color: var(--bad); }
.badge.unneeded, .badge.running { color: var(--phase); }
dl.summary {
  display: grid; grid-template-columns: repeat(auto-fit, minmax(165px, 1fr)); gap: 12px; margin: 0;
}
dl.summary div {
  background: var(--raised); border: 1px solid var(--line); border-radius: 8px; padding: 10px 14px;
}
dt { color: var(--soft); font-size: 13px; }
dd { margin: 1px 0 0; font-size: 18px; font-weight: 600; overflow-wrap: anywhere; }
dd small { display: block; font-size: 13px; font-weight: 400; color: var(--soft); }
.picture { border: 1px solid var(--line); border-radius: 8px; padding: 10px; overflow-x: auto; }
svg.timeline { display: block; width: 100%; min-width: 720px; height: auto; }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
th { text-align: left; color: var(--soft); font-weight: 500; font-size: 13px; }
th, td { padding: 5px 14px 5px 0; border-bottom: 1px solid var(--line); vertical-align: top; }
td.time, td.number, th.number { white-space: nowrap; width: 1%; }
td.number, th.number { text-align: right; }
td { overflow-wrap: anywhere; }
ul { margin: 0; padding-left: 20px; }
li { margin: 2px 0; overflow-wrap: anywhere; }
li.place { font-family: ui-monospace, 'DejaVu Sans Mono', monospace; font-size: 13px; }
.good { color: var(--good); font-weight: 600; }
.bad { color: var(--bad); font-weight: 600; }
footer { margin-top: 34px; color: var(--soft); font-size: 13px; }
svg text { font-family: inherit; fill: var(--ink); }
svg .axis { font-size: 11px; fill: var(--soft); }
svg .name { font-size: 13px; }
svg .length { font-size: 12px; fill: var(--soft); }
svg .event { font-size: 11.5px; paint-order: stroke; stroke: var(--ground); stroke-width: 3px; }
svg .in-band { font-size: 11.5px; font-weight: 600; paint-order: stroke; stroke-width: 3.5px; }
svg .serves-text { fill: var(--good-ink); stroke: var(--good); }
svg .away-text { fill: var(--bad-ink); stroke: var(--bad-soft); }
svg .unknown-text { fill: var(--ink); stroke: var(--unknown); }
svg .grid { stroke: var(--grid); }
svg .base { stroke: var(--stem); }
svg .stem { stroke: var(--stem); stroke-width: 0.8; }
svg .entered { stroke: var(--ink); stroke-width: 1.2; stroke-dasharray: 4 3; }
svg .serves { fill: var(--good); }
svg rect.away { fill: url(#away); stroke: var(--bad); stroke-width: 1; }
svg .away-ground { fill: var(--bad-soft); }
svg .away-line { fill: var(--bad); fill-opacity: 0.35; }
svg .unknown { fill: var(--unknown); }
svg .detection { fill: var(--wait); }
svg .phase { fill: var(--phase); }
svg .running { fill: var(--phase); fill-opacity: 0.6; }
svg .failed { fill: var(--bad); }
svg .dot { fill: var(--phase); stroke: var(--ground); stroke-width: 1.2; }
svg .dot.serves { fill: var(--good); }
svg .dot.lost { fill: var(--bad); }
@media print {
  :root {
    color-scheme: light;
    --ground: #ffffff; --raised: #ffffff; --line: #bbbbbb; --grid: #e4e4e4;
    --ink: #000000; --soft: #444444;
    --good: #1f8a4c; --good-ink: #ffffff; --bad: #c0392b; --bad-soft: #f6d5d1; --bad-ink: #8e2217;
    --phase: #3b73c8; --wait: #d99a1c; --unknown: #c9ced6; --stem: #777777;
  }
  body { font-size: 11pt; print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  main { max-width: none; padding: 0; }
  svg.timeline { min-width: 0; }
  .picture { border: 0; padding: 0; overflow: visible; }
  tr, li, dl.summary div, .picture { break-inside: avoid; }
  h2 { break-after: avoid; }
}
";
