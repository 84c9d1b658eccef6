// What became of a decision, and the form that says it.

import { api } from "./api.js";
import { h, show } from "./dom.js";
import { mark } from "./form.js";
import { percent, words } from "./format.js";

const OUTCOMES = ["accepted", "declined_by_customer", "defaulted", "prepaid"];

const field = (name, text, control) =>
  h(
    "div",
    { class: "field", "data-field": name },
    h("label", { for: control.id }, text),
    control,
    h("p", { class: "wrong", hidden: true }),
  );

/** The outcomes of a recorded decision; `attached()` hears that another is recorded. */
export function outcomes(record, attached) {
  const form = h("form", {
    "aria-label": "Attach an outcome",
    id: "outcome-form",
    novalidate: true,
  });
  const problem = h("p", { class: "wrong", role: "alert", hidden: true });
  const kind = h(
    "select",
    { id: "outcome" },
    OUTCOMES.map((each) => h("option", { value: each }, words(each))),
  );
  const on = h("input", { id: "on", type: "date", value: new Date().toISOString().slice(0, 10) });
  const offer = h(
    "select",
    { id: "offer" },
    (record.answer?.offers ?? []).map((each, i) =>
      h(
        "option",
        { value: String(i) },
        `Offer ${i + 1}: ${each.term_months} months at ${percent(each.quoted_rate)}`,
      ),
    ),
  );
  const which = field("offer", "Offer", offer);
  const sync = () => {
    which.hidden = kind.value !== "accepted" || !offer.options.length;
  };
  kind.addEventListener("change", sync);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const content = {
      outcome: kind.value,
      on: on.value,
      ...(which.hidden ? {} : { offer: Number(offer.value) }),
    };
    try {
      await api.outcome(record.decision_id, content);
      await attached();
    } catch (error) {
      const left = mark(form, error.errors ?? []);
      form.querySelector("[aria-invalid]")?.focus();
      problem.hidden = !left.length && error.errors?.length > 0;
      problem.textContent = left.length
        ? left.map((each) => `${each.field} ${each.problem}`).join("; ")
        : error.message;
    }
  });
  show(
    form,
    field("outcome", "Outcome", kind),
    field("on", "Day", on),
    which,
    problem,
    h(
      "div",
      { class: "buttons" },
      h("button", { type: "submit", class: "primary" }, "Attach outcome"),
    ),
  );
  sync();
  return [
    record.outcomes.length
      ? h(
          "ul",
          { id: "outcomes" },
          record.outcomes.map((each) =>
            h(
              "li",
              null,
              `${words(each.outcome)} on ${each.on}${each.offer === null ? "" : `, offer ${each.offer + 1}`}`,
            ),
          ),
        )
      : h("p", { class: "quiet" }, "Nothing is recorded yet."),
    record.answer?.offers.length ? form : null,
  ];
}
