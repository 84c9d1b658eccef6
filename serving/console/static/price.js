// The view that asks for offers and says why they are as they are.

import { api } from "./api.js";
import { byId, h, say, show } from "./dom.js";
import { examples } from "./examples.js";
import { changed, mark, pasted, rows } from "./form.js";
import { decline, offersTable } from "./offers.js";
import { whyOf } from "./why.js";

const SLOW_MS = 2000;

const counted = (offers) => `${offers.length} ${offers.length === 1 ? "offer" : "offers"}`;

export function priceView(page) {
  const { state } = page;
  const form = h("form", {
    id: "applicant",
    "aria-label": "Applicant",
    novalidate: true,
    onsubmit: (event) => {
      event.preventDefault();
      decide();
    },
  });
  const right = h("div", { class: "answer", id: "answer" });
  const paste = h("textarea", {
    id: "pasted",
    rows: 8,
    spellcheck: "false",
    "aria-describedby": "unread",
  });
  const wrong = h("p", { class: "wrong", role: "alert", hidden: true });
  const unread = h("p", { class: "wrong", role: "alert", id: "unread", hidden: true });
  let explaining = 0;

  function filled() {
    const known = examples(page.portfolio.name, page.described.example);
    show(
      form,
      h("h2", null, "Applicant"),
      h(
        "div",
        { class: "field whole" },
        h("label", { for: "example" }, "Example"),
        h(
          "select",
          {
            id: "example",
            onchange: (event) =>
              event.target.value !== "" && use(known[Number(event.target.value)][1]),
          },
          h("option", { value: "" }, "choose an applicant"),
          known.map(([name], i) => h("option", { value: String(i) }, name)),
        ),
      ),
      rows(page.described.fields, state.application, (path, value) => {
        const application = changed(state.application, path, value);
        page.update({ application, decision: null, selected: 0, what: null });
        stale();
      }),
      wrong,
      h(
        "div",
        { class: "buttons" },
        h("button", { type: "submit", class: "primary", id: "decide" }, "Get offers"),
      ),
      h(
        "details",
        { class: "paste" },
        h("summary", null, "Paste or copy JSON"),
        h("label", { for: "pasted" }, "A request’s body, or a recorded decision"),
        paste,
        unread,
        h(
          "div",
          { class: "buttons" },
          h("button", { type: "button", onclick: take }, "Use it"),
          h(
            "button",
            {
              type: "button",
              onclick: () => {
                paste.value = JSON.stringify(state.application, null, 1);
                paste.select();
              },
            },
            "Show this applicant",
          ),
        ),
      ),
    );
  }

  function use(application) {
    page.update({
      application: structuredClone(application),
      decision: null,
      selected: 0,
      what: null,
    });
    filled();
    stale();
    byId("decide").focus();
  }

  function take() {
    try {
      use(pasted(paste.value));
    } catch (error) {
      unread.hidden = false;
      unread.textContent = `This is not an application: ${error.message}.`;
      paste.focus();
    }
  }

  function stale() {
    wrong.hidden = true;
    unread.hidden = true;
    if (!page.answer || right.querySelector(".stale")) return;
    right.prepend(
      h("p", { class: "notice stale" }, "The applicant has changed since: get offers again."),
    );
  }

  /** Ask for a decision; a second one is not asked for while it is under way. */
  async function decide() {
    if (right.hasAttribute("aria-busy")) return;
    const slow = setTimeout(() => say("Still waiting for the service"), SLOW_MS);
    right.setAttribute("aria-busy", "true");
    page.clear();
    const application = state.application;
    try {
      const answer = await api.offers(application);
      const edited = state.application !== application; // somebody typed on meanwhile
      mark(form, []);
      page.remember(answer.decision_id);
      page.update({ decision: edited ? null : answer.decision_id, selected: 0, what: null });
      Object.assign(page, { answer, asked: application });
      say(answer.offers.length ? counted(answer.offers) : "Declined");
      const shown = answered();
      if (edited) stale();
      if (innerWidth <= 900) right.scrollIntoView(); // below the form there, out of sight
      await shown;
    } catch (error) {
      page.answer = null;
      failed(error);
    } finally {
      clearTimeout(slow);
      right.removeAttribute("aria-busy");
    }
  }

  function failed(error) {
    const left = mark(form, error.errors ?? []);
    form.querySelector("[aria-invalid]")?.focus();
    if (error.errors?.length && left.length === 0) {
      wrong.hidden = false;
      wrong.textContent = `${error.errors.length === 1 ? "One field needs" : `${error.errors.length} fields need`} another value.`;
      show(
        right,
        empty("Nothing is decided yet", "Mend what is marked in the form, and ask again."),
      );
      return;
    }
    page.fail(error);
    show(right, empty("No answer", "No decision came back. The applicant is still in the form."));
  }

  const empty = (title, text) =>
    h("div", { class: "empty" }, h("h2", null, title), h("p", null, text));

  async function answered() {
    const answer = page.answer;
    const { offers } = answer;
    const convention = page.portfolio.convention;
    const head = h(
      "header",
      { class: "outcome" },
      h("h2", null, offers.length ? counted(offers) : "Declined"),
      h(
        "p",
        { class: "quiet" },
        `${answer.currency} · decision `,
        h(
          "button",
          {
            type: "button",
            class: "link",
            id: "decision-id",
            onclick: () => page.open("decisions", { find: answer.decision_id }),
          },
          answer.decision_id,
        ),
      ),
    );
    if (answer.degraded)
      head.append(
        h(
          "p",
          { class: "notice" },
          "A degraded answer: the acceptance model did not answer, so these are offers at the list price.",
        ),
      );
    const why = h("div", { id: "why" });
    if (!offers.length) {
      show(right, head, decline(answer, convention, instead), why);
      await explained(why, null);
      return;
    }
    const menu = h("div", { id: "menu" });
    const select = (place) => {
      page.update({ selected: place });
      page.wide();
      menu.querySelector("[aria-pressed=true]").focus();
      explained(why, place);
    };
    page.wide = () => show(menu, offersTable(offers, convention, { selected: chosen(), select }));
    const chosen = () => Math.min(state.selected, offers.length - 1);
    page.wide();
    show(right, head, menu, why);
    await explained(why, chosen());
  }

  function instead({ requested_principal, requested_term_months }) {
    page.update({
      application: { ...state.application, requested_principal, requested_term_months },
    });
    filled();
    byId("decide").focus();
    decide();
  }

  /** Show why the offer in a place of the menu is as it is, or why there is none; the newest question wins. */
  async function explained(why, place) {
    const mine = ++explaining;
    const answer = page.answer;
    const offer = place === null ? null : answer.offers[place];
    if (!why.firstChild) show(why, h("p", { class: "loading" }, "Loading why …"));
    try {
      const terms = offer && {
        principal: offer.principal,
        term_months: offer.term_months,
        quoted_rate: offer.quoted_rate,
      };
      const found = await api.curve({ ...page.asked, ...terms });
      if (mine === explaining)
        show(why, whyOf(found, { answer, place, term: page.asked.requested_term_months }));
    } catch (error) {
      if (mine === explaining) show(why, h("p", { class: "wrong", role: "alert" }, error.message));
    }
  }

  /** Show the decision that the address names; nothing is decided anew by opening a link. */
  async function restored() {
    try {
      const record = await api.decision(state.decision);
      if (!record.answer) throw new Error("its content was removed after its retention");
      Object.assign(page, { answer: record.answer, asked: state.application });
      await answered();
    } catch (error) {
      show(
        right,
        empty(
          "The recorded decision cannot be shown",
          `${error.message}. The applicant is in the form: ask again for a new decision.`,
        ),
      );
    }
  }

  filled();
  if (page.answer && page.answer.decision_id === state.decision) answered();
  else if (state.decision) restored();
  else
    show(
      right,
      empty(
        "No offers yet",
        "Fill in the applicant, or choose an example, and get offers. Every answer is recorded as a decision.",
      ),
    );
  return h("div", { class: "columns" }, h("aside", { class: "side" }, form), right);
}
