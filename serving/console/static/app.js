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

const VIEWS = {
  price: priceView,
  "what-if": whatIfView,
  decisions: decisionsView,
  models: modelsView,
};
const RECENT = "finnt.recent";
const THEME = "finnt.theme";
const MOST_RECENT = 20;
const SOON_MS = 300; // browsers refuse an address that changes with every step of a slider
const NO_KEY = [401, 403];

let addressing;

const page = {
  state: null,
  answer: null,
  asked: null,
  described: null,
  portfolio: null,
  wide: null,
  offersTable,

  /** Change what the address says, soon if it may change again; the view that asked shows it itself. */
  update(changes, { later = false } = {}) {
    Object.assign(page.state, changes);
    if (later) addressing ??= setTimeout(addressed, SOON_MS);
    else addressed();
  },

  open(view, changes = {}) {
    addressed();
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
    const named = (error.errors ?? []).map((each) =>
      h("li", null, `${each.field} ${each.problem}`),
    );
    show(
      byId("problem"),
      h("h2", null, error.title ?? "The page cannot show this"),
      named.length ? h("ul", null, named) : h("p", null, error.message),
      NO_KEY.includes(error.status) &&
        h("p", null, "Give a key that may do this, with the button API key above."),
      error.wait && h("p", null, `Ask again in ${error.wait} s.`),
    );
    byId("problem").hidden = false;
  },

  /** Decisions of this tab, the last one first. */
  recent: () => JSON.parse(sessionStorage.getItem(RECENT) ?? "[]"),
  remember(id) {
    sessionStorage.setItem(RECENT, JSON.stringify([id, ...page.recent()].slice(0, MOST_RECENT)));
  },
};

function addressed() {
  clearTimeout(addressing);
  addressing = undefined;
  if (page.state) history.replaceState(null, "", written(page.state));
}

function draw() {
  page.clear();
  page.wide = null;
  for (const button of byId("views").children) {
    const shown = button.dataset.view === page.state.view;
    if (shown) button.setAttribute("aria-current", "page");
    else button.removeAttribute("aria-current");
    if (shown) document.title = `${button.textContent} · Finntelligence`;
  }
  show(byId("view"), VIEWS[page.state.view](page));
}

/** Show the state that the address holds, with whatever it lacks. */
function restore() {
  clearTimeout(addressing);
  addressing = undefined;
  const { name } = page.portfolio;
  const found = read(location.hash);
  const foreign = (found?.portfolio ?? name) !== name;
  const usable = foreign ? {} : (found ?? {});
  page.state = {
    selected: 0,
    decision: null,
    what: null,
    find: null,
    application: structuredClone(page.described.example),
    ...usable,
    view: Object.hasOwn(VIEWS, usable.view) ? usable.view : "price",
    portfolio: name,
  };
  draw();
  if (foreign)
    page.fail({
      title: "The link is to another book",
      message: `It is about ${found.portfolio}, and this service prices ${name}. Its own example is shown instead.`,
    });
  if (found === null)
    page.fail({
      title: "The link is damaged",
      message:
        "Nothing of it can be read. Ask for it again; the book’s own example is shown instead.",
    });
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
    localStorage.setItem(
      THEME,
      document.documentElement.dataset.theme === "dark" ? "light" : "dark",
    );
    themed(chosen());
  });
  byId("copy-link").addEventListener("click", async () => {
    addressed();
    try {
      await navigator.clipboard.writeText(location.href);
      say("Link copied");
      byId("copy-link").textContent = "Copied";
    } catch {
      say("The address of this page is the link");
      byId("copy-link").textContent = "See address";
    }
    setTimeout(() => {
      byId("copy-link").textContent = "Copy link";
    }, 1500);
  });
  byId("key-button").addEventListener("click", () => {
    byId("key").value = key.read();
    byId("key-dialog").showModal();
  });
  byId("key-dialog").addEventListener("close", () => {
    const { returnValue } = byId("key-dialog");
    if (returnValue === "keep") key.keep(byId("key").value.trim());
    else if (returnValue === "forget") key.keep("");
    byId("key").value = "";
    keyed();
    if (returnValue === "keep" || returnValue === "forget") start();
  });
  byId("skip").addEventListener("click", (event) => {
    event.preventDefault();
    byId("main").focus();
  });
  for (const button of byId("views").children) {
    button.addEventListener("click", () => page.state && page.open(button.dataset.view));
  }
  addEventListener("popstate", () => {
    if (page.described) restore();
  });
  addEventListener("pagehide", addressed);
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
    show(
      byId("served"),
      h("strong", null, status.portfolio.name),
      ` ${status.pair} `,
      h("span", { class: status.status === "ready" ? "good" : "bad" }, status.status),
    );
    restore();
  } catch (error) {
    page.fail(error);
    show(
      byId("view"),
      h(
        "div",
        { class: "empty" },
        h("h2", null, "Nothing to show yet"),
        h("p", null, "The service did not say what it serves."),
        h("button", { type: "button", onclick: start }, "Try again"),
      ),
    );
  }
}

tools();
start();
