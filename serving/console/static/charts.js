// Line charts by uPlot, each with its figures as a table for those who cannot see it.

import { h, renewed, show, table } from "./dom.js";
import { percent, plain } from "./format.js";

const ROW = 15; // pixels that the label of a mark takes
const BELOW = 36; // pixels of a chart's height that its axis takes
const MOST_FIGURES = 24;

const drawn = new Set();

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** The series' tone in a place of a list. */
export const tone = (place) => `--series-${1 + (place % 5)}`;

/** Draw every chart that is still on the page anew, as after a change of theme. */
export function redraw() {
  for (const each of [...drawn]) {
    if (each.host.isConnected) each.draw();
    else each.forget();
  }
}

/** Text of an axis' ticks, with as many digits as their distance has. */
function ticked(text, scale) {
  return (_, ticks) => {
    const distance = scale * (ticks[1] - ticks[0]);
    const whole = (digits) =>
      Math.abs(distance * 10 ** digits - Math.round(distance * 10 ** digits)) < 1e-6;
    const digits = [0, 1, 2, 3].find(whole) ?? 0;
    return ticks.map((tick) => text(tick, digits));
  };
}
export const percentTicks = ticked(percent, 100);
export const plainTicks = ticked(plain, 1);

/**
 * Where the labels of upright marks go: each right of its line and a row below those to its left,
 * so that no later line, which begins at its own label, crosses it; left where the right is full.
 */
export function placed(marks, left, right) {
  const turned = ({ at, wide }) => at + wide + 8 > right;
  const rows = [
    ...marks.filter(turned).sort((a, b) => b.at - a.at),
    ...marks.filter((mark) => !turned(mark)).sort((a, b) => a.at - b.at),
  ];
  return rows.map((mark, row) => ({
    ...mark,
    row,
    from: turned(mark) ? Math.max(left, mark.at - mark.wide - 4) : mark.at + 4,
  }));
}

function shaded({ ctx, bbox, valToPos }, [low, high]) {
  const [left, right] = [valToPos(low, "x", true), valToPos(high, "x", true)];
  ctx.fillStyle = colour("--shade");
  ctx.fillRect(bbox.left, bbox.top, Math.max(left - bbox.left, 0), bbox.height);
  ctx.fillRect(right, bbox.top, Math.max(bbox.left + bbox.width - right, 0), bbox.height);
}

function marked({ ctx, bbox, valToPos }, marks) {
  const unit = devicePixelRatio;
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width + unit, bbox.height);
  ctx.clip();
  Object.assign(ctx, {
    font: `${11 * unit}px ${colour("--font")}`,
    textAlign: "left",
    textBaseline: "alphabetic",
    lineWidth: unit,
  });
  const measured = marks.map((mark) => ({
    ...mark,
    at: Math.round(valToPos(mark.x, "x", true)) / unit,
    wide: ctx.measureText(mark.text).width / unit,
  }));
  const labels = placed(measured, bbox.left / unit + 2, (bbox.left + bbox.width) / unit);
  for (const { at, row, tone, dash = [4, 3] } of labels) {
    ctx.strokeStyle = colour(tone);
    ctx.setLineDash(dash.map((part) => part * unit));
    ctx.beginPath();
    ctx.moveTo(at * unit, bbox.top + row * ROW * unit);
    ctx.lineTo(at * unit, bbox.top + bbox.height);
    ctx.stroke();
  }
  for (const { text, from, row, wide, tone } of labels) {
    const top = bbox.top + row * ROW * unit;
    ctx.fillStyle = colour("--panel");
    ctx.fillRect((from - 2) * unit, top, (wide + 4) * unit, ROW * unit);
    ctx.fillStyle = colour(tone);
    ctx.fillText(text, from * unit, top + 11 * unit);
  }
  ctx.restore();
}

/** The chart's options for uPlot; what may change with its data is read from `spec()` when drawn. */
function options(spec, width, readOut) {
  const { height, lines, sync } = spec();
  const axis = (extra) => ({
    stroke: colour("--muted"),
    grid: { stroke: colour("--grid"), width: 1 },
    ticks: { stroke: colour("--grid"), size: 4 },
    font: `11px ${colour("--font")}`,
    ...extra,
  });
  const series = ({ label, tone, width: thick = 1.5, dash, points }) => ({
    label,
    stroke: colour(tone),
    width: thick,
    dash,
    spanGaps: true,
    pxAlign: 0,
    points: { show: Boolean(points), size: 6, fill: colour(tone), stroke: colour(tone) },
  });
  const range = (_, low, high) => {
    const { from, marks = [] } = spec();
    const bottom = Math.min(low, from ?? low);
    return [
      bottom,
      bottom + (high - bottom || 1) / (0.96 - (marks.length * ROW) / (height - BELOW)),
    ];
  };
  return {
    width,
    height,
    legend: { show: false },
    cursor: {
      sync: sync ? { key: sync } : undefined,
      y: false,
      drag: { x: false, y: false },
      points: { size: 6 },
    },
    scales: { x: { time: false }, y: { range } },
    axes: [
      axis({ values: spec().xTicks, size: 26, space: 56 }),
      axis({ values: spec().yTicks, size: 58, space: 32 }),
    ],
    series: [{}, ...lines.map(series)],
    bands: lines.flatMap((line, i) =>
      line.bandTo ? [{ series: [i + 1, line.bandTo + 1], fill: colour("--band") }] : [],
    ),
    hooks: {
      drawClear: [(plot) => spec().shade && shaded(plot, spec().shade)],
      draw: [(plot) => marked(plot, spec().marks ?? [])],
      setCursor: [(plot) => readOut(plot.cursor.idx)],
    },
  };
}

function figures({ x, lines, told, xAxis, xText, yText }) {
  const step = Math.max(1, Math.round(x.length / MOST_FIGURES));
  const text = (value, said) => (value === null || value === undefined ? "–" : said(value));
  return table(
    told,
    [xAxis, ...lines.map((line) => line.label)],
    x
      .map((_, i) => i)
      .filter((i) => i % step === 0)
      .map((i) => [xText(x[i]), ...lines.map((line) => text(line.values[i], line.text ?? yText))]),
  );
}

/**
 * A chart that `show` draws, and draws anew with other data and the same lines. What it shows: `x`
 * and each line's `values`, lists of one length; `marks` that stand upright at a price; a `shade`
 * outside which all is greyed; `told`, which sums it up in words; and `follow`, the words for a
 * place in the lists, at first `place`.
 */
export function liveChart() {
  const host = h("div", { class: "plot", role: "img" });
  const caption = h("figcaption");
  const readout = h("p", { class: "readout", "aria-hidden": "true" });
  const more = h(
    "details",
    { class: "figures", ontoggle: () => fill() },
    h("summary", null, "Figures"),
  );
  const element = h("figure", null, caption, host, readout, more);
  let spec = null;
  let plot = null;

  const data = () => [spec.x, ...spec.lines.map((line) => line.values)];
  const readOut = (place) => {
    if (spec.follow) readout.textContent = spec.follow(place ?? spec.place);
  };
  function fill() {
    if (!more.open) return;
    const fresh = figures(spec);
    const old = more.querySelector(".scroll");
    if (old) renewed(old, fresh);
    else more.append(fresh);
  }

  const each = {
    host,
    draw() {
      plot?.destroy();
      plot = host.clientWidth
        ? new uPlot(
            options(() => spec, host.clientWidth, readOut),
            data(),
            host,
          )
        : null;
    },
    forget() {
      plot?.destroy();
      watch.disconnect();
      drawn.delete(each);
    },
  };
  const watch = new ResizeObserver(() => {
    if (!host.isConnected) each.forget();
    else if (!plot) each.draw();
    else if (plot.width !== host.clientWidth)
      plot.setSize({ width: host.clientWidth, height: spec.height });
  });

  return {
    element,
    show(next) {
      spec = { height: 220, ...next };
      host.setAttribute("aria-label", spec.told);
      show(caption, spec.caption);
      readout.hidden = !spec.follow;
      readOut(null);
      fill();
      if (plot) plot.setData(data());
      else if (!drawn.has(each)) {
        drawn.add(each);
        watch.observe(host);
      }
    },
  };
}

export function chart(spec) {
  const made = liveChart();
  made.show(spec);
  return made.element;
}

/** Names of lines beside a sample of each. */
export function legend(lines) {
  return h(
    "ul",
    { class: "legend" },
    lines.map(({ label, tone, dash }) => {
      const sample = h("span", { class: dash ? "sample dashed" : "sample", "aria-hidden": "true" });
      sample.style.borderColor = `var(${tone})`;
      return h("li", null, sample, label);
    }),
  );
}
