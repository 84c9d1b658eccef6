// What the page shows, in the part of its address that browsers never send.

export function written(state) {
  const bytes = new TextEncoder().encode(JSON.stringify(state));
  return `#s=${btoa(String.fromCharCode(...bytes))
    .replaceAll("+", "-")
    .replaceAll("/", "_")
    .replace(/=+$/, "")}`;
}

/** The state in an address: empty where the address has none, null where it cannot be read. */
export function read(hash) {
  const text = new URLSearchParams(hash.slice(1)).get("s");
  if (!text) return {};
  try {
    const bytes = Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (c) =>
      c.charCodeAt(0),
    );
    const state = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
    return isObject(state) &&
      Object.entries(SHAPE).every(([name, fits]) => !(name in state) || fits(state[name]))
      ? state
      : null;
  } catch {
    return null;
  }
}

const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
const isApplication = (value) => isObject(value) && isObject(value.features);
const isMaybe = (type) => (value) => value === null || typeof value === type;

const SHAPE = {
  portfolio: (value) => typeof value === "string",
  view: (value) => typeof value === "string",
  application: isApplication,
  selected: (value) => Number.isInteger(value) && value >= 0,
  decision: isMaybe("string"),
  find: isMaybe("string"),
  what: (value) =>
    value === null ||
    (isObject(value) &&
      isApplication(value.application) &&
      isObject(value.assume) &&
      ["principal", "term_months", "quoted_rate"].every((name) => isMaybe("number")(value[name]))),
};
