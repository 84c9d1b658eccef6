// Why an offer is as it is: its price among all prices, its value step by step, its risk, its payments.

import { h, pairs, svg, table } from "./dom.js";
import { money, part, percent, plain, rule, signed } from "./format.js";
import { priceCharts } from "./price-charts.js";

const FIRST = [
  "interest",
  "fee",
  "funding",
  "credit_loss",
  "servicing",
  "acquisition",
  "capital_charge",
  "npv",
];
const EARNED = new Set(["interest", "fee", "npv"]);

/** Why the offer in a place of the menu is as it is; or why there is none, shown at the term asked for. */
export function whyOf(found, { answer, place, term }) {
  const offer = place === null ? null : answer.offers[place];
  const curves = h(
    "section",
    { class: "card", "aria-labelledby": "curves-title" },
    h("h3", { id: "curves-title" }, offer ? `Why this price: offer ${place + 1}` : "Why no price"),
    priceCharts(found, offer?.term_months ?? term, offer?.quoted_rate ?? null),
  );
  if (!offer) return curves;
  const { p_accept, npv, expected_profit } = found.quote;
  return h(
    "div",
    { class: "panels" },
    h(
      "div",
      { class: "stack" },
      curves,
      h("section", { class: "card" }, schedule(found.schedule, found.currency)),
    ),
    h(
      "div",
      { class: "stack" },
      h(
        "section",
        { class: "card" },
        waterfall(found.quote.waterfall, found.currency),
        pairs([
          [
            "P(accept) × value",
            `${plain(p_accept, 6)} × ${money(npv)} = ${money(expected_profit)}`,
          ],
        ]),
      ),
      answer.explanation &&
        h(
          "section",
          { class: "card" },
          effects(answer.explanation),
          place > 0 && h("p", { class: "quiet" }, "Of the first offer."),
          neighbours(answer.explanation),
        ),
    ),
  );
}

/** The value of the booked loan, step by step, each bar where the one before it ended. */
function waterfall(parts, currency) {
  let level = 0;
  const steps = FIRST.map((name) => {
    const change = name === "npv" ? parts.npv : EARNED.has(name) ? parts[name] : -parts[name];
    const start = name === "npv" ? 0 : level;
    level = name === "npv" ? level : level + change;
    return { name, change, start, end: start + change };
  });
  const [low, high] = [
    Math.min(0, ...steps.flatMap((s) => [s.start, s.end])),
    Math.max(...steps.flatMap((s) => [s.start, s.end]), 1e-9),
  ];
  const at = (value) => (100 * (value - low)) / (high - low);
  return h(
    "table",
    { class: "steps" },
    h("caption", null, `Value of the booked loan, ${currency}`),
    columns(),
    h(
      "thead",
      { class: "visually-hidden" },
      h(
        "tr",
        null,
        ["Part", "Adds", "Bar"].map((cell) => h("th", { scope: "col" }, cell)),
      ),
    ),
    h(
      "tbody",
      null,
      steps.map(({ name, change, start, end }) =>
        h(
          "tr",
          { "data-part": name },
          h("th", { scope: "row" }, part(name)),
          h("td", { class: "number" }, name === "npv" ? money(change) : signed(change, money)),
          h(
            "td",
            { class: "bar", "aria-hidden": "true" },
            bar(
              at(Math.min(start, end)),
              at(Math.max(start, end)),
              at(0),
              name === "npv" ? "whole" : change < 0 ? "less" : "more",
            ),
          ),
        ),
      ),
    ),
  );
}

const columns = () =>
  h("colgroup", null, h("col", { class: "name" }), h("col", { class: "figure" }), h("col"));

function bar(low, high, zero, kind) {
  return svg(
    "svg",
    { viewBox: "0 0 100 10", preserveAspectRatio: "none", class: kind, focusable: "false" },
    svg("line", { x1: zero, x2: zero, y1: 0, y2: 10 }),
    svg("rect", { x: low, width: Math.max(high - low, 0.4), y: 1.5, height: 7 }),
  );
}

/** What moves the probability of default against the mean approved applicant's. */
function effects(explanation) {
  const shown = explanation.effects.filter(({ effect }) => Math.abs(effect) >= 0.0005);
  const most = Math.max(...shown.map(({ effect }) => Math.abs(effect)), 1e-9);
  const rows = [
    ...shown.map(({ group, label, effect }) => ({ group, label: label.split(";")[0], effect })),
    Math.abs(explanation.floor) >= 0.0005 && {
      group: "floor",
      label: "Responses kept to their sign",
      effect: explanation.floor,
    },
  ].filter(Boolean);
  return h(
    "table",
    { class: "steps" },
    h(
      "caption",
      null,
      "What moves its default risk, in logit, against the mean approved applicant",
    ),
    columns(),
    h(
      "thead",
      { class: "visually-hidden" },
      h(
        "tr",
        null,
        ["Because of", "Adds", "Bar"].map((cell) => h("th", { scope: "col" }, cell)),
      ),
    ),
    h(
      "tbody",
      null,
      h(
        "tr",
        { class: "quiet" },
        h("th", { scope: "row" }, "Mean approved applicant"),
        h("td", { class: "number" }, plain(explanation.approved_logit, 3)),
        h("td", null),
      ),
      rows.map(({ group, label, effect }) =>
        h(
          "tr",
          { "data-group": group },
          h("th", { scope: "row" }, label),
          h(
            "td",
            { class: "number" },
            signed(effect, (value) => plain(value, 3)),
          ),
          h(
            "td",
            { class: "bar", "aria-hidden": "true" },
            bar(
              50 + Math.min(0, (50 * effect) / most),
              50 + Math.max(0, (50 * effect) / most),
              50,
              effect > 0 ? "less" : "more",
            ),
          ),
        ),
      ),
      h(
        "tr",
        { class: "total" },
        h("th", { scope: "row" }, "This applicant at this offer"),
        h("td", { class: "number" }, plain(explanation.pd_logit, 3)),
        h("td", { class: "quiet" }, `PD ${percent(1 / (1 + Math.exp(-explanation.pd_logit)))}`),
      ),
    ),
  );
}

function schedule(rows, currency) {
  return h(
    "details",
    { class: "schedule" },
    h("summary", null, `Repayment schedule: ${rows.length} payments`),
    table(
      `Repayment schedule, ${currency}`,
      ["Month", "Payment", "Interest", "Principal", "Balance"],
      rows.map((row) => [
        String(row.month),
        money(row.payment),
        money(row.interest),
        money(row.principal),
        money(row.balance),
      ]),
    ),
  );
}

/** Prices to either side of the offer's. */
function neighbours(explanation) {
  return explanation.neighbours.length === 0
    ? null
    : h(
        "details",
        null,
        h("summary", null, "The prices beside it"),
        table(
          "The same offer at other prices",
          ["Price", "P(accept)", "Value of the loan", "Expected profit", "Forbidden by"],
          explanation.neighbours.map((each) => [
            percent(each.quoted_rate),
            percent(each.p_accept),
            money(each.npv),
            money(each.expected_profit),
            rule(each.broken),
          ]),
        ),
      );
}
