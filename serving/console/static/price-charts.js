// What each price would earn: the profit of every term over the price, who accepts, who defaults.

import { chart, legend, percentTicks, plainTicks, tone } from "./charts.js";
import { h } from "./dom.js";
import { money, percent, perTime, rule } from "./format.js";

/** Prices of several curves on one axis. */
export const pricesOf = (curves) =>
  [...new Set(curves.flatMap((curve) => curve.quoted_rate))].sort((a, b) => a - b);

/** One of a curve's lists along an axis, null where the curve has no such price. */
export function along(prices, curve, name) {
  const at = new Map(curve.quoted_rate.map((rate, i) => [rate, curve[name][i]]));
  return prices.map((rate) => at.get(rate) ?? null);
}

export const optimumOf = (curve) => (curve.best === null ? null : curve.quoted_rate[curve.best]);

/** The optimum, the price in question where it is another, and what a price is measured by or may not pass. */
export function marksOf(curve, chosen) {
  const optimum = optimumOf(curve);
  return [
    optimum !== null && {
      x: optimum,
      text: `optimum ${percent(optimum)}`,
      tone: "--good",
      dash: [],
    },
    chosen !== null &&
      chosen !== optimum && {
        x: chosen,
        text: `this price ${percent(chosen)}`,
        tone: "--accent",
        dash: [],
      },
    { x: curve.list_rate, text: `list ${percent(curve.list_rate)}`, tone: "--muted" },
    Math.abs(curve.benchmark - curve.list_rate) > 1e-9 && {
      x: curve.benchmark,
      text: `benchmark ${percent(curve.benchmark)}`,
      tone: "--muted",
      dash: [1, 3],
    },
    ...Object.entries(curve.caps).map(([code, rate]) => ({
      x: rate,
      text: `${rule(code)} ${percent(rate)}`,
      tone: "--bad",
      dash: [6, 3],
    })),
  ].filter(Boolean);
}

const nearestIn = (rates, rate) =>
  rates.reduce((at, each, i) => (Math.abs(each - rate) < Math.abs(rates[at] - rate) ? i : at), 0);

/** Profit of every term over the price; beneath it, of one term, who accepts and who defaults. */
export function priceCharts(answer, term, quoted) {
  const curve = answer.curves.find((each) => each.term_months === term) ?? answer.curves[0];
  const prices = pricesOf(answer.curves);
  const charged = answer.assumed.shadow_price > 0;
  const what = charged ? "Expected profit less the shadow price" : "Expected profit";
  const lines = answer.curves.map((each, i) => ({
    label: `${each.term_months} months`,
    values: along(prices, each, "objective"),
    text: money,
    tone: tone(i),
    width: each === curve ? 2.5 : 1,
    dash: each === curve ? undefined : [5, 3],
  }));
  const best =
    curve.best === null
      ? `no price is permitted: ${rule(curve.blocked_by)}`
      : `the optimum is ${percent(curve.quoted_rate[curve.best])}, earning ${money(curve.expected_profit[curve.best])} ${answer.currency}`;
  const told = `${what} over the price, one line for each term. At ${curve.term_months} months ${best}; the list price is ${percent(curve.list_rate)}.`;
  const follow = (i) => {
    const at = nearestIn(curve.quoted_rate, prices[i]);
    const forbidden = curve.broken[at] ? ` · ${rule(curve.broken[at])}` : "";
    return `${percent(curve.quoted_rate[at])}: profit ${money(curve.expected_profit[at])} · accept ${percent(curve.p_accept[at])} · PD ${percent(curve.pd_lifetime[at])}${forbidden}`;
  };
  const shown = quoted ?? optimumOf(curve) ?? curve.list_rate;
  const common = {
    x: prices,
    xText: percent,
    xTicks: percentTicks,
    xAxis: `Price ${perTime(answer.convention)}`,
    shade: curve.price_range,
    sync: "why",
  };
  const floor = Math.max(0, ...curve.objective) > 0 ? { from: 0 } : {};
  const below = [
    { label: "P(accept)", values: along(prices, curve, "p_accept"), tone: "--accent" },
    {
      label: "PD, lifetime",
      values: along(prices, curve, "pd_lifetime"),
      tone: "--default",
      dash: [4, 3],
    },
  ];
  const blocked = answer.curves.filter((each) => each.best === null);
  return [
    legend(lines),
    chart({
      ...common,
      ...floor,
      lines,
      height: 250,
      marks: marksOf(curve, quoted),
      told,
      follow,
      place: nearestIn(prices, shown),
      yText: money,
      yTicks: plainTicks,
      caption: `${what}, ${answer.currency}, by price ${perTime(answer.convention)}`,
    }),
    legend(below.map((line) => ({ ...line, label: `${line.label}, ${curve.term_months} months` }))),
    chart({
      ...common,
      lines: below,
      yText: percent,
      yTicks: percentTicks,
      from: 0,
      height: 140,
      told: `Probability of acceptance and of default over the price at ${curve.term_months} months.`,
      caption: "Who accepts, who defaults",
    }),
    blocked.length > 0 &&
      h(
        "ul",
        { class: "blocked" },
        blocked.map((each) =>
          h(
            "li",
            null,
            `${each.term_months} months: no price is permitted, ${rule(each.blocked_by)}`,
          ),
        ),
      ),
    h(
      "p",
      { class: "quiet" },
      "Greyed prices are outside the price range, the quotable rates within the trust region of the list price.",
    ),
  ];
}
