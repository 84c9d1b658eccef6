// What if: re-priced live, beside the original; nothing is decided, so nothing is recorded.

import { api, newestOnly } from "./api.js";
import { legend, liveChart, percentTicks, plainTicks } from "./charts.js";
import { byId, h, renewed, say, show, table } from "./dom.js";
import { mark } from "./form.js";
import { money, percent, perTime, plain, points, rule, signed } from "./format.js";
import { along, marksOf, optimumOf, pricesOf } from "./price-charts.js";
import { followed, sliders } from "./sliders.js";

const QUIET_MS = 700; // after the last change, before its result is read out
const LINES = [
  { label: "Original", tone: "--muted", dash: [5, 3] },
  { label: "What if", tone: "--accent", width: 2.5 },
];
const MONEY_RULES = ["EXPECTED_LOSS", "PORTFOLIO_LIMIT", "PRINCIPAL_MENU"];

export function whatIfView(page) {
  const { state } = page;
  const form = h("form", {
    id: "sliders",
    "aria-label": "What if",
    novalidate: true,
    onsubmit: (event) => event.preventDefault(),
  });
  const result = h("div", { class: "answer", id: "compared" });
  let original = null;
  let comparison = null;
  let began = 0;
  let announced = 0;

  const unchanged = () => ({
    application: structuredClone(state.application),
    principal: null,
    term_months: null,
    quoted_rate: null,
    assume: {},
  });
  const what = () => state.what ?? unchanged();

  function edited(changes) {
    began = performance.now();
    page.update({ what: { ...what(), ...changes } }, { later: true });
    price(state.what);
  }

  function again() {
    began = performance.now();
    page.update({ what: null });
    filled();
    price(what());
  }

  const filled = () => sliders(form, { page, original, what, edited, again });
  const term = ({ term_months }) =>
    original.answer.curves.some((curve) => curve.term_months === term_months)
      ? term_months
      : original.terms.term_months;

  /** The same share of the amount asked for as the original offer has of its own. */
  const scaled = (now) =>
    (original.answer.principal * now.application.requested_principal) /
      state.application.requested_principal || null;

  const question = (now) => ({
    ...now.application,
    assume: now.assume,
    term_months: term(now),
    principal: now.principal ?? scaled(now),
    ...(now.quoted_rate !== null && { quoted_rate: now.quoted_rate }),
  });

  const price = newestOnly(async (now, isNewest) => {
    const started = began;
    result.setAttribute("aria-busy", "true");
    try {
      const answer = await api.curve(question(now));
      if (!isNewest() || !result.isConnected) return;
      page.clear();
      mark(form, []);
      compared(now, answer);
      comparison.took(started && performance.now() - started);
      result.classList.remove("old");
    } catch (error) {
      if (!isNewest() || !result.isConnected) return;
      result.classList.add("old"); // what is shown answers an earlier question
      const left = mark(form, error.errors ?? []);
      if (left.length || !error.errors?.length) page.fail(error);
    } finally {
      if (isNewest()) result.removeAttribute("aria-busy");
    }
  });

  function compared(now, answer) {
    const curve = answer.curves.find((each) => each.term_months === term(now));
    const { quote } = answer;
    followed(curve, now.quoted_rate === null && quote ? quote.quoted_rate : null);
    comparison.show(original, answer, curve);
    const gist = quote
      ? `${percent(quote.quoted_rate)} · accept ${percent(quote.p_accept)} · profit ${money(quote.expected_profit)}`
      : "No price is permitted";
    byId("gist").textContent = quote?.broken.length ? `${gist} · may not be offered` : gist;
    clearTimeout(announced);
    announced = setTimeout(
      () => result.isConnected && say(`Re-priced: ${byId("gist").textContent}`),
      QUIET_MS,
    );
  }

  async function start() {
    show(result, h("p", { class: "loading" }, "Pricing …"));
    try {
      const offer =
        page.answer?.decision_id === state.decision
          ? page.answer?.offers[state.selected]
          : undefined;
      const terms = offer
        ? {
            principal: offer.principal,
            term_months: offer.term_months,
            quoted_rate: offer.quoted_rate,
          }
        : { term_months: state.application.requested_term_months };
      const answer = await api.curve({ ...state.application, ...terms });
      if (!result.isConnected) return;
      const curve =
        answer.curves.find((each) => each.term_months === terms.term_months) ?? answer.curves[0];
      original = {
        answer,
        terms: { ...terms, term_months: curve.term_months },
        curve,
        quote: answer.quote,
      };
      comparison = comparing(page);
      show(result, comparison.elements);
      filled();
      await price(what());
    } catch (error) {
      if (!result.isConnected) return;
      page.fail(error);
      show(
        result,
        h(
          "div",
          { class: "empty" },
          h("h2", null, "Nothing to compare with"),
          h("p", null, "The applicant cannot be priced as it stands."),
          h("button", { type: "button", onclick: () => page.open("price") }, "Mend the applicant"),
        ),
      );
    }
  }

  start();
  return h("div", { class: "columns" }, h("aside", { class: "side" }, form), result);
}

/** The original beside what if: elements that stay, and what fills them anew with every answer. */
function comparing(page) {
  const took = h("span", { class: "took" });
  const verdict = h("div", { id: "verdict" });
  const facts = table("The original beside what if", [], [], { class: "compare" });
  const chart = liveChart();
  const optima = h("p", { class: "quiet" });
  const menu = h("div");
  return {
    elements: [
      h(
        "header",
        { class: "outcome" },
        h("h2", null, "Original and what if"),
        h("p", { class: "quiet" }, page.portfolio.currency, " · never recorded · ", took),
      ),
      verdict,
      h(
        "div",
        { class: "panels" },
        h("section", { class: "card" }, facts),
        h("section", { class: "card" }, legend(LINES), chart.element, optima),
      ),
      h("section", { class: "card" }, h("h3", null, "The menu under these assumptions"), menu),
    ],
    took: (ms) => {
      if (ms) took.textContent = `re-priced in ${Math.round(ms)} ms`;
    },
    show(original, answer, curve) {
      const [was, is] = [optimumOf(original.curve), optimumOf(curve)];
      optima.textContent =
        is === null
          ? `No price is permitted: ${rule(curve.blocked_by)}.`
          : `The optimum is ${percent(is)}, was ${was === null ? "none" : percent(was)}.`;
      show(verdict, judged(answer.quote, optima.textContent));
      renewed(facts, figures(original.quote, answer.quote, answer.convention));
      chart.show(curves(original.curve, curve, answer, optima.textContent));
      page.wide = () =>
        show(
          menu,
          answer.offers.length
            ? page.offersTable(answer.offers, answer.convention, {
                caption: "Offers under these assumptions",
              })
            : h("p", { class: "empty" }, "Nothing would be offered."),
        );
      page.wide();
    },
  };
}

function judged(quote, otherwise) {
  if (quote === null) return h("p", { class: "notice" }, otherwise);
  if (!quote.broken.length) return h("p", { class: "notice fine" }, "These terms may be offered.");
  const figure = (code, value) =>
    MONEY_RULES.includes(code)
      ? money(value)
      : code === "TERM_MENU"
        ? plain(value)
        : percent(value);
  const against = ({ code, figure: found, limit }) =>
    found === null || limit === null
      ? ""
      : ` (${figure(code, found)} against ${figure(code, limit)})`;
  return h(
    "div",
    { class: "notice" },
    h("p", null, "These terms may not be offered:"),
    h(
      "ul",
      null,
      quote.broken.map((each) => h("li", { "data-code": each.code }, each.reason, against(each))),
    ),
  );
}

function figures(was, is, convention) {
  const months = (value) => `${plain(value)} mo`;
  const line = (name, key, text, change = text) => {
    const [before, after] = [was?.[key], is?.[key]];
    const said = (value) => (value === undefined ? "–" : text(value));
    return [name, said(before), said(after), was && is ? signed(after - before, change) : "–"];
  };
  return table(
    "The original beside what if",
    ["Figure", "Original", "What if", "Change"],
    [
      line("Amount", "principal", money),
      line("Term", "term_months", months),
      line(`Rate ${perTime(convention)}`, "quoted_rate", percent, points),
      line("APR", "apr", percent, points),
      line("Payment a month", "monthly_payment", money),
      line("Total cost", "total_cost", money),
      line("P(accept)", "p_accept", percent, points),
      line("PD, lifetime", "pd_lifetime", percent, points),
      line("Value of the loan", "npv", money),
      line("Expected profit", "expected_profit", money),
    ],
    { class: "compare" },
  );
}

function curves(before, after, answer, optima) {
  const prices = pricesOf([before, after]);
  const lines = [before, after].map((curve, i) => ({
    ...LINES[i],
    values: along(prices, curve, "objective"),
    text: money,
  }));
  const what =
    answer.assumed.shadow_price > 0 ? "Expected profit less the shadow price" : "Expected profit";
  const gained = lines.some(({ values }) => values.some((value) => value > 0));
  return {
    x: prices,
    lines,
    height: 280,
    shade: after.price_range,
    marks: marksOf(after, answer.quote?.quoted_rate ?? null),
    ...(gained && { from: 0 }),
    xText: percent,
    xTicks: percentTicks,
    yText: money,
    yTicks: plainTicks,
    xAxis: `Price ${perTime(answer.convention)}`,
    told: `${what} over the price at ${after.term_months} months, original and what if. ${optima}`,
    caption: `${what} at ${after.term_months} months, ${answer.currency}, by price ${perTime(answer.convention)}`,
  };
}
