// Why an offer is as it is: its price among all prices, its value step by step, its risk, its payments.

import { chart, legend } from "./charts.js";
import { h, svg, table } from "./dom.js";
import { money, part, percent, perTime, plain, rule, signed } from "./format.js";

const FIRST = ["interest", "fee", "funding", "credit_loss", "servicing", "acquisition", "capital_charge", "npv"];
const EARNED = new Set(["interest", "fee", "npv"]);

/** Prices of several curves on one axis: lists of one length, null where a curve has no such price. */
function aligned(curves, name) {
  const prices = [...new Set(curves.flatMap((curve) => curve.quoted_rate))].sort((a, b) => a - b);
  return {
    prices,
    values: curves.map((curve) => {
      const at = new Map(curve.quoted_rate.map((rate, i) => [rate, curve[name][i]]));
      return prices.map((rate) => at.get(rate) ?? null);
    }),
  };
}

/** The ends of a curve's price range, and what else a price may not pass. */
export function marksOf(curve, chosen) {
  return [
    curve.best !== null && { x: curve.quoted_rate[curve.best], text: `optimum ${percent(curve.quoted_rate[curve.best])}`, tone: "--good", dash: [] },
    chosen !== undefined && { x: chosen, text: `this price ${percent(chosen)}`, tone: "--accent", dash: [] },
    { x: curve.list_rate, text: `list ${percent(curve.list_rate)}`, tone: "--muted" },
    Math.abs(curve.benchmark - curve.list_rate) > 1e-9 && { x: curve.benchmark, text: `benchmark ${percent(curve.benchmark)}`, tone: "--muted", dash: [1, 3] },
    ...Object.entries(curve.caps).map(([code, rate]) => ({ x: rate, text: `${rule(code)} ${percent(rate)}`, tone: "--bad", dash: [6, 3] })),
  ].filter(Boolean);
}

/** A price on an axis, with as many digits as its neighbours need. */
export const priceTick = (price, ticks) => percent(price, ticks.length > 1 && ticks[1] - ticks[0] < 0.0099 ? 1 : 0);

/** Profit of every term over the price; beneath it, of one term, who accepts and who defaults. */
export function priceCharts(answer, term) {
  const curve = answer.curves.find((each) => each.term_months === term) ?? answer.curves[0];
  const { prices, values } = aligned(answer.curves, "objective");
  const charged = answer.assumed.shadow_price > 0;
  const what = charged ? "Expected profit less the shadow price" : "Expected profit";
  const lines = answer.curves.map((each, i) => ({
    label: `${each.term_months} months`, values: values[i], colour: `--series-${1 + (i % 5)}`,
    width: each === curve ? 2.5 : 1, dash: each === curve ? undefined : [5, 3],
  }));
  const best = curve.best === null
    ? `no price is permitted: ${rule(curve.blocked_by)}`
    : `the optimum is ${percent(curve.quoted_rate[curve.best])}, earning ${money(curve.expected_profit[curve.best])} ${answer.currency}`;
  const told = `${what} over the price, one line for each term. At ${curve.term_months} months ${best}; the list price is ${percent(curve.list_rate)}.`;
  const nearest = (rate) => curve.quoted_rate.reduce((at, each, i) => Math.abs(each - rate) < Math.abs(curve.quoted_rate[at] - rate) ? i : at, 0);
  const follow = (i) => {
    const at = nearest(prices[i]);
    const forbidden = curve.broken[at] ? ` · ${rule(curve.broken[at])}` : "";
    return `${percent(curve.quoted_rate[at])}: profit ${money(curve.expected_profit[at])} · accept ${percent(curve.p_accept[at])} · PD ${percent(curve.pd_lifetime[at])}${forbidden}`;
  };
  const wanted = (name) => {
    const found = aligned([curve], name).values[0];
    const at = new Map(curve.quoted_rate.map((rate, i) => [rate, found[i]]));
    return prices.map((rate) => at.get(rate) ?? null);
  };
  const common = { x: prices, xText: (x) => percent(x), xTick: priceTick, xAxis: `Price ${perTime(answer.convention)}`, shade: curve.price_range, sync: "why" };
  const floor = Math.max(0, ...curve.objective) > 0 ? { from: 0 } : {};
  const below = [
    { label: "P(accept)", values: wanted("p_accept"), colour: "--accent", text: percent },
    { label: "PD, lifetime", values: wanted("pd_lifetime"), colour: "--default", dash: [4, 3], text: percent },
  ];
  return [
    legend(lines.map(({ label, colour }) => ({ label, tone: colour }))),
    chart({ ...common, ...floor, lines: lines.map((line) => ({ ...line, text: money })), yText: (y) => plain(y), height: 250, marks: marksOf(curve), told, follow, caption: `${what}, ${answer.currency}, by price ${perTime(answer.convention)}` }),
    legend(below.map(({ label, colour }) => ({ label: `${label}, ${curve.term_months} months`, tone: colour }))),
    chart({ ...common, lines: below, yText: (y) => percent(y, 0), from: 0, height: 140, told: `Probability of acceptance and of default over the price at ${curve.term_months} months.`, caption: "Who accepts, who defaults" }),
    answer.curves.some((each) => each.best === null) && h("ul", { class: "blocked" }, answer.curves.filter((each) => each.best === null).map((each) => h("li", null, `${each.term_months} months: no price is permitted, ${rule(each.blocked_by)}`))),
    h("p", { class: "quiet" }, "Greyed prices are outside the price range, the quotable rates within the trust region of the list price."),
  ];
}

/** The value of the booked loan, step by step, each bar where the one before it ended. */
export function waterfall(parts, currency) {
  let level = 0;
  const steps = FIRST.map((name) => {
    const change = name === "npv" ? parts.npv : EARNED.has(name) ? parts[name] : -parts[name];
    const start = name === "npv" ? 0 : level;
    level = name === "npv" ? level : level + change;
    return { name, change, start, end: start + change };
  });
  const [low, high] = [Math.min(0, ...steps.flatMap((s) => [s.start, s.end])), Math.max(...steps.flatMap((s) => [s.start, s.end]), 1e-9)];
  const at = (value) => 100 * (value - low) / (high - low);
  return h("table", { class: "steps" },
    h("caption", null, `Value of the booked loan, ${currency}`),
    columns(),
    h("thead", { class: "visually-hidden" }, h("tr", null, ["Part", "Adds", "Bar"].map((cell) => h("th", { scope: "col" }, cell)))),
    h("tbody", null, steps.map(({ name, change, start, end }) => h("tr", { "data-part": name },
      h("th", { scope: "row" }, part(name)),
      h("td", { class: "number" }, name === "npv" ? money(change) : signed(change, money)),
      h("td", { class: "bar", "aria-hidden": "true" }, bar(at(Math.min(start, end)), at(Math.max(start, end)), at(0), name === "npv" ? "whole" : change < 0 ? "less" : "more"))))));
}

const columns = () => h("colgroup", null, h("col", { class: "name" }), h("col", { class: "figure" }), h("col"));

function bar(low, high, zero, kind) {
  return svg("svg", { viewBox: "0 0 100 10", preserveAspectRatio: "none", class: kind, focusable: "false" },
    svg("line", { x1: zero, x2: zero, y1: 0, y2: 10 }),
    svg("rect", { x: low, width: Math.max(high - low, 0.4), y: 1.5, height: 7 }));
}

/** What moves the probability of default against the mean approved applicant's. */
export function effects(explanation) {
  const shown = explanation.effects.filter(({ effect }) => Math.abs(effect) >= 0.0005);
  const most = Math.max(...shown.map(({ effect }) => Math.abs(effect)), 1e-9);
  const rows = [
    ...shown.map(({ group, label, effect }) => ({ group, label: label.split(";")[0], effect })),
    Math.abs(explanation.floor) >= 0.0005 && { group: "floor", label: "Responses kept to their sign", effect: explanation.floor },
  ].filter(Boolean);
  return h("table", { class: "steps" },
    h("caption", null, "What moves its default risk, in logit, against the mean approved applicant"),
    columns(),
    h("thead", { class: "visually-hidden" }, h("tr", null, ["Because of", "Adds", "Bar"].map((cell) => h("th", { scope: "col" }, cell)))),
    h("tbody", null,
      h("tr", { class: "quiet" }, h("th", { scope: "row" }, "Mean approved applicant"), h("td", { class: "number" }, plain(explanation.approved_logit, 3)), h("td", null)),
      rows.map(({ group, label, effect }) => h("tr", { "data-group": group },
        h("th", { scope: "row" }, label),
        h("td", { class: "number" }, signed(effect, (value) => plain(value, 3))),
        h("td", { class: "bar", "aria-hidden": "true" }, bar(50 + Math.min(0, 50 * effect / most), 50 + Math.max(0, 50 * effect / most), 50, effect > 0 ? "less" : "more")))),
      h("tr", { class: "total" }, h("th", { scope: "row" }, "This applicant at this offer"), h("td", { class: "number" }, plain(explanation.pd_logit, 3)), h("td", { class: "quiet" }, `PD ${percent(1 / (1 + Math.exp(-explanation.pd_logit)))}`))));
}

export function schedule(rows, currency) {
  return h("details", { class: "schedule" },
    h("summary", null, `Repayment schedule: ${rows.length} payments`),
    table(`Repayment schedule, ${currency}`, ["Month", "Payment", "Interest", "Principal", "Balance"],
      rows.map((row) => [String(row.month), money(row.payment), money(row.interest), money(row.principal), money(row.balance)])));
}

/** Prices to either side of the offer's. */
export function neighbours(explanation) {
  return explanation.neighbours.length === 0 ? null : h("details", null,
    h("summary", null, "The prices beside it"),
    table("The same offer at other prices", ["Price", "P(accept)", "Value of the loan", "Expected profit", "Forbidden by"],
      explanation.neighbours.map((each) => [percent(each.quoted_rate), percent(each.p_accept), money(each.npv), money(each.expected_profit), rule(each.broken)])));
}
