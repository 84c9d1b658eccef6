// Sliders that re-price live, beside the original; nothing is decided, so nothing is recorded.

import { api, newestOnly } from "./api.js";
import { chart, legend } from "./charts.js";
import { h, show, table } from "./dom.js";
import { changed, label, mark, read } from "./form.js";
import { money, percent, perTime, plain, rule, signed, words } from "./format.js";
import { marksOf, priceTick } from "./why.js";

const WIDE = 1000; // a field's bounds that are further apart say nothing of where people are

/** A slider's ends and step: the field's own bounds, or where they are too wide, about the value. */
function reach(schema, value) {
  const { minimum: low, maximum: high } = schema;
  const end = high - low <= WIDE || !(value > 0) ? high : Math.min(high, Math.max(3 * value, low + 1));
  const span = end - low;
  const fine = 10 ** Math.floor(Math.log10(span / 100));
  const whole = [schema.type].flat().includes("integer");
  return { low, high: end, step: whole ? Math.max(1, fine) : fine };
}

export function whatIfView(page) {
  const { state } = page;
  const controls = h("form", { id: "sliders", "aria-label": "What if", novalidate: true, onsubmit: (event) => event.preventDefault() });
  const result = h("div", { class: "answer", id: "compared", "aria-live": "off" });
  const problem = h("p", { class: "wrong", role: "alert", hidden: true });
  let original = null;
  let began = 0;

  const fresh = () => ({ application: structuredClone(state.application), principal: null, term_months: null, quoted_rate: null, assume: {} });
  const what = () => state.what ?? fresh();

  /** A line of the form: its name, its slider, what it says, and what hears of it. */
  function slider({ id, name, text, low, high, step, value, change, reset, unit, unknown }) {
    const output = h("output", { id: `${id}-says`, for: id }, unknown ? "unknown" : text(value));
    const input = h("input", {
      type: "range", id, min: low, max: high, step, "aria-valuetext": text(value),
      oninput: (event) => {
        const chosen = Number(event.target.value);
        output.textContent = text(chosen);
        event.target.setAttribute("aria-valuetext", text(chosen));
        change(chosen);
      },
    });
    input.value = value;
    return h("div", { class: "slider", "data-slider": id },
      h("label", { for: id }, name, unit && h("small", null, ` ${unit}`)), output, input,
      reset && h("button", { type: "button", class: "link", "aria-label": `Reset ${name}`, onclick: reset }, "reset"));
  }

  function edited(changes) {
    began = performance.now();
    page.update({ what: { ...what(), ...changes } }, { quiet: true });
    price(state.what);
  }

  const assumed = (name, value) => {
    const assume = { ...what().assume };
    if (value === undefined) delete assume[name];
    else assume[name] = value;
    edited({ assume });
  };

  function drawn() {
    const now = what();
    const { convention } = page.portfolio;
    const base = original.answer.assumed;
    const curve = original.curve;
    const terms = original.answer.curves.map((each) => each.term_months);
    const term = now.term_months ?? original.terms.term_months;
    const rate = now.quoted_rate ?? original.quote?.quoted_rate ?? curve.list_rate;
    const reset = (name) => () => { assumed(name, undefined); drawn(); };
    const select = (id, name, choices, value, change) => h("div", { class: "slider" },
      h("label", { for: id }, name),
      h("select", { id, onchange: (event) => change(Number(event.target.value)) },
        choices.map(([number, text]) => h("option", { value: String(number), selected: number === value }, text))));
    const follows = h("input", { type: "checkbox", id: "follow", onchange: (event) => { edited({ quoted_rate: event.target.checked ? null : Number(controls.querySelector("#w-price").value) }); } });
    follows.checked = now.quoted_rate === null;
    show(controls,
      h("div", { class: "titled" }, h("h2", null, "What if"), h("button", { type: "button", id: "start-over", onclick: () => { page.update({ what: null }); drawn(); price(what()); } }, "Start over")),
      h("fieldset", null, h("legend", null, "The offer"),
        slider({
          id: "w-price", name: `Price ${perTime(convention)}`, text: percent, value: rate,
          low: curve.quoted_rate[0], high: curve.quoted_rate.at(-1), step: original.answer.tick,
          change: (value) => { follows.checked = false; edited({ quoted_rate: Math.round(value * 1e10) / 1e10 }); },
        }),
        h("div", { class: "check" }, follows, h("label", { for: "follow" }, "at the engine’s own optimum")),
        select("w-term", "Term", terms.map((each) => [each, `${each} months`]), term, (value) => edited({ term_months: value })),
        original.answer.amounts.length > 1 && select("w-principal", `Amount of the offer, ${original.answer.currency}`, original.answer.amounts.map((each, i) => [i, `${money(each)}`]),
          original.answer.amounts.indexOf(now.principal ?? original.answer.principal), (i) => edited({ principal: original.answer.amounts[i] }))),
      h("fieldset", null, h("legend", null, "The market"),
        slider({ id: "w-cost_of_funds", name: "Cost of funds a year", text: percent, low: 0, high: Math.max(0.15, 2 * base.cost_of_funds), step: 0.0005, value: now.assume.cost_of_funds ?? base.cost_of_funds, change: (value) => assumed("cost_of_funds", value), reset: reset("cost_of_funds") }),
        slider({ id: "w-lgd", name: "Loss given default", text: (value) => percent(value, 0), low: 0, high: 1, step: 0.01, value: now.assume.lgd ?? base.lgd, change: (value) => assumed("lgd", value), reset: reset("lgd") }),
        slider({ id: "w-shadow_price", name: "Shadow price of a unit lent", text: percent, low: 0, high: 0.25, step: 0.001, value: now.assume.shadow_price ?? base.shadow_price, change: (value) => assumed("shadow_price", value), reset: reset("shadow_price") })),
      h("details", { class: "applicant", open: innerWidth > 900 }, h("summary", null, "The applicant"),
        [...page.described.fields].map(([path, schema]) => field(path, schema, now))),
      problem);
  }

  function field(path, schema, now) {
    const value = read(now.application, path);
    const id = `w-${path.replaceAll(".", "-")}`;
    const set = (next) => edited({ application: changed(what().application, path, next), ...(path === "requested_principal" ? { principal: null } : {}) });
    const name = label(path, schema);
    const wrapped = (content) => h("div", { class: "field bare", "data-field": path }, content, h("p", { class: "wrong", hidden: true }));
    if (schema.enum) {
      return wrapped(h("div", { class: "slider" }, h("label", { for: id }, name),
        h("select", { id, onchange: (event) => set(schema.enum.find((choice) => String(choice) === event.target.value)) },
          !schema.required && h("option", { value: "", selected: value === undefined || value === null }, "unknown"),
          schema.enum.filter((choice) => choice !== null).map((choice) => h("option", { value: String(choice), selected: choice === value }, words(String(choice)))))));
    }
    const { low, high, step } = reach(schema, read(state.application, path));
    const text = (number) => number === undefined || number === null ? "unknown" : plain(number, Number.isInteger(number) ? 0 : 1);
    return wrapped(slider({
      id, name, text, low, high, step, value: value ?? low, unit: schema["x-unit"], unknown: value === undefined || value === null, change: set,
      reset: () => { set(read(state.application, path)); drawn(); },
    }));
  }

  const question = (now) => ({
    ...now.application, assume: now.assume,
    term_months: now.term_months ?? original.terms.term_months,
    ...(now.quoted_rate === null ? {} : { quoted_rate: now.quoted_rate }),
    ...(now.principal === null ? { principal: scaled(now) } : { principal: now.principal }),
  });

  /** The same share of the amount asked for as the original offer has of its own. */
  const scaled = (now) => original.answer.principal * now.application.requested_principal / state.application.requested_principal || null;

  const price = newestOnly(async (now, isNewest) => {
    const started = began;
    try {
      const answer = await api.curve(question(now));
      if (!isNewest() || !result.isConnected) return;
      problem.hidden = true;
      mark(controls, []);
      compared(now, answer);
      const took = Math.round(performance.now() - started);
      result.dataset.repriced = String(Number(result.dataset.repriced ?? 0) + 1);
      if (started) result.querySelector(".took").textContent = `re-priced in ${took} ms`;
    } catch (error) {
      if (!isNewest()) return;
      const left = mark(controls, error.errors ?? []);
      problem.hidden = (error.errors?.length ?? 0) > 0 && left.length === 0;
      problem.textContent = left.length ? left.map((each) => `${words(each.field)} ${each.problem}`).join("; ") : error.message;
    }
  });

  function compared(now, answer) {
    const term = now.term_months ?? original.terms.term_months;
    const curve = answer.curves.find((each) => each.term_months === term);
    const [was, is] = [original.quote, answer.quote];
    const slot = controls.querySelector("#w-price");
    if (now.quoted_rate === null && is) {
      slot.value = is.quoted_rate;
      slot.setAttribute("aria-valuetext", percent(is.quoted_rate));
      controls.querySelector("#w-price-says").textContent = percent(is.quoted_rate);
    }
    const line = (name, key, text) => {
      const [a, b] = [was?.[key], is?.[key]];
      const change = typeof a === "number" && typeof b === "number" ? signed(b - a, text) : "–";
      return [name, a === undefined ? "–" : text(a), b === undefined ? "–" : text(b), /^\+?−?0[.,0]*( %| mo)?$/.test(change) ? "·" : change];
    };
    const months = (value) => `${plain(value)} mo`;
    const facts = table("The original beside what if", ["Figure", "Original", "What if", "Change"], [
      line("Amount", "principal", money), line("Term", "term_months", months), line(`Rate ${perTime(answer.convention)}`, "quoted_rate", percent),
      line("APR", "apr", percent), line("Payment a month", "monthly_payment", money), line("Total cost", "total_cost", money),
      line("P(accept)", "p_accept", percent), line("PD, lifetime", "pd_lifetime", percent),
      line("Value of the loan", "npv", money), line("Expected profit", "expected_profit", money),
    ], { class: "compare" });
    const both = [original.curve, curve];
    const prices = [...new Set(both.flatMap((each) => each.quoted_rate))].sort((a, b) => a - b);
    const lines = both.map((each, i) => {
      const at = new Map(each.quoted_rate.map((rate, k) => [rate, each.objective[k]]));
      return { label: i ? "What if" : "Original", colour: i ? "--accent" : "--muted", width: i ? 2.5 : 1.5, dash: i ? undefined : [5, 3], values: prices.map((rate) => at.get(rate) ?? null), text: money };
    });
    const best = curve.best === null ? `No price is permitted: ${rule(curve.blocked_by)}.` : `The optimum is ${percent(curve.quoted_rate[curve.best])}, was ${original.curve.best === null ? "none" : percent(original.curve.quoted_rate[original.curve.best])}.`;
    const profit = Math.max(...both.flatMap((each) => each.objective)) > 0 ? { from: 0 } : {};
    show(result,
      h("header", { class: "outcome" }, h("h2", null, "Original and what if"), h("p", { class: "quiet" }, answer.currency, " · never recorded · ", h("span", { class: "took" }, ""))),
      is === null ? h("p", { class: "notice" }, best) : is.broken.length > 0
        ? h("div", { class: "notice" }, h("p", null, "These terms may not be offered:"), h("ul", null, is.broken.map((each) => h("li", { "data-code": each.code }, each.reason, each.figure !== null && each.limit !== null ? ` (${figure(each.code, each.figure)} against ${figure(each.code, each.limit)})` : ""))))
        : h("p", { class: "notice fine" }, "These terms may be offered."),
      h("div", { class: "panels" },
        h("section", { class: "card" }, facts),
        h("section", { class: "card" }, legend(lines.map(({ label, colour }) => ({ label, tone: colour }))),
          chart({
            x: prices, lines, xText: (x) => percent(x), xTick: priceTick, yText: (y) => plain(y), height: 280, shade: curve.price_range, ...profit,
            marks: marksOf(curve, is && (curve.best === null || is.quoted_rate !== curve.quoted_rate[curve.best]) ? is.quoted_rate : undefined),
            told: `${answer.assumed.shadow_price > 0 ? "Expected profit less the shadow price" : "Expected profit"} over the price at ${term} months, original and what if. ${best}`,
            caption: `${answer.assumed.shadow_price > 0 ? "Expected profit less the shadow price" : "Expected profit"} at ${term} months, ${answer.currency}, by price ${perTime(answer.convention)}`,
            xAxis: `Price ${perTime(answer.convention)}`,
          }), h("p", { class: "quiet" }, best))),
      h("section", { class: "card" }, h("h3", null, "The menu under these assumptions"),
        answer.offers.length ? page.offersTable(answer.offers, answer.convention, { caption: "Offers under these assumptions" }) : h("p", { class: "empty" }, "Nothing would be offered.")));
  }

  const figure = (code, value) => ["EXPECTED_LOSS", "PRINCIPAL_MENU"].includes(code) ? money(value) : code === "TERM_MENU" ? plain(value) : percent(value);

  async function start() {
    show(result, h("p", { class: "loading" }, "Pricing …"));
    try {
      const offer = page.answer?.decision_id === state.decision ? page.answer?.offers[state.selected ?? 0] : undefined;
      const terms = offer
        ? { principal: offer.principal, term_months: offer.term_months, quoted_rate: offer.quoted_rate }
        : { term_months: state.application.requested_term_months };
      const answer = await api.curve({ ...state.application, ...terms });
      const curve = answer.curves.find((each) => each.term_months === terms.term_months) ?? answer.curves[0];
      original = { answer, terms: { ...terms, term_months: curve.term_months }, curve, quote: answer.quote };
      drawn();
      await price(what());
    } catch (error) {
      page.fail(error);
      show(result, h("div", { class: "empty" }, h("h2", null, "Nothing to compare with"), h("p", null, "The applicant cannot be priced as it stands."), h("button", { type: "button", onclick: () => page.open("price") }, "Mend the applicant")));
    }
  }

  start();
  return h("div", { class: "columns" }, h("aside", { class: "side" }, controls), result);
}
