// The view that asks for offers and says why they are as they are.

import { api } from "./api.js";
import { byId, h, pairs, say, show } from "./dom.js";
import { examples } from "./examples.js";
import { changed, mark, pasted, rows } from "./form.js";
import { decline, offersTable } from "./offers.js";
import { effects, neighbours, priceCharts, schedule, waterfall } from "./why.js";

export function priceView(page) {
  const { state } = page;
  const form = h("form", { id: "applicant", "aria-label": "Applicant", novalidate: true, onsubmit: (event) => { event.preventDefault(); decide(); } });
  const right = h("div", { class: "answer", id: "answer" });
  const paste = h("textarea", { id: "pasted", rows: 8, spellcheck: "false" });
  const wrong = h("p", { class: "wrong", role: "alert", hidden: true });
  let asked = 0;

  function filled() {
    const known = examples(page.portfolio.name, page.described.example);
    show(form,
      h("h2", null, "Applicant"),
      h("div", { class: "field whole" },
        h("label", { for: "example" }, "Example"),
        h("select", { id: "example", onchange: (event) => event.target.value !== "" && use(known[Number(event.target.value)][1]) },
          h("option", { value: "" }, "choose an applicant"), known.map(([name], i) => h("option", { value: String(i) }, name)))),
      rows(page.described.fields, state.application, (path, value) => {
        page.update({ application: changed(state.application, path, value), decision: null });
        stale();
      }),
      wrong,
      h("div", { class: "buttons" }, h("button", { type: "submit", class: "primary", id: "decide" }, "Get offers")),
      h("details", { class: "paste" }, h("summary", null, "Paste or copy JSON"),
        h("label", { for: "pasted" }, "A request’s body, or a recorded decision"), paste,
        h("div", { class: "buttons" },
          h("button", { type: "button", onclick: take }, "Use it"),
          h("button", { type: "button", onclick: () => { paste.value = JSON.stringify(state.application, null, 1); paste.select(); } }, "Show this applicant"))));
  }

  function use(application) {
    page.update({ application: structuredClone(application), decision: null, selected: 0, what: null });
    filled();
    stale();
    byId("decide").focus();
  }

  function take() {
    try {
      use(pasted(paste.value));
    } catch (error) {
      wrong.hidden = false;
      wrong.textContent = `This is not an application: ${error.message}.`;
    }
  }

  function stale() {
    wrong.hidden = true;
    if (!page.answer || right.querySelector(".stale")) return;
    right.prepend(h("p", { class: "notice stale" }, "The applicant has changed since: get offers again."));
  }

  async function decide() {
    const mine = ++asked;
    right.setAttribute("aria-busy", "true");
    byId("decide").disabled = true;
    page.clear();
    try {
      const answer = await api.offers(state.application);
      if (mine !== asked) return;
      mark(form, []);
      page.remember(answer.decision_id);
      page.update({ decision: answer.decision_id, selected: 0, what: null });
      page.answer = answer;
      say(answer.offers.length ? `${answer.offers.length} offers` : "Declined");
      const shown = answered();
      if (innerWidth <= 900) right.scrollIntoView(); // below the form there, out of sight
      await shown;
    } catch (error) {
      page.answer = null;
      failed(error);
    } finally {
      byId("decide").disabled = false;
      right.removeAttribute("aria-busy");
    }
  }

  function failed(error) {
    const left = mark(form, error.errors ?? []);
    if (error.errors?.length && left.length === 0) {
      wrong.hidden = false;
      wrong.textContent = `${error.errors.length === 1 ? "One field needs" : `${error.errors.length} fields need`} another value.`;
      show(right, empty("Nothing is decided yet", "Mend what is marked in the form, and ask again."));
      return;
    }
    page.fail(error);
    show(right, empty("No answer", "The request was not decided."));
  }

  const empty = (title, text) => h("div", { class: "empty" }, h("h2", null, title), h("p", null, text));

  async function answered() {
    const answer = page.answer;
    const convention = page.portfolio.convention;
    const head = h("header", { class: "outcome" },
      h("h2", null, answer.offers.length ? `${answer.offers.length} ${answer.offers.length === 1 ? "offer" : "offers"}` : "Declined"),
      h("p", { class: "quiet" }, `${answer.currency} · decision `, h("button", { type: "button", class: "link", id: "decision-id", onclick: () => page.open("decisions", { find: answer.decision_id }) }, answer.decision_id)));
    if (answer.degraded) head.append(h("p", { class: "notice" }, "A degraded answer: the acceptance model did not answer, so these are offers at the list price."));
    if (!answer.offers.length) {
      const why = h("div", { id: "why" });
      show(right, head, decline(answer, convention, (counter) => {
        const { requested_principal, requested_term_months } = counter;
        page.update({ application: { ...state.application, requested_principal, requested_term_months } });
        filled();
        decide();
      }), why);
      await explained(why, null);
      return;
    }
    const why = h("div", { id: "why" });
    const menu = h("div", { id: "menu" });
    const selected = Math.min(state.selected ?? 0, answer.offers.length - 1);
    page.wide = () => show(menu, offersTable(answer.offers, convention, { selected, select: (i) => { page.update({ selected: i }); answered(); } }));
    page.wide();
    show(right, head, menu, why);
    await explained(why, answer.offers[selected], selected);
  }

  async function explained(why, offer, place) {
    const answer = page.answer;
    show(why, h("p", { class: "loading" }, "Loading why …"));
    try {
      const terms = offer && { principal: offer.principal, term_months: offer.term_months, quoted_rate: offer.quoted_rate };
      const found = await api.curve({ ...state.application, ...terms });
      if (!why.isConnected) return;
      const term = offer?.term_months ?? state.application.requested_term_months;
      const curves = h("section", { class: "card", "aria-labelledby": "curves-title" }, h("h3", { id: "curves-title" }, offer ? `Why this price: offer ${place + 1}` : "Why no price"), priceCharts(found, term));
      if (!offer) {
        show(why, h("div", { class: "panels" }, curves));
        return;
      }
      show(why, h("div", { class: "panels" },
        curves,
        h("div", { class: "stack" },
          h("section", { class: "card" }, waterfall(found.quote.waterfall, found.currency),
            pairs([["P(accept) × value", `${(found.quote.p_accept).toFixed(4)} × ${found.quote.npv.toFixed(2)} = ${found.quote.expected_profit.toFixed(2)}`]])),
          answer.explanation && h("section", { class: "card" }, effects(answer.explanation), place ? h("p", { class: "quiet" }, "Of the first offer.") : null, neighbours(answer.explanation)),
          h("section", { class: "card" }, schedule(found.schedule, found.currency)))));
    } catch (error) {
      show(why, h("p", { class: "wrong" }, error.message));
    }
  }

  /** Show the decision that the address names; nothing is decided anew by opening a link. */
  async function restored() {
    try {
      const record = await api.decision(state.decision);
      if (!record.answer) throw new Error("its content was removed after its retention");
      page.answer = record.answer;
      await answered();
    } catch (error) {
      show(right, empty("The recorded decision cannot be shown", `${error.message}. The applicant is in the form: ask again for a new decision.`));
    }
  }

  filled();
  if (page.answer && page.answer.decision_id === state.decision) answered();
  else if (state.decision) restored();
  else show(right, empty("No offers yet", "Fill in the applicant, or choose an example, and get offers. Every answer is recorded as a decision."));
  return h("div", { class: "columns" }, h("aside", { class: "side" }, form), right);
}
