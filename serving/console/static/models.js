// The models in force and the policy: where they come from, what the gate said, what evidence there is.

import { api } from "./api.js";
import { chart, legend, percentTicks, plainTicks } from "./charts.js";
import { h, pairs, show } from "./dom.js";
import { percent, plain, signed, words } from "./format.js";

const code = (text) => (text ? h("code", { class: "wrap" }, text) : null);

export function modelsView(page) {
  const result = h(
    "div",
    { class: "answer", id: "models" },
    h("p", { class: "loading" }, "Loading …"),
  );

  async function load() {
    try {
      const [models, policy, status] = await Promise.all([
        api.models(),
        api.policy(),
        api.status(),
      ]);
      show(
        result,
        h(
          "header",
          { class: "outcome" },
          h("h2", null, status.portfolio.title),
          h(
            "p",
            { class: "quiet" },
            "pair ",
            h("code", null, models.pair),
            ` · ${status.alias} · since ${status.served_since.slice(0, 16).replace("T", " ")} UTC · engine ${models.versions.engine ?? status.version}`,
          ),
        ),
        status.reload_refused &&
          h("p", { class: "notice" }, `A newer pair was refused: ${status.reload_refused}`),
        h(
          "div",
          { class: "panels" },
          Object.entries(models.models).map(([name, each]) =>
            lineage(name, each, status.models[name]),
          ),
        ),
        gate(models.gate),
        evidence(models.plots),
        h(
          "section",
          { class: "card", "aria-labelledby": "policy-title" },
          h("h3", { id: "policy-title" }, "Lending policy in force"),
          rules(policy),
        ),
      );
    } catch (error) {
      page.fail(error);
      show(
        result,
        h("div", { class: "empty" }, h("h2", null, "Not to be shown"), h("p", null, error.message)),
      );
    }
  }

  load();
  return result;
}

function lineage(name, model, status) {
  return h(
    "section",
    { class: "card", "aria-label": `The ${name} model` },
    h(
      "h3",
      null,
      `${words(name)} model `,
      h(
        "span",
        { class: status?.ready ? "good" : "bad" },
        status?.ready ? "ready" : "does not answer",
      ),
    ),
    pairs([
      ["Version", code(model.version)],
      ["Registered as", code(model.registered)],
      ["Trained by run", code(model.run_id)],
      ["From commit", code(model.git_commit)],
      ["File, SHA-256", code(model.sha256)],
      ...Object.entries(model.data_sha256).map(([each, digest]) => [
        `Data: ${each}, SHA-256`,
        code(digest),
      ]),
    ]),
  );
}

function gate(found) {
  const title = h("h3", { id: "gate-title" }, "Verdicts of the gate");
  if (!found)
    return h(
      "section",
      { class: "card", "aria-labelledby": "gate-title" },
      title,
      h("p", { class: "quiet" }, "None shipped with this pair."),
    );
  const exceptions = Object.entries(found.signed_off);
  const row = (each) =>
    h(
      "tr",
      null,
      h("th", { scope: "row" }, each.criterion),
      h("td", { class: each.passed ? "good" : "bad" }, each.outcome),
      h("td", { class: "number" }, each.figure === null ? "–" : plain(each.figure, 4)),
      h(
        "td",
        { class: "number" },
        each.interval ? each.interval.map((end) => plain(end, 4)).join(" to ") : "–",
      ),
      h("td", null, each.bound),
      h("td", { class: "wide" }, each.why),
    );
  return h(
    "section",
    { class: "card", "aria-labelledby": "gate-title" },
    title,
    h(
      "div",
      { class: "scroll", tabindex: 0, role: "region", "aria-label": "Verdicts, one by one" },
      h(
        "table",
        { class: "verdicts" },
        h(
          "thead",
          null,
          h(
            "tr",
            null,
            ["Criterion", "Outcome", "Figure", "95 % interval", "Bound", "Why"].map((text, i) =>
              h("th", { scope: "col", class: i === 2 || i === 3 ? "number" : null }, text),
            ),
          ),
        ),
        h("tbody", null, found.verdicts.map(row)),
      ),
    ),
    exceptions.length > 0 &&
      h(
        "ul",
        null,
        exceptions.map(([flag, each]) =>
          h("li", null, `${flag}: signed off by ${each.by}: ${each.reason}`),
        ),
      ),
  );
}

function evidence(plots) {
  const title = h("h3", { id: "evidence-title" }, "Evidence, on rows the models never saw");
  if (!plots.length)
    return h(
      "section",
      { class: "card", "aria-labelledby": "evidence-title" },
      title,
      h("p", { class: "quiet" }, "None shipped with this pair."),
    );
  const lines = [
    { label: "Observed, with 95 % interval", tone: "--accent" },
    { label: "Predicted", tone: "--default", dash: [5, 3] },
  ];
  return h(
    "section",
    { class: "card", "aria-labelledby": "evidence-title" },
    title,
    legend(lines),
    h("p", { class: "quiet" }, "Prices are in points from the list price."),
    h("div", { class: "plots" }, plots.map(plot)),
  );
}

function plot({ model, kind, title, value, predicted, observed, low, high, rows }) {
  const of = model === "risk" ? "default" : "acceptance";
  const segment = words(title.replace(/^price_/, ""));
  const caption =
    kind === "calibration"
      ? `${words(model)}: calibration, ${of} by predicted ${of}`
      : `${words(model)}: ${of} by price, ${segment}`;
  const [xText, xTicks] =
    kind === "calibration"
      ? [percent, percentTicks]
      : [(x) => signed(x, (each) => plain(each, 2)), plainTicks];
  const rate = (y) => percent(y, 1);
  return chart({
    x: value,
    height: 200,
    xText,
    xTicks,
    yText: percent,
    yTicks: percentTicks,
    caption,
    xAxis: kind === "calibration" ? "Predicted" : "Points from the list price",
    told: `${caption}: observed between ${rate(Math.min(...observed))} and ${rate(Math.max(...observed))} in ${value.length} bins of ${plain(rows[0])} rows.`,
    lines: [
      { label: "High", values: high, tone: "--band-line", width: 1, bandTo: 1, text: rate },
      { label: "Low", values: low, tone: "--band-line", width: 1, text: rate },
      { label: "Observed", values: observed, tone: "--accent", width: 2, points: true, text: rate },
      { label: "Predicted", values: predicted, tone: "--default", dash: [5, 3], text: rate },
    ],
  });
}

function rules(policy) {
  const { digest, economics, ...own } = policy;
  const said = (value) =>
    value === null
      ? "none"
      : Array.isArray(value)
        ? value.join(", ")
        : typeof value === "object"
          ? Object.entries(value)
              .map(([name, each]) => `${name}: ${each}`)
              .join(", ")
          : String(value);
  const entries = (content) =>
    Object.entries(content).map(([name, value]) => [words(name), said(value)]);
  return [
    pairs([["Hash", code(digest)]]),
    h(
      "p",
      { class: "quiet" },
      "As policy.yaml has it: rates, ratios and caps are fractions, amounts of money in the book’s currency.",
    ),
    pairs(entries(own), { class: "pairs across" }),
    h("h4", null, "Economics"),
    pairs(entries(economics), { class: "pairs across" }),
  ];
}
