// The public HTTP API, and nothing besides.

const KEY = "finnt.key";
const PATIENCE_MS = 30_000;

/** What the API refuses, in its own words: `errors` names the fields. */
export class Problem extends Error {
  constructor({ title, detail, status, errors = [], wait = null }) {
    super(detail || title);
    Object.assign(this, { title, status, errors, wait });
  }
}

export const key = {
  read: () => sessionStorage.getItem(KEY) ?? "",
  keep: (text) => (text ? sessionStorage.setItem(KEY, text) : sessionStorage.removeItem(KEY)),
};

async function asked(method, path, body) {
  const headers = { Accept: "application/json" };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (key.read()) headers.Authorization = `Bearer ${key.read()}`;
  let response;
  let text;
  try {
    response = await fetch(path, {
      method,
      headers,
      signal: AbortSignal.timeout(PATIENCE_MS),
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    text = await response.text();
  } catch (error) {
    const detail =
      error.name === "TimeoutError"
        ? `It was given ${PATIENCE_MS / 1000} seconds; try again later.`
        : "It may be starting, or the network is down; try again.";
    throw new Problem({ title: "The service does not answer", detail, status: 0 });
  }
  let content;
  try {
    content = JSON.parse(text);
  } catch {
    content = {
      title: response.statusText || "An answer that cannot be read",
      detail: "",
      status: response.status,
    };
  }
  if (!response.ok)
    throw new Problem({
      status: response.status,
      ...content,
      wait: response.headers.get("Retry-After"),
    });
  return content;
}

const decision = (id) => `/v1/decisions/${encodeURIComponent(id)}`;

export const api = {
  description: () => asked("GET", "/openapi.json"),
  status: () => asked("GET", "/v1/status"),
  offers: (application) => asked("POST", "/v1/offers", { ...application, explain: true }),
  curve: (question) => asked("POST", "/v1/curve", question),
  policy: () => asked("GET", "/v1/policy"),
  models: () => asked("GET", "/v1/models"),
  decision: (id) => asked("GET", decision(id)),
  chain: (id) => asked("GET", `${decision(id)}/chain`),
  replay: (id) => asked("POST", `${decision(id)}/replay`),
  outcome: (id, content) => asked("POST", `${decision(id)}/outcome`, content),
};

/** Run `work` on the newest argument only: one at a time, what waits is replaced, nothing overtakes. */
export function newestOnly(work) {
  let running = null;
  let waiting = null;
  return function ask(argument) {
    waiting = { argument };
    running ??= (async () => {
      try {
        while (waiting) {
          const { argument: next } = waiting;
          waiting = null;
          await work(next, () => waiting === null);
        }
      } finally {
        running = null;
      }
    })();
    return running;
  };
}
