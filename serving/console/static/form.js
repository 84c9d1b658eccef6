// The applicant's form, made from the API's own description: any portfolio's fields, units and bounds.

import { h } from "./dom.js";
import { meaning, plain, words } from "./format.js";

/** What the description says of an application: fields by their path, and the example. */
export function described(document) {
  const schema = document.components.schemas.OfferRequest.properties;
  const features = schema.features;
  const own = ["requested_principal", "requested_term_months"].map((name) => [
    name,
    { ...schema[name], required: true },
  ]);
  const theirs = Object.entries(features.properties).map(([name, each]) => [
    `features.${name}`,
    { ...each, required: (features.required ?? []).includes(name) },
  ]);
  theirs.sort(([, a], [, b]) => b.required - a.required);
  const asked = document.paths["/v1/offers"].post.requestBody.content["application/json"];
  return { fields: new Map([...own, ...theirs]), example: asked.example };
}

export const read = (application, path) =>
  path.startsWith("features.") ? application.features?.[path.slice(9)] : application[path];

export function changed(application, path, value) {
  if (!path.startsWith("features.")) return { ...application, [path]: value };
  const features = { ...application.features, [path.slice(9)]: value };
  if (value === undefined) delete features[path.slice(9)];
  return { ...application, features };
}

export const label = (path, schema) => meaning(schema, path.replace("features.", ""));

const grouped = (number) => plain(number, Number.isInteger(number) ? 0 : 2);

export function bounds(schema) {
  const unit = schema["x-unit"] ?? "";
  if (schema.enum) return unit;
  return `${grouped(schema.minimum)} to ${grouped(schema.maximum)} ${unit}`.trim();
}

/** What is typed, as JSON has it: a number where it is one, else the text, for the API to judge. */
function typed(text, schema) {
  if (text === "") return undefined;
  if (schema.enum) return schema.enum.find((choice) => String(choice) === text) ?? text;
  const number = Number(text.replaceAll(",", "").replaceAll(" ", ""));
  return Number.isNaN(number) ? text : number;
}

function control(id, path, schema, value, change) {
  const attributes = { id, name: path, "aria-describedby": `${id}-bounds ${id}-problem` };
  const text = value === undefined || value === null ? "" : String(value);
  if (schema.enum) {
    const choices = schema.enum.filter((choice) => choice !== null);
    const known = text === "" || choices.some((choice) => String(choice) === text);
    return h(
      "select",
      { ...attributes, onchange: (event) => change(typed(event.target.value, schema)) },
      (!schema.required || text === "" || !known) &&
        h("option", { value: "", selected: text === "" }, schema.required ? "choose" : "unknown"),
      !known && h("option", { value: text, selected: true }, text),
      choices.map((choice) =>
        h(
          "option",
          { value: String(choice), selected: String(choice) === text },
          words(String(choice)),
        ),
      ),
    );
  }
  return h("input", {
    ...attributes,
    type: "text",
    inputmode: "decimal",
    autocomplete: "off",
    value: text,
    placeholder: schema.required ? null : "unknown",
    oninput: (event) => change(typed(event.target.value.trim(), schema)),
  });
}

/** Rows of the form; `change(path, value)` hears of every edit. */
export function rows(fields, application, change, prefix = "f") {
  return [...fields].map(([path, schema]) => {
    const id = `${prefix}-${path.replaceAll(".", "-")}`;
    return h(
      "div",
      { class: "field", "data-field": path },
      h("label", { for: id }, label(path, schema)),
      control(id, path, schema, read(application, path), (value) => change(path, value)),
      h("small", { id: `${id}-bounds` }, bounds(schema), schema.required ? "" : " · optional"),
      h("p", { id: `${id}-problem`, class: "wrong", hidden: true }),
    );
  });
}

/** Show problems beside the fields they name; return those that name none of them. */
export function mark(form, errors) {
  const left = [];
  for (const field of form.querySelectorAll(".field[data-field]")) {
    const found = errors.filter((error) => error.field === field.dataset.field);
    const [input, words] = [field.querySelector("input, select"), field.querySelector(".wrong")];
    words.hidden = found.length === 0;
    words.textContent = found.map((error) => error.problem).join("; ");
    if (found.length) input.setAttribute("aria-invalid", "true");
    else input.removeAttribute("aria-invalid");
  }
  const named = new Set(
    [...form.querySelectorAll(".field[data-field]")].map((field) => field.dataset.field),
  );
  for (const error of errors) if (!named.has(error.field)) left.push(error);
  return left;
}

/** An application from what somebody pasted: whole, or in the shape of a recorded request. */
export function pasted(text) {
  const content = JSON.parse(text);
  const found = content?.request ?? content;
  if (found === null || typeof found !== "object" || typeof found.features !== "object") {
    throw new SyntaxError("it has no object `features`");
  }
  const { requested_principal, requested_term_months, features } = found;
  return { requested_principal, requested_term_months, features };
}
