// Line charts by uPlot, each with its figures as a table for those who cannot see it.

import { h, table } from "./dom.js";

const drawn = new Set();

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
export const tones = (count) => Array.from({ length: count }, (_, i) => colour(`--series-${1 + (i % 5)}`));

/** Draw every chart that is still on the page anew, as after a change of theme. */
export function redraw() {
  for (const each of [...drawn]) {
    if (each.host.isConnected) each.draw();
    else forget(each);
  }
}

function forget(each) {
  each.plot?.destroy();
  each.watch.disconnect();
  drawn.delete(each);
}

function marksOf(marks, shade) {
  return (plot) => {
    const { ctx, bbox } = plot;
    const at = (value) => plot.valToPos(value, "x", true);
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.clip();
    if (shade) {
      ctx.fillStyle = colour("--shade");
      const [low, high] = shade.map(at);
      ctx.fillRect(bbox.left, bbox.top, Math.max(low - bbox.left, 0), bbox.height);
      ctx.fillRect(high, bbox.top, Math.max(bbox.left + bbox.width - high, 0), bbox.height);
    }
    ctx.font = `${11 * devicePixelRatio}px ${colour("--font")}`;
    const labels = [];
    marks.forEach(({ x, text, tone, dash = [4, 3] }, i) => {
      const place = Math.round(at(x));
      ctx.strokeStyle = colour(tone);
      ctx.setLineDash(dash.map((d) => d * devicePixelRatio));
      ctx.lineWidth = devicePixelRatio;
      ctx.beginPath();
      ctx.moveTo(place, bbox.top);
      ctx.lineTo(place, bbox.top + bbox.height);
      ctx.stroke();
      const wide = ctx.measureText(text).width;
      const left = place + wide + 8 * devicePixelRatio > bbox.left + bbox.width;
      labels.push([text, left ? place - wide - 4 * devicePixelRatio : place + 4 * devicePixelRatio, bbox.top + (13 + 15 * i) * devicePixelRatio, wide, tone]);
    });
    for (const [text, x, y, wide, tone] of labels) { // over all lines, on a ground of their own
      ctx.fillStyle = colour("--panel");
      ctx.fillRect(x - 2, y - 11 * devicePixelRatio, wide + 4, 15 * devicePixelRatio);
      ctx.fillStyle = colour(tone);
      ctx.fillText(text, x, y);
    }
    ctx.restore();
  };
}

const series = ({ label, tone, width = 1.5, dash, points }) => ({
  label, stroke: tone, width, dash, spanGaps: true, pxAlign: 0,
  points: { show: Boolean(points), size: 6, fill: tone, stroke: tone },
});

/**
 * A chart: `x` and each line's `values` are lists of one length; `marks` stand upright at a price,
 * and what is outside `shade` is greyed. `told` sums it up in words.
 */
export function chart({ x, lines, xText, xTick, yText, height = 220, marks = [], shade, sync, told, follow, from, caption, xAxis }) {
  const host = h("div", { class: "plot", role: "img", "aria-label": told });
  const readout = follow && h("p", { class: "readout", "aria-hidden": "true" }, "\u00a0");
  const each = { host, plot: null };
  const axis = (extra) => ({
    stroke: colour("--muted"), grid: { stroke: colour("--grid"), width: 1 }, ticks: { stroke: colour("--grid"), size: 4 },
    font: `11px ${colour("--font")}`, ...extra,
  });
  each.draw = () => {
    each.plot?.destroy();
    const width = host.clientWidth;
    if (!width) return;
    const tone = tones(5);
    each.plot = new uPlot({
      width, height, legend: { show: false },
      cursor: { sync: sync ? { key: sync } : undefined, y: false, drag: { x: false, y: false }, points: { size: 6 } },
      scales: { x: { time: false }, y: { range: (_, low, high) => [Math.min(low, from ?? low), high + (marks.length ? 0.26 : 0.04) * (high - Math.min(low, from ?? low) || 1)] } },
      axes: [
        axis({ values: (_, ticks) => ticks.map((tick) => (xTick ?? xText)(tick, ticks)), size: 26, space: 56 }),
        axis({ values: (_, ticks) => ticks.map(yText), size: 58, space: 32 }),
      ],
      series: [{}, ...lines.map((line, i) => series({ ...line, tone: line.colour ? colour(line.colour) : tone[i % 5] }))],
      bands: lines.flatMap((line, i) => line.bandTo ? [{ series: [i + 1, line.bandTo + 1], fill: colour("--band") }] : []),
      hooks: {
        drawClear: [marksOf(marks, shade)],
        setCursor: readout ? [(plot) => {
          readout.textContent = plot.cursor.idx === null || plot.cursor.idx === undefined ? "\u00a0" : follow(plot.cursor.idx);
        }] : [],
      },
    }, [x, ...lines.map((line) => line.values)], host);
  };
  each.watch = new ResizeObserver(() => {
    if (!host.isConnected) forget(each);
    else if (!each.plot) each.draw();
    else if (each.plot.width !== host.clientWidth) each.plot.setSize({ width: host.clientWidth, height });
  });
  each.watch.observe(host);
  drawn.add(each);
  const step = Math.max(1, Math.round(x.length / 24));
  const shown = x.map((_, i) => i).filter((i) => i % step === 0);
  return h("figure", null, caption && h("figcaption", null, caption), host, readout,
    h("details", { class: "figures" }, h("summary", null, "Figures"),
      table(told, [xAxis ?? "Price", ...lines.map((line) => line.label)],
        shown.map((i) => [xText(x[i]), ...lines.map((line) => line.values[i] === null || line.values[i] === undefined ? "–" : (line.text ?? yText)(line.values[i]))]))));
}

/** Names of lines beside a sample of each. */
export function legend(lines) {
  return h("ul", { class: "legend" }, lines.map(({ label, tone }) => {
    const sample = h("span", { class: "sample", "aria-hidden": "true" });
    sample.style.borderColor = `var(${tone})`;
    return h("li", null, sample, label);
  }));
}
