// The page: which view, whose applicant, in whose name; all of it in the address, but for the key.

import { api, key } from "./api.js";
import { redraw } from "./charts.js";
import { decisionsView } from "./decisions.js";
import { byId, h, say, show } from "./dom.js";
import { described } from "./form.js";
import { read, written } from "./link.js";
import { modelsView } from "./models.js";
import { offersTable } from "./offers.js";
import { priceView } from "./price.js";
import { whatIfView } from "./what-if.js";

const VIEWS = { price: priceView, "what-if": whatIfView, decisions: decisionsView, models: modelsView };
const RECENT = "finnt.recent";
const THEME = "finnt.theme";
const MOST_RECENT = 20;

const page = {
  state: null,
  answer: null,
  described: null,
  portfolio: null,
  wide: null,
  offersTable,

  /** Change what the address says; the view that asked shows it itself. */
  update(changes) {
    Object.assign(page.state, changes);
    history.replaceState(null, "", written(page.state));
  },

  open(view, changes = {}) {
    Object.assign(page.state, changes, { view });
    history.pushState(null, "", written(page.state));
    draw();
    byId("main").focus();
  },

  clear() {
    byId("problem").hidden = true;
  },

  /** Say what went wrong in the service's own words, and what to do about it. */
  fail(error) {
    if (!error.title) console.warn(error);
    const advice = error.status === 401 || error.status === 403 ? "Give a key that may do this, with the button API key above." : null;
    const named = (error.errors ?? []).map((each) => h("li", null, `${each.field} ${each.problem}`));
    show(byId("problem"), h("h2", null, error.title ?? "The page cannot show this"), h("p", null, named.length ? null : error.message), named.length ? h("ul", null, named) : null, advice && h("p", null, advice));
    byId("problem").hidden = false;
  },

  recent: () => JSON.parse(sessionStorage.getItem(RECENT) ?? "[]"),
  remember(id) {
    sessionStorage.setItem(RECENT, JSON.stringify([id, ...page.recent()].slice(0, MOST_RECENT)));
  },
};

function draw() {
  page.clear();
  page.wide = null;
  for (const button of byId("views").children) {
    if (button.dataset.view === page.state.view) button.setAttribute("aria-current", "page");
    else button.removeAttribute("aria-current");
  }
  show(byId("view"), VIEWS[page.state.view](page));
}

/** The state that an address holds, with whatever it lacks. */
function restored() {
  const found = read(location.hash) ?? {};
  const { application } = found;
  const usable = application && typeof application.features === "object" && application.features !== null;
  return {
    selected: 0, decision: null, what: null, find: null, ...found,
    view: Object.hasOwn(VIEWS, found.view) ? found.view : "price",
    application: usable ? application : structuredClone(page.described.example),
  };
}

function themed(theme) {
  document.documentElement.dataset.theme = theme;
  byId("theme").textContent = theme === "dark" ? "Light" : "Dark";
  byId("theme").setAttribute("aria-label", theme === "dark" ? "Light theme" : "Dark theme");
  redraw();
}

const preferred = matchMedia("(prefers-color-scheme: dark)");
const chosen = () => localStorage.getItem(THEME) ?? (preferred.matches ? "dark" : "light");

function tools() {
  themed(chosen());
  preferred.addEventListener("change", () => themed(chosen()));
  byId("theme").addEventListener("click", () => {
    localStorage.setItem(THEME, document.documentElement.dataset.theme === "dark" ? "light" : "dark");
    themed(chosen());
  });
  byId("copy-link").addEventListener("click", async () => {
    history.replaceState(null, "", written(page.state));
    try {
      await navigator.clipboard.writeText(location.href);
      say("Link copied");
      byId("copy-link").textContent = "Copied";
    } catch {
      say("The address of this page is the link");
      byId("copy-link").textContent = "See address";
    }
    setTimeout(() => { byId("copy-link").textContent = "Copy link"; }, 1500);
  });
  byId("key-button").addEventListener("click", () => { byId("key").value = key.read(); byId("key-dialog").showModal(); });
  byId("key-dialog").addEventListener("close", () => {
    const { returnValue } = byId("key-dialog");
    if (returnValue === "keep") key.keep(byId("key").value.trim());
    else if (returnValue === "forget") key.keep("");
    byId("key").value = "";
    keyed();
    if (returnValue === "keep" || returnValue === "forget") start();
  });
  byId("skip").addEventListener("click", (event) => { event.preventDefault(); byId("main").focus(); });
  for (const button of byId("views").children) button.addEventListener("click", () => page.open(button.dataset.view));
  addEventListener("popstate", () => { if (page.described) { page.state = restored(); draw(); } });
  matchMedia("(max-width: 640px)").addEventListener("change", () => page.wide?.());
  keyed();
}

function keyed() {
  byId("key-button").textContent = key.read() ? "API key: set" : "API key";
}

async function start() {
  page.clear();
  try {
    page.described = described(await api.description());
    const status = await api.status();
    page.portfolio = status.portfolio;
    show(byId("served"), h("strong", null, status.portfolio.name), ` ${status.pair} `, h("span", { class: status.status === "ready" ? "good" : "bad" }, status.status));
    page.state = restored();
    draw();
  } catch (error) {
    page.fail(error);
    show(byId("view"), h("div", { class: "empty" }, h("h2", null, "Nothing to show yet"), h("p", null, "The service did not say what it serves."), h("button", { type: "button", onclick: start }, "Try again")));
  }
}

tools();
start();
