// distill/train/report_style.cpp -- CSS and JavaScript of the report, kept together and free of anything external.
#include "distill/train/report_style.h"

namespace retort {

const std::string_view kReportStyle = R"css(
:root { color-scheme: light dark; --page: #f6f7f9; --card: #fff; --ink: #1b1f24; --soft: #626b77; --rule: #e3e7ec;
  --good: #1a7f4b; --bad: #c2410c; --teacher: #b26a00; --student: #0969c9;
  --c0: #0969c9; --c1: #b26a00; --c2: #0a8f6a; --c3: #a3378f; --c4: #c2410c; --c5: #2f95b8; --c6: #7a7200; --c7: #5b5f66; }
@media (prefers-color-scheme: dark) {
  :root { --page: #0f1318; --card: #181d24; --ink: #e7ebf0; --soft: #98a2ae; --rule: #2b323b;
    --good: #4cc38a; --bad: #ff8a5c; --teacher: #f0a83c; --student: #6cb2ff;
    --c0: #6cb2ff; --c1: #f0a83c; --c2: #45c9a0; --c3: #e08bd0; --c4: #ff8a5c; --c5: #7fd3ee; --c6: #cfc34a; --c7: #a7aeb8; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 15px/1.45 system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
main { max-width: 1280px; margin: 0 auto; padding: 20px 24px 48px; }
header { margin-bottom: 14px; }
h1 { font-size: 22px; margin: 0; letter-spacing: -.01em; overflow-wrap: anywhere; }
header p { margin: 2px 0 0; color: var(--soft); overflow-wrap: anywhere; }
h2 { font-size: 15px; margin: 0; font-weight: 600; }
small { color: var(--soft); font-size: 12.5px; }
.card { background: var(--card); border: 1px solid var(--rule); border-radius: 10px; padding: 14px 16px; margin: 0; min-width: 0; }
.numbers { display: grid; grid-auto-flow: column; grid-auto-columns: minmax(0, 1fr); gap: 14px; margin-bottom: 14px; }
.number .label { color: var(--soft); font-size: 13px; }
.number .value { font-size: 34px; font-weight: 650; line-height: 1.15; letter-spacing: -.02em; font-variant-numeric: tabular-nums; }
.number .value span { font-size: 17px; font-weight: 500; color: var(--soft); margin-left: 4px; letter-spacing: 0; }
.number .note { color: var(--soft); font-size: 13px; min-height: 1.4em; }
.numbers.more { margin: 14px 0 0; grid-auto-flow: row; grid-template-columns: repeat(auto-fill, minmax(150px, 1fr)); }
.numbers.more .value { font-size: 20px; }
.top { display: grid; grid-template-columns: minmax(0, 3fr) minmax(0, 2fr); gap: 14px; align-items: stretch; }
.top.single { grid-template-columns: minmax(0, 1fr); }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(380px, 1fr)); gap: 14px; margin-top: 14px; }
figcaption { display: flex; justify-content: space-between; align-items: baseline; gap: 12px; margin-bottom: 10px; }
.chart { display: flex; flex-direction: column; }
.plot { display: grid; grid-template-columns: max-content minmax(0, 1fr); grid-template-rows: minmax(190px, 1fr) 22px; flex: 1; padding-right: 14px; }
.top .plot { grid-template-rows: minmax(250px, 1fr) 22px; }
.area { position: relative; border-left: 1px solid var(--rule); border-bottom: 1px solid var(--rule); touch-action: pan-y; }
.area svg { position: absolute; inset: 0; width: 100%; height: 100%; overflow: visible; }
.axis { position: relative; font-size: 12px; color: var(--soft); font-variant-numeric: tabular-nums; }
.axis.y { width: 46px; }
.axis.y span { position: absolute; right: 7px; transform: translateY(50%); white-space: nowrap; }
.axis.x { grid-column: 2; }
.axis.x span { position: absolute; top: 4px; transform: translateX(-50%); white-space: nowrap; }
.grid { stroke: var(--rule); stroke-width: 1; vector-effect: non-scaling-stroke; fill: none; }
.line { fill: none; stroke-width: 1.8; stroke-linejoin: round; stroke-linecap: round; vector-effect: non-scaling-stroke; }
.line.raw { stroke-width: 1; opacity: .28; } .line.dot { stroke-width: 7; }
.c0 { stroke: var(--c0); background: var(--c0); } .c1 { stroke: var(--c1); background: var(--c1); }
.c2 { stroke: var(--c2); background: var(--c2); } .c3 { stroke: var(--c3); background: var(--c3); }
.c4 { stroke: var(--c4); background: var(--c4); } .c5 { stroke: var(--c5); background: var(--c5); }
.c6 { stroke: var(--c6); background: var(--c6); } .c7 { stroke: var(--c7); background: var(--c7); }
.cursor { position: absolute; top: 0; bottom: 0; width: 1px; background: var(--soft); display: none; pointer-events: none; }
.legend { list-style: none; display: flex; flex-wrap: wrap; gap: 2px 16px; margin: 8px 0 0; padding: 0; font-size: 13px; color: var(--soft); }
.legend i { display: inline-block; width: 14px; height: 3px; border-radius: 2px; margin-right: 6px; vertical-align: middle; }
.legend b { color: var(--ink); font-weight: 600; font-variant-numeric: tabular-nums; }
.empty { color: var(--soft); margin: 40px 0; text-align: center; }
.samples { width: 100%; border-collapse: collapse; font-size: 13.5px; }
.samples th { text-align: left; font-weight: 500; color: var(--soft); font-size: 12.5px; padding: 0 8px 5px 0; }
.samples td { border-top: 1px solid var(--rule); padding: 5px 8px 5px 0; overflow-wrap: break-word; vertical-align: middle; }
.samples img { display: block; width: 34px; height: 34px; object-fit: contain; image-rendering: pixelated; border-radius: 4px; background: var(--rule); }
.answer { width: 33%; min-width: 84px; }
.answer div { display: flex; justify-content: space-between; gap: 8px; font-variant-numeric: tabular-nums; }
.answer .bar { display: block; height: 3px; border-radius: 2px; background: var(--rule); margin-top: 3px; overflow: hidden; }
.answer .bar i { display: block; height: 100%; }
.teacher .bar i { background: var(--teacher); } .student .bar i { background: var(--student); }
.right::after { content: " \2713"; color: var(--good); } .wrong::after { content: " \2717"; color: var(--bad); }
.wrong { color: var(--bad); font-weight: 600; }
details.card { margin-top: 14px; }
details.card, div.card { overflow-x: auto; }
summary { cursor: pointer; font-weight: 600; }
.table { border-collapse: collapse; margin-top: 10px; font-size: 13.5px; width: 100%; }
.table th { text-align: left; font-weight: 500; color: var(--soft); padding: 4px 16px 4px 0; vertical-align: top; width: 30%; overflow-wrap: anywhere; }
.table td { padding: 4px 0; overflow-wrap: anywhere; }
.table tr + tr > * { border-top: 1px solid var(--rule); }
pre { margin: 10px 0 0; font: 12.5px/1.5 ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; overflow-x: auto; }
@media (max-width: 820px) {
  main { padding: 14px 12px 32px; }
  .top { grid-template-columns: minmax(0, 1fr); }
  .charts { grid-template-columns: minmax(0, 1fr); }
}
@media (max-width: 560px) {
  .numbers:not(.more) { gap: 8px; }
  .number { padding: 10px 11px; }
  .number .value { font-size: 22px; }
  .number .value span { font-size: 13px; margin: 0 0 0 2px; }
  .number .value span:not(.short) { margin: 0; display: block; }
  .number .label, .number .note { font-size: 12px; }
  .card.chart, .card { padding-left: 12px; padding-right: 12px; }
}
@media print { body { background: none; } .card { break-inside: avoid; } }
)css";

const std::string_view kReportScript = R"js(
for (const figure of document.querySelectorAll('.chart')) {
  const source = figure.querySelector('script');
  if (!source) continue;
  const chart = JSON.parse(source.textContent), area = figure.querySelector('.area');
  const cursor = figure.querySelector('.cursor'), cells = [...figure.querySelectorAll('.legend b')];
  const rest = cells.map(cell => cell.textContent);
  area.addEventListener('pointermove', event => {
    const box = area.getBoundingClientRect();
    const fraction = Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
    const step = chart.low + fraction * (chart.high - chart.low);
    cursor.style.display = 'block';
    cursor.style.left = 100 * fraction + '%';
    cells[0].textContent = Math.round(step);
    chart.lines.forEach((line, i) => {
      let best = 0;
      line.steps.forEach((at, k) => { if (Math.abs(at - step) < Math.abs(line.steps[best] - step)) best = k; });
      cells[i + 1].textContent = line.values[best] ?? 'none';
    });
  });
  area.addEventListener('pointerleave', () => {
    cursor.style.display = 'none';
    cells.forEach((cell, i) => { cell.textContent = rest[i]; });
  });
}
)js";

}  // namespace retort
