// The form of what if: sliders of the offer, the market and the applicant.

import { byId, h, show } from "./dom.js";
import { changed, label, read } from "./form.js";
import { given, money, percent, perTime, words } from "./format.js";

const WIDE = 1000; // a field's bounds that are further apart say nothing of where people are

/** A slider's ends and step: the field's own bounds, or where they are too wide, about the value. */
function reach(schema, value) {
  const { minimum: low, maximum: high } = schema;
  const end =
    high - low <= WIDE || !(value > 0) ? high : Math.min(high, Math.max(3 * value, low + 1));
  const fine = 10 ** Math.floor(Math.log10((end - low) / 100));
  const whole = [schema.type].flat().includes("integer");
  return { low, high: end, step: whole ? Math.max(1, fine) : fine };
}

const unknown = (value) => value === undefined || value === null;

/** A line of the form: its name, what it says, its slider, and what hears of it. */
function slider({ id, name, text, low, high, step, value, change, reset, unit }) {
  const said = unknown(value) ? "unknown" : text(value);
  const output = h("output", { id: `${id}-says`, for: id }, said);
  const input = h("input", {
    type: "range",
    id,
    min: low,
    max: high,
    step,
    "aria-valuetext": said,
    oninput: ({ target }) => {
      const chosen = Number(target.value);
      output.textContent = text(chosen);
      target.setAttribute("aria-valuetext", text(chosen));
      change(chosen);
    },
  });
  input.value = unknown(value) ? low : value;
  return h(
    "div",
    { class: "slider", "data-slider": id },
    h("label", { for: id }, name, unit && h("small", null, ` ${unit}`)),
    output,
    input,
    reset &&
      h(
        "button",
        {
          type: "button",
          class: "link",
          id: `${id}-reset`,
          "aria-label": `Reset ${name}`,
          onclick: reset,
        },
        "reset",
      ),
  );
}

const select = (id, name, choices, value, change) =>
  h(
    "div",
    { class: "slider" },
    h("label", { for: id }, name),
    h(
      "select",
      { id, onchange: ({ target }) => change(choices[target.selectedIndex][0]) },
      choices.map(([each, text]) => h("option", { selected: each === value }, text)),
    ),
  );

/**
 * Fill the form. `original` is what is compared with; `what()` what is asked now; `edited(changes)`
 * hears of every change, and `again()` of a wish to begin anew.
 */
export function sliders(form, { page, original, what, edited, again }) {
  const now = what();
  const { answer, curve } = original;
  const { convention } = page.portfolio;
  const focused = document.activeElement?.id;
  const refilled = (changes) => {
    edited(changes);
    sliders(form, { page, original, what, edited, again });
  };

  const assumed = (name, value) => ({ assume: { ...what().assume, [name]: value } });
  const assumption = (name, text, { say = percent, ...ends }) =>
    slider({
      id: `w-${name}`,
      name: text,
      text: say,
      low: 0,
      ...ends,
      value: now.assume[name] ?? answer.assumed[name],
      change: (value) => edited(assumed(name, value)),
      reset: () => refilled(assumed(name)),
    });

  function field(path, schema) {
    const id = `w-${path.replaceAll(".", "-")}`;
    const name = label(path, schema);
    const value = read(now.application, path);
    const changes = (next) => ({
      application: changed(what().application, path, next),
      ...(path === "requested_principal" && { principal: null }),
    });
    const optional = schema.required ? [] : [[undefined, "unknown"]];
    const control = schema.enum
      ? select(
          id,
          name,
          [
            ...optional,
            ...schema.enum
              .filter((each) => each !== null)
              .map((each) => [each, chosen(each, schema)]),
          ],
          value ?? undefined,
          (next) => edited(changes(next)),
        )
      : slider({
          id,
          name,
          value,
          unit: schema["x-unit"],
          text: given,
          ...reach(schema, read(page.state.application, path)),
          change: (next) => edited(changes(next)),
          reset: () => refilled(changes(read(page.state.application, path))),
        });
    return h(
      "div",
      { class: "field bare", "data-field": path },
      control,
      h("p", { class: "wrong", hidden: true }),
    );
  }

  const follows = h("input", {
    type: "checkbox",
    id: "follow",
    checked: now.quoted_rate === null,
    onchange: ({ target }) =>
      edited({ quoted_rate: target.checked ? null : Number(byId("w-price").value) }),
  });
  show(
    form,
    h(
      "div",
      { class: "titled" },
      h("h2", null, "What if"),
      h("button", { type: "button", id: "start-over", onclick: again }, "Start over"),
    ),
    h(
      "fieldset",
      null,
      h("legend", null, "The offer"),
      slider({
        id: "w-price",
        name: `Price ${perTime(convention)}`,
        text: percent,
        low: curve.quoted_rate[0],
        high: curve.quoted_rate.at(-1),
        step: answer.tick,
        value: now.quoted_rate ?? original.quote?.quoted_rate ?? curve.list_rate,
        change: (value) => {
          follows.checked = false;
          edited({ quoted_rate: Number(value.toFixed(10)) });
        },
      }),
      h(
        "div",
        { class: "check" },
        follows,
        h("label", { for: "follow" }, "at the engine’s own optimum"),
      ),
      select(
        "w-term",
        "Term",
        answer.curves.map(({ term_months }) => [term_months, `${term_months} months`]),
        now.term_months ?? original.terms.term_months,
        (value) => edited({ term_months: value }),
      ),
      answer.amounts.length > 1 &&
        select(
          "w-principal",
          `Amount of the offer, ${answer.currency}`,
          answer.amounts.map((each) => [each, money(each)]),
          now.principal ?? answer.principal,
          (value) => edited({ principal: value }),
        ),
    ),
    h(
      "fieldset",
      null,
      h("legend", null, "The market"),
      assumption("cost_of_funds", "Cost of funds a year", {
        high: Math.max(0.15, 2 * answer.assumed.cost_of_funds),
        step: 0.0005,
      }),
      assumption("lgd", "Loss given default", {
        high: 1,
        step: 0.01,
        say: (value) => percent(value, 0),
      }),
      assumption("shadow_price", "Shadow price of a unit lent", { high: 0.25, step: 0.001 }),
    ),
    h(
      "details",
      { class: "applicant", open: innerWidth > 900 },
      h("summary", null, "The applicant"),
      [...page.described.fields].map(([path, schema]) => field(path, schema)),
    ),
    h("p", { id: "gist", class: "gist", "aria-hidden": "true" }),
  );
  if (focused) byId(focused)?.focus();
}

const chosen = (value, schema) =>
  schema["x-unit"] ? `${value} ${schema["x-unit"]}` : words(String(value));

/** Let the price's slider span a curve, and stand at the engine's own price if it follows that. */
export function followed(curve, rate) {
  const input = byId("w-price");
  if (input.matches(":active")) return; // in somebody's hand
  input.min = curve.quoted_rate[0];
  input.max = curve.quoted_rate.at(-1);
  if (rate === null) return;
  input.value = rate;
  input.setAttribute("aria-valuetext", percent(rate));
  byId("w-price-says").textContent = percent(rate);
}
