// Numbers and words as the page says them. A number that is shown is the API's, rounded and no more.

const locale = "en-GB";
const formats = new Map();

function formatted(digits, value) {
  if (!formats.has(digits)) {
    formats.set(
      digits,
      new Intl.NumberFormat(locale, {
        minimumFractionDigits: digits,
        maximumFractionDigits: digits,
      }),
    );
  }
  return formats.get(digits).format(value).replace("-", "−");
}

export const money = (value) => (value === null || value === undefined ? "–" : formatted(2, value));
export const plain = (value, digits = 0) => formatted(digits, value);
/** A fraction in per cent. */
export const percent = (value, digits = 2) =>
  value === null || value === undefined ? "–" : `${formatted(digits, 100 * value)} %`;
/** A change of a share, in percentage points. */
export const points = (value) => `${formatted(2, 100 * value)} pp`;
/** A change: its sign is said unless all its digits are noughts. */
export function signed(value, text) {
  const said = text(value);
  return /[1-9]/.test(said) ? (value > 0 ? "+" : "") + said : said.replace("−", "");
}
/** A value as somebody gave it. */
export const given = (value) =>
  typeof value === "number"
    ? value.toLocaleString(locale, { maximumFractionDigits: 6 }).replace("-", "−")
    : words(String(value));
export const day = (text) =>
  text
    .replace("T", " ")
    .replace(/\.\d+/, "")
    .replace(/(Z|\+00:00)$/, " UTC");

/** How a book quotes its rates. */
export const perTime = (convention) =>
  convention === "addon_monthly" ? "a month, add-on" : "a year";

const RULES = {
  PRICE_RANGE: "edge of the price range",
  TICK: "between two quotable rates",
  PRINCIPAL_MENU: "amount is not on the menu",
  TERM_MENU: "term is not on the menu",
  NO_EVIDENCE: "such an offer was never tried",
  APR_CAP: "cap on the APR",
  PTI: "payment over income",
  DTI: "all debt over income",
  PD_CUTOFF: "limit on the PD",
  RAROC: "return on capital",
  EXPECTED_LOSS: "no price makes a profit",
  PORTFOLIO_LIMIT: "limit on all loans together",
  EXPERIMENT: "drawn by the experiment",
};
export const rule = (code) => (code ? (RULES[code] ?? code) : "–");

const PARTS = {
  interest: "Interest",
  fee: "Fee",
  funding: "Funding",
  credit_loss: "Credit loss",
  servicing: "Servicing",
  acquisition: "Acquisition",
  capital_charge: "Capital charge",
  npv: "Value of the loan",
};
export const part = (name) => PARTS[name] ?? name;

/** What a field means, without what stands beside it anyway. */
export function meaning(schema, name) {
  const unit = schema["x-unit"];
  const text = (schema.description ?? words(name))
    .replace(unit ? ` (${unit})` : "", "")
    .replace(`, ${unit}`, "");
  return text.split(";")[0];
}

const SHORT = /\b(apr|dti|fico|lgd|pd|pti|raroc)\b/gi;
export const words = (name) =>
  (name.charAt(0).toUpperCase() + name.slice(1))
    .replaceAll("_", " ")
    .replace(SHORT, (each) => each.toUpperCase());
