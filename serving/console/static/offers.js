// The ranked menu, or the decline with its reasons and what to ask for instead.

import { h, pairs } from "./dom.js";
import { money, percent, perTime, rule } from "./format.js";

/** Every figure of an offer: its name, its text, and whether it is worth a place on a phone. */
export function figures(offer, convention) {
  const yearly = convention === "addon_monthly" && ["Nominal a year", percent(offer.nominal_rate)];
  return [
    ["Amount", money(offer.principal)],
    ["Term", `${offer.term_months} mo`],
    [`Rate ${perTime(convention)}`, percent(offer.quoted_rate)],
    yearly,
    ["APR", percent(offer.apr)],
    ["Payment a month", money(offer.monthly_payment)],
    ["Total cost", money(offer.total_cost)],
    ["P(accept)", percent(offer.p_accept)],
    ["PD, lifetime", percent(offer.pd_lifetime)],
    ["Expected profit", money(offer.expected_profit)],
    ["P(chosen)", percent(offer.p_choice)],
    ["Bound by", rule(offer.binding)],
  ].filter(Boolean);
}

const narrow = matchMedia("(max-width: 640px)");

/** Offers as rows; on a phone as columns. `select(i)` hears which one is looked at. */
export function offersTable(
  offers,
  convention,
  { selected = null, select = null, caption = "Offers, best first" } = {},
) {
  const all = offers.map((offer) => figures(offer, convention));
  const pick = (i) =>
    select
      ? h(
          "button",
          {
            type: "button",
            class: "pick",
            "aria-pressed": String(i === selected),
            onclick: () => select(i),
          },
          `Offer ${i + 1}`,
        )
      : `Offer ${i + 1}`;
  const chosen = (i) => (i === selected ? "chosen" : null);
  const mark = (name) =>
    name === "Expected profit" ? "number key" : name === "Bound by" ? "word" : "number";
  const head = h("caption", { class: "visually-hidden" }, caption);
  if (narrow.matches) {
    return h(
      "div",
      { class: "scroll", tabindex: 0, role: "region", "aria-label": caption },
      h(
        "table",
        { class: "offers upright" },
        head,
        h(
          "thead",
          null,
          h(
            "tr",
            null,
            h("th", { scope: "col" }, h("span", { class: "visually-hidden" }, "Figure")),
            all.map((_, i) =>
              h("th", { scope: "col", class: `number ${chosen(i) ?? ""}` }, pick(i)),
            ),
          ),
        ),
        h(
          "tbody",
          null,
          all[0].map(([name], row) =>
            h(
              "tr",
              { "data-figure": name },
              h("th", { scope: "row" }, name),
              all.map((each, i) =>
                h("td", { class: `${mark(name)} ${chosen(i) ?? ""}` }, each[row][1]),
              ),
            ),
          ),
        ),
      ),
    );
  }
  return h(
    "div",
    { class: "scroll", tabindex: 0, role: "region", "aria-label": caption },
    h(
      "table",
      { class: "offers" },
      head,
      h(
        "thead",
        null,
        h(
          "tr",
          null,
          h("th", { scope: "col" }, "Rank"),
          all[0].map(([name]) => h("th", { scope: "col", class: mark(name) }, name)),
        ),
      ),
      h(
        "tbody",
        null,
        all.map((each, i) =>
          h(
            "tr",
            { class: chosen(i) },
            h("th", { scope: "row" }, pick(i)),
            each.map(([name, text]) => h("td", { class: mark(name), "data-figure": name }, text)),
          ),
        ),
      ),
    ),
  );
}

/** Reasons, and the nearest request that would be approved; `ask(terms)` asks for it. */
export function decline(answer, convention, ask) {
  const counter = answer.counter_offer;
  return h(
    "div",
    { class: "decline" },
    h(
      "ol",
      { class: "reasons" },
      answer.reasons.map((reason) =>
        h(
          "li",
          { "data-code": reason.code },
          h("strong", null, reason.text),
          reason.remedy && h("p", null, reason.remedy),
          h("p", { class: "quiet" }, h("code", null, reason.code), ` · ${reason.source}`),
        ),
      ),
    ),
    counter
      ? h(
          "section",
          { class: "counter", "aria-labelledby": "counter-title" },
          h("h3", { id: "counter-title" }, "What would be approved"),
          h("p", null, counter.sentence),
          pairs(
            figures(counter.offer, convention).filter(
              ([name]) => !["P(chosen)", "Bound by"].includes(name),
            ),
            { class: "pairs across" },
          ),
          ask &&
            h(
              "button",
              { type: "button", class: "primary", onclick: () => ask(counter) },
              "Ask for this instead",
            ),
        )
      : h("p", { class: "quiet" }, "No nearby request would be approved."),
  );
}
