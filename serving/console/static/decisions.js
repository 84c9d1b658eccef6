// One recorded decision: what it was, whether its record holds, computed again, and what became of it.

import { api } from "./api.js";
import { byId, h, pairs, say, show, table } from "./dom.js";
import { label } from "./form.js";
import { day, given, money, words } from "./format.js";
import { decline, offersTable } from "./offers.js";
import { outcomes } from "./outcomes.js";

export function decisionsView(page) {
  const { state } = page;
  const result = h("div", { class: "answer", id: "decision" });
  const input = h("input", {
    id: "find",
    type: "text",
    spellcheck: "false",
    autocomplete: "off",
    value: state.find ?? "",
  });
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
      show(
        result,
        nothing(
          "Nothing to show",
          "Every answer carries the id of its decision; give the whole of it.",
        ),
      );
    } finally {
      result.removeAttribute("aria-busy");
    }
  }

  function found(record, chain) {
    const { answer } = record;
    const replayed = h("div", { id: "replayed", role: "status" });
    const convention = page.portfolio.convention;
    show(
      result,
      h(
        "header",
        { class: "outcome" },
        h(
          "h2",
          null,
          answer
            ? answer.offers.length
              ? `${answer.offers.length} offers`
              : "Declined"
            : "Content removed",
        ),
        h("p", { class: "quiet" }, h("code", null, record.decision_id)),
      ),
      h(
        "div",
        { class: "panels" },
        h(
          "section",
          { class: "card", "aria-labelledby": "record-title" },
          h("h3", { id: "record-title" }, "Record"),
          pairs([
            ["Recorded", day(record.at)],
            ["Portfolio", record.portfolio],
            ["Door", record.channel],
            [
              "Price drawn at random",
              record.propensity === null ? "no" : `density ${record.propensity.toFixed(2)}`,
            ],
            [
              "Chain",
              h(
                "span",
                { class: chain.holds ? "good" : "bad", id: "chain" },
                chain.holds ? "its links hold" : chain.problems.join("; "),
              ),
            ],
            ["Place", `number ${chain.seq} of writer ${chain.writer.slice(0, 8)}`],
            ["Hash", h("code", { class: "wrap" }, chain.hash)],
            ["Before it", h("code", { class: "wrap" }, chain.previous)],
          ]),
          h(
            "p",
            { class: "quiet" },
            "Checked here: this record’s hash, its content and the links to both neighbours. ",
            h("code", null, "finnt decisions verify"),
            " walks the whole record.",
          ),
        ),
        h(
          "section",
          { class: "card", "aria-labelledby": "outcomes-title" },
          h("h3", { id: "outcomes-title", tabindex: -1 }, "What became of it"),
          outcomes(record, () => attached(record)),
        ),
      ),
      answer &&
        h(
          "section",
          { class: "card", "aria-labelledby": "answer-title" },
          h("h3", { id: "answer-title" }, `What was answered, ${answer.currency}`),
          answer.offers.length
            ? offersTable(answer.offers, convention)
            : decline(answer, convention, null),
          h(
            "details",
            null,
            h("summary", null, "Versions that decided"),
            pairs(
              Object.entries(answer.versions).map(([name, id]) => [
                words(name),
                h("code", { class: "wrap" }, id),
              ]),
            ),
          ),
        ),
      record.request &&
        h(
          "section",
          { class: "card" },
          h("h3", null, "What was asked"),
          pairs(
            [
              ["Amount asked for", money(record.request.requested_principal)],
              ["Term asked for", `${record.request.requested_term_months} months`],
              ...Object.entries(record.request.features).map(([name, value]) => [
                named(name),
                value === null ? "unknown" : given(value),
              ]),
            ],
            { class: "pairs across" },
          ),
          h(
            "div",
            { class: "buttons" },
            h("button", { type: "button", onclick: () => open(record) }, "Open as applicant"),
            h(
              "button",
              { type: "button", id: "replay", onclick: () => replay(record.decision_id, replayed) },
              "Replay",
            ),
          ),
          replayed,
        ),
    );
  }

  async function attached(record) {
    await find(record.decision_id);
    say("Outcome recorded");
    byId("outcomes-title")?.focus();
  }

  function open(record) {
    const { requested_principal, requested_term_months, features } = record.request;
    const known = Object.fromEntries(
      Object.entries(features).filter(([, value]) => value !== null),
    );
    const application = { requested_principal, requested_term_months, features: known };
    Object.assign(page, { answer: record.answer, asked: application });
    page.open("price", { application, decision: record.decision_id, selected: 0, what: null });
  }

  async function replay(id, place) {
    show(place, h("p", { class: "loading" }, "Computing it again …"));
    try {
      const told = await api.replay(id);
      show(
        place,
        h(
          "p",
          { class: told.agrees ? "good" : "bad" },
          told.agrees
            ? `It came out the same: ${told.compared.join(", ")}.`
            : "It came out otherwise.",
        ),
        told.differences.length
          ? table(
              "What came out otherwise",
              ["Field", "Recorded", "Recomputed"],
              told.differences.map((each) => [
                each.field,
                JSON.stringify(each.recorded),
                JSON.stringify(each.recomputed),
              ]),
            )
          : null,
        told.notes.map((note) => h("p", { class: "quiet" }, note)),
      );
    } catch (error) {
      show(place, h("p", { class: "wrong" }, error.message));
    }
  }

  const named = (name) => {
    const schema = page.described.fields.get(`features.${name}`);
    return schema ? label(name, schema) : words(name);
  };

  const nothing = (title, text) =>
    h("div", { class: "empty" }, h("h2", null, title), h("p", null, text));

  if (state.find) find(state.find);
  else
    show(
      result,
      nothing(
        "Find a decision",
        "Every answer carries the id of its decision. Reading needs a key with the scope read, an outcome one with outcome, where keys are asked for.",
      ),
    );
  return h(
    "div",
    null,
    h(
      "form",
      {
        class: "finder",
        role: "search",
        onsubmit: (event) => {
          event.preventDefault();
          if (input.value.trim()) find(input.value.trim());
        },
      },
      h("label", { for: "find" }, "Decision id"),
      input,
      h("button", { type: "submit", class: "primary" }, "Find"),
    ),
    recent.length > 0 &&
      h(
        "details",
        { class: "recent", open: !state.find },
        h("summary", null, `Decided in this tab: ${recent.length}`),
        h(
          "ul",
          null,
          recent.map((id) =>
            h(
              "li",
              null,
              h(
                "button",
                {
                  type: "button",
                  class: "link",
                  onclick: () => {
                    input.value = id;
                    find(id);
                  },
                },
                id,
              ),
            ),
          ),
        ),
      ),
    result,
  );
}
