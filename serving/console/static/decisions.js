// One recorded decision: what it was, whether its record holds, computed again, and what became of it.

import { api } from "./api.js";
import { h, pairs, say, show, table } from "./dom.js";
import { label, mark } from "./form.js";
import { day, percent, words } from "./format.js";
import { decline, offersTable } from "./offers.js";

const OUTCOMES = ["accepted", "declined_by_customer", "defaulted", "prepaid"];

export function decisionsView(page) {
  const { state } = page;
  const result = h("div", { class: "answer", id: "decision" });
  const input = h("input", { id: "find", type: "text", spellcheck: "false", autocomplete: "off", value: state.find ?? "" });
  const recent = page.recent();

  async function find(id) {
    page.update({ find: id });
    page.clear();
    show(result, h("p", { class: "loading" }, "Looking it up …"));
    result.setAttribute("aria-busy", "true");
    try {
      const [record, chain] = await Promise.all([api.decision(id), api.chain(id)]);
      found(record, chain);
      say("Decision found");
    } catch (error) {
      page.fail(error);
      show(result, h("div", { class: "empty" }, h("h2", null, "No such decision to show"), h("p", null, error.message)));
    } finally {
      result.removeAttribute("aria-busy");
    }
  }

  function found(record, chain) {
    const { answer } = record;
    const replayed = h("div", { id: "replayed", role: "status" });
    const convention = page.portfolio.convention;
    show(result,
      h("header", { class: "outcome" }, h("h2", null, answer ? (answer.offers.length ? `${answer.offers.length} offers` : "Declined") : "Content removed"),
        h("p", { class: "quiet" }, h("code", null, record.decision_id))),
      h("div", { class: "panels" },
        h("section", { class: "card", "aria-labelledby": "record-title" }, h("h3", { id: "record-title" }, "Record"),
          pairs([
            ["Recorded", day(record.at)], ["Portfolio", record.portfolio], ["Door", record.channel],
            ["Price drawn at random", record.propensity === null ? "no" : `density ${record.propensity.toFixed(2)}`],
            ["Chain", h("span", { class: chain.holds ? "good" : "bad", id: "chain" }, chain.holds ? "its links hold" : chain.problems.join("; "))],
            ["Place", `number ${chain.seq} of writer ${chain.writer.slice(0, 8)}`],
            ["Hash", h("code", { class: "wrap" }, chain.hash)], ["Before it", h("code", { class: "wrap" }, chain.previous)],
          ]),
          h("p", { class: "quiet" }, "Checked here: this record’s hash, its content and the links to both neighbours. ", h("code", null, "finnt decisions verify"), " walks the whole record.")),
        h("section", { class: "card", "aria-labelledby": "outcomes-title" }, h("h3", { id: "outcomes-title" }, "What became of it"), outcomes(record))),
      answer && h("section", { class: "card", "aria-labelledby": "answer-title" }, h("h3", { id: "answer-title" }, `What was answered, ${answer.currency}`),
        answer.offers.length ? offersTable(answer.offers, convention) : decline(answer, convention, null),
        h("details", null, h("summary", null, "Versions that decided"), pairs(Object.entries(answer.versions).map(([name, id]) => [words(name), h("code", { class: "wrap" }, id)])))),
      record.request && h("section", { class: "card" }, h("h3", null, "What was asked"),
        pairs([["Amount asked for", String(record.request.requested_principal)], ["Term asked for", `${record.request.requested_term_months} months`], ...Object.entries(record.request.features).map(([name, value]) => [named(name), value === null ? "unknown" : String(value)])], { class: "pairs across" }),
        h("div", { class: "buttons" }, h("button", { type: "button", onclick: () => open(record) }, "Open as applicant"),
          h("button", { type: "button", id: "replay", onclick: (event) => replay(record.decision_id, event.target, replayed) }, "Replay")),
        replayed));
  }

  function open(record) {
    const { requested_principal, requested_term_months, features } = record.request;
    const known = Object.fromEntries(Object.entries(features).filter(([, value]) => value !== null));
    page.answer = record.answer;
    page.open("price", { application: { requested_principal, requested_term_months, features: known }, decision: record.decision_id, selected: 0, what: null });
  }

  async function replay(id, button, place) {
    button.disabled = true;
    show(place, h("p", { class: "loading" }, "Computing it again …"));
    try {
      const told = await api.replay(id);
      show(place,
        h("p", { class: told.agrees ? "good" : "bad" }, told.agrees ? `It came out the same: ${told.compared.join(", ")}.` : "It came out otherwise."),
        told.differences.length ? table("What came out otherwise", ["Field", "Recorded", "Recomputed"], told.differences.map((each) => [each.field, JSON.stringify(each.recorded), JSON.stringify(each.recomputed)])) : null,
        told.notes.map((note) => h("p", { class: "quiet" }, note)));
    } catch (error) {
      show(place, h("p", { class: "wrong" }, error.message));
    } finally {
      button.disabled = false;
    }
  }

  function outcomes(record) {
    const form = h("form", { "aria-label": "Attach an outcome", id: "outcome-form", novalidate: true });
    const problem = h("p", { class: "wrong", role: "alert", hidden: true });
    const kind = h("select", { id: "outcome" }, OUTCOMES.map((each) => h("option", { value: each }, words(each))));
    const on = h("input", { id: "on", type: "date", value: new Date().toISOString().slice(0, 10) });
    const offer = h("select", { id: "offer" }, (record.answer?.offers ?? []).map((each, i) => h("option", { value: String(i) }, `Offer ${i + 1}: ${each.term_months} months at ${percent(each.quoted_rate)}`)));
    const which = field("offer", "Offer", offer);
    const sync = () => { which.hidden = kind.value !== "accepted" || !offer.options.length; };
    kind.addEventListener("change", sync);
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const said = { outcome: kind.value, on: on.value, ...(which.hidden ? {} : { offer: Number(offer.value) }) };
      try {
        await api.outcome(record.decision_id, said);
        say("Outcome recorded");
        find(record.decision_id);
      } catch (error) {
        const left = mark(form, error.errors ?? []);
        problem.hidden = !left.length && error.errors?.length > 0;
        problem.textContent = left.length ? left.map((each) => `${each.field} ${each.problem}`).join("; ") : error.message;
      }
    });
    show(form, field("outcome", "Outcome", kind), field("on", "Day", on), which, problem, h("div", { class: "buttons" }, h("button", { type: "submit", class: "primary" }, "Attach outcome")));
    sync();
    return [
      record.outcomes.length
        ? h("ul", { id: "outcomes" }, record.outcomes.map((each) => h("li", null, `${words(each.outcome)} on ${each.on}${each.offer === null ? "" : `, offer ${each.offer + 1}`}`)))
        : h("p", { class: "quiet" }, "Nothing is recorded yet."),
      record.answer?.offers.length ? form : null,
    ];
  }

  const named = (name) => {
    const schema = page.described.fields.get(`features.${name}`);
    return schema ? label(name, schema) : words(name);
  };

  const field = (name, text, control) => h("div", { class: "field", "data-field": name },
    h("label", { for: control.id }, text), control, h("p", { class: "wrong", hidden: true }));

  if (state.find) find(state.find);
  else show(result, h("div", { class: "empty" }, h("h2", null, "Find a decision"), h("p", null, "Every answer carries the id of its decision. Reading needs a key with the scope read, an outcome one with outcome, where keys are asked for.")));
  return h("div", null,
    h("form", { class: "finder", role: "search", onsubmit: (event) => { event.preventDefault(); if (input.value.trim()) find(input.value.trim()); } },
      h("label", { for: "find" }, "Decision id"), input, h("button", { type: "submit", class: "primary" }, "Find")),
    recent.length > 0 && h("details", { class: "recent", open: !state.find }, h("summary", null, `Decided in this tab: ${recent.length}`),
      h("ul", null, recent.map((id) => h("li", null, h("button", { type: "button", class: "link", onclick: () => { input.value = id; find(id); } }, id))))),
    result);
}
