// Three charts of today: what was realised, orders beside skips, and how long orders took.
import { Component, createRef, html } from "/assets/view.js";
import { change } from "/assets/store.js";
import { ask } from "/assets/api.js";
import { ZONE, clock, count, milliseconds, plural, signedDollars } from "/assets/format.js";

/** Load the charts' figures. */
export async function lookAtCharts() {
  try {
    change({ charts: await ask("/api/charts") });
  } catch {
    // The page says already that the daemon is away; the last figures stay.
  }
}

const dark = matchMedia("(prefers-color-scheme: dark)");

function colours() {
  const style = getComputedStyle(document.documentElement);
  const of = (name) => style.getPropertyValue(`--${name}`).trim();
  return {
    ink: of("muted"), line: of("line"), main: of("accent"), fill: of("accent-wash"),
    second: of("second"), font: `12px ${getComputedStyle(document.body).fontFamily}`,
  };
}

/** A canvas that uPlot draws on: as wide as its place, in the colours of the hour. */
class Plot extends Component {
  box = createRef();

  componentDidMount() {
    this.sizes = new ResizeObserver(() => this.resize());
    this.sizes.observe(this.box.current);
    dark.addEventListener("change", this.rebuild);
    this.rebuild();
  }

  componentDidUpdate() {
    this.plot.setData(this.props.data);
  }

  componentWillUnmount() {
    dark.removeEventListener("change", this.rebuild);
    this.sizes.disconnect();
    this.plot.destroy();
  }

  rebuild = () => {
    this.plot?.destroy();
    const { options, data } = this.props;
    const size = { width: this.width(), height: this.props.height };
    this.plot = new window.uPlot({ ...options(colours()), ...size }, data, this.box.current);
  };

  width() {
    return Math.max(200, Math.floor(this.box.current.clientWidth));
  }

  resize() {
    this.plot?.setSize({ width: this.width(), height: this.props.height });
  }

  render({ label }) {
    return html`<div class="plot" role="img" aria-label=${label} ref=${this.box}></div>`;
  }
}

const newYork = (seconds) => window.uPlot.tzDate(new Date(seconds * 1000), ZONE);

function frame(colour, more) {
  const axis = {
    stroke: colour.ink, font: colour.font, grid: { stroke: colour.line, width: 1 },
    ticks: { show: false }, gap: 6,
  };
  return {
    legend: { show: false },
    cursor: { y: false, points: { size: 7 }, drag: { x: false, y: false } },
    tzDate: newYork,
    scales: { x: { range: (_plot, first, end) => [Math.min(first, end - more.least), end] }, ...more.scales },
    axes: [
      { ...axis, grid: { show: false }, size: 28, values: times },
      { ...axis, size: 52, space: 28, ...more.left },
    ],
  };
}

const HOURS = new Intl.DateTimeFormat("en-GB", { timeZone: ZONE, hour: "2-digit", minute: "2-digit" });
const times = (_plot, marks) => marks.map((each) => HOURS.format(new Date(each * 1000)));

/** Say what is under the pointer, above the chart and not over it. */
function readout(words) {
  return {
    hooks: {
      setCursor: [(plot) => {
        const note = plot.root.closest("figure").querySelector(".readout");
        const place = plot.cursor.idx;
        note.textContent = place === null || place === undefined ? "" : words(plot.data, place);
      }],
    },
  };
}

function pnlOptions(colour) {
  const spline = window.uPlot.paths.stepped({ align: 1 });
  return {
    ...frame(colour, {
      least: 300, // seconds
      left: { values: (_plot, marks) => marks.map((each) => signedDollars(each).replace(/\.00$/, "")) },
      scales: { y: { range: (_plot, low, high) => around(low, high) } },
    }),
    series: [{}, { stroke: colour.main, width: 2, fill: colour.fill, fillTo: 0, paths: spline, points: { show: false } }],
    plugins: [readout((data, at) => `${clock(data[0][at])}  ${signedDollars(data[1][at])}`)],
  };
}

function around(low, high) {
  const [bottom, top] = [Math.min(0, low ?? 0), Math.max(0, high ?? 0)];
  const room = Math.max(1, (top - bottom) * 0.12);
  return [bottom === 0 ? 0 : bottom - room, top === 0 && bottom < 0 ? 0 : top + room];
}

function ordersOptions(colour) {
  const bars = window.uPlot.paths.bars({ size: [0.72, 14], align: 1 });
  return {
    ...frame(colour, {
      least: 1800,
      left: { size: 34, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500] },
      scales: { y: { range: (_plot, _low, high) => [0, Math.max(4, high * 1.1)] } },
    }),
    series: [
      {},
      { stroke: colour.second, fill: "transparent", width: 1.5, paths: bars, points: { show: false } },
      { stroke: colour.main, fill: colour.main, width: 0, paths: bars, points: { show: false } },
    ],
    plugins: [readout((data, at) =>
      `${clock(data[0][at])}  ${plural(data[2][at] ?? 0, "order")}, ${plural(Math.max(0, (data[1][at] ?? 0) - (data[2][at] ?? 0)), "skip")}`)],
  };
}

const total = (points) => points.reduce((sum, [, many]) => sum + many, 0);

/** What was won, from nothing before the first sale up to now. */
function curve(pnl, at) {
  const [first] = pnl[0];
  const points = [[first - 60, 0], ...pnl, [Math.max(at, pnl.at(-1)[0] + 1), pnl.at(-1)[1]]];
  return [points.map(([when]) => when), points.map(([, won]) => Number(won))];
}

/** Orders, and orders with skips behind them, up to now. */
function stacked(orders, skips, until) {
  const all = new Map([[until, [0, 0]]]);
  for (const [at, many] of orders) all.set(at, [many, 0]);
  for (const [at, many] of skips) all.set(at, [all.get(at)?.[0] ?? 0, many]);
  const moments = [...all.keys()].sort((one, other) => one - other);
  return [
    moments,
    moments.map((at) => (all.get(at)[1] ? all.get(at)[0] + all.get(at)[1] : null)), // behind
    moments.map((at) => all.get(at)[0] || null),
  ];
}

const STAGES = [["wire", "on the wire"], ["reply", "answered"], ["fill", "filled"]];

export function Charts({ charts }) {
  if (!charts) return html`<section class="card charts"><h2>Today in charts</h2><p class="nothing">Looking.</p></section>`;
  const { pnl, orders, skips, latency } = charts;
  const [ordered, skipped] = [total(orders), total(skips)];
  const won = pnl.map(([, amount]) => Number(amount));
  return html`<section class="charts">
    <h2 class="sr">Today in charts</h2>
    <figure class="card">
      <figcaption><h3>Realised P&L</h3><span class="readout"></span></figcaption>
      ${pnl.length
        ? html`<${Plot} height=${180} options=${pnlOptions} data=${curve(pnl, charts.at)}
            label=${`Realised P&L over the day: ${signedDollars(won.at(-1))} by ${clock(pnl.at(-1)[0])}, highest ${signedDollars(Math.max(...won))}`} />`
        : html`<p class="nothing" role="img" aria-label="Realised P&L: nothing yet">Nothing was sold today.</p>`}
    </figure>
    <figure class="card">
      <figcaption><h3>Orders <span class="key"><i class="solid"></i> ordered <i class="hollow"></i> skipped</span></h3><span class="readout"></span></figcaption>
      ${ordered + skipped > 0
        ? html`<${Plot} height=${180} options=${ordersOptions} data=${stacked(orders, skips, charts.at + charts.binSec)}
            label=${`Orders over the day: ${count(ordered)}, beside ${count(skipped)} skips`} />`
        : html`<p class="nothing" role="img" aria-label="Orders: none yet">No signal came today.</p>`}
    </figure>
    <figure class="card latencies">
      <figcaption><h3>Latency from the signal</h3></figcaption>
      <${Latency} latency=${latency} />
    </figure>
  </section>`;
}

const WIDE = 560;
const ROW = 40;

/** One row of bars for each stage, all on one scale of powers of ten. */
function Latency({ latency }) {
  const rows = STAGES.map(([name, label]) => ({ name, label, ...latency[name] })).filter((row) => row.n);
  if (!rows.length) return html`<p class="nothing" role="img" aria-label="Latency: nothing yet">No order was measured today.</p>`;
  const edges = rows.flatMap((row) => row.bins.flatMap(([from, to]) => [from, to])).filter((each) => each > 0);
  const low = Math.floor(Math.log10(Math.min(...edges)));
  const high = Math.max(low + 1, Math.ceil(Math.log10(Math.max(...edges)) - 1e-9));
  const at = (ms) => (WIDE * (Math.log10(Math.max(ms, 10 ** low)) - low)) / (high - low);
  const decades = Array.from({ length: high - low + 1 }, (_, place) => 10 ** (low + place));
  const said = rows.map((row) => `${row.label}: p50 ${milliseconds(row.p50)}, p99 ${milliseconds(row.p99)}`);
  return html`<div class="latency" role="img" aria-label=${`Latency. ${said.join(". ")}`}>
    ${rows.map((row) => html`<div class="stage" key=${row.name}>
      <p><strong>${row.label}</strong><span>p50 <b class="n">${milliseconds(row.p50)}</b></span>
        <span>p99 <b class="n">${milliseconds(row.p99)}</b></span><span class="many">of ${count(row.n)}</span></p>
      <${Bars} row=${row} at=${at} decades=${decades} />
    </div>`)}
    <div class="scale">${decades.map((ms, place) => html`<span key=${ms}
      style=${{ left: `${(100 * place) / (decades.length - 1)}%` }}>${brief(ms)}</span>`)}</div>
  </div>`;
}

const brief = (ms) => (ms >= 1000 ? `${ms / 1000} s` : `${Number(ms.toPrecision(1))} ms`);

function Bars({ row, at, decades }) {
  const density = (from, to, many) => many / Math.max(1e-9, at(to) - at(from));
  const most = Math.max(...row.bins.map(([from, to, many]) => density(from, to, many)));
  return html`<svg viewBox=${`0 0 ${WIDE} ${ROW}`} preserveAspectRatio="none" height=${ROW}>
    ${decades.map((ms) => html`<line key=${ms} class="decade" x1=${at(ms)} x2=${at(ms)} y1="0" y2=${ROW} />`)}
    ${row.bins.map(([from, to, many]) => {
      const tall = (ROW - 4) * (density(from, to, many) / most);
      return html`<rect key=${from} x=${at(from)} width=${Math.max(1, at(to) - at(from) - 0.5)} y=${ROW - tall} height=${tall} />`;
    })}
    <line class="p50" x1=${at(row.p50)} x2=${at(row.p50)} y1="0" y2=${ROW} />
    <line class="p99" x1=${at(row.p99)} x2=${at(row.p99)} y1="0" y2=${ROW} />
    <line class="floor" x1="0" x2=${WIDE} y1=${ROW} y2=${ROW} />
  </svg>`;
}
