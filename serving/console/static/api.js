// The public HTTP API, and nothing besides.

const KEY = "finnt.key";

/** What the API refuses, in its own words: `errors` names the fields. */
export class Problem extends Error {
  constructor({ title, detail, status, errors = [] }) {
    super(detail || title);
    Object.assign(this, { title, detail, status, errors });
  }
}

export const key = {
  read: () => sessionStorage.getItem(KEY) ?? "",
  keep: (text) => text ? sessionStorage.setItem(KEY, text) : sessionStorage.removeItem(KEY),
};

async function asked(method, path, body, signal) {
  const headers = { Accept: "application/json" };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (key.read()) headers.Authorization = `Bearer ${key.read()}`;
  let response;
  try {
    response = await fetch(path, {
      method, headers, signal, body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem({ title: "The service does not answer", detail: "It may be starting, or the network is down; try again.", status: 0 });
  }
  const text = await response.text();
  let content;
  try {
    content = JSON.parse(text);
  } catch {
    content = { title: response.statusText || "An answer that cannot be read", detail: "", status: response.status };
  }
  if (!response.ok) throw new Problem({ status: response.status, ...content });
  return content;
}

const decision = (id) => `/v1/decisions/${encodeURIComponent(id)}`;

export const api = {
  description: () => asked("GET", "/openapi.json"),
  status: () => asked("GET", "/v1/status"),
  offers: (application) => asked("POST", "/v1/offers", { ...application, explain: true }),
  curve: (question, signal) => asked("POST", "/v1/curve", question, signal),
  policy: () => asked("GET", "/v1/policy"),
  models: () => asked("GET", "/v1/models"),
  decision: (id) => asked("GET", decision(id)),
  chain: (id) => asked("GET", `${decision(id)}/chain`),
  replay: (id) => asked("POST", `${decision(id)}/replay`),
  outcome: (id, said) => asked("POST", `${decision(id)}/outcome`, said),
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
