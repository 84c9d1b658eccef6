"""A real, headless Chromium on the console, which fails on whatever a page may not do.

`pytest_plugins = ["tests.serving.browser"]`. PYTEST_DONT_REWRITE: modules import it before pytest.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
QUIET = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
LAPTOP, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}
TABLET = {"width": 768, "height": 1024}  # too narrow for the menu's columns, which scroll in it
REFUSED = "Failed to load resource: the server responded with a status of "


@dataclass
class Watched:
    """A page of the console and what went wrong on it; `refusals` are statuses that must come."""

    page: Page
    url: str
    wrong: list[str] = field(default_factory=list)
    refusals: list[int] = field(default_factory=list)

    def heard(self, message: ConsoleMessage) -> None:
        """Note an error or a warning; Chromium logs each refused request as an error."""
        if message.type not in ("error", "warning"):
            return
        for status in self.refusals:
            if message.text.startswith(f"{REFUSED}{status}"):
                return
        self.wrong.append(f"{message.type}: {message.text}")

    def asked(self, request: Request) -> None:
        """Note a request that leaves the service."""
        if not request.url.startswith(self.url):
            self.wrong.append(f"external request: {request.url}")

    def accessible(self) -> None:
        """Note every violation that axe-core finds on the page as it stands."""
        for each in Axe().run(self.page).response["violations"]:
            where = "; ".join(node["html"][:120] for node in each["nodes"][:3])
            self.wrong.append(f"{each['id']}: {each['help']} at {where}")
        wide = self.page.evaluate("document.documentElement.scrollWidth - innerWidth")
        if wide > 0:
            self.wrong.append(f"the page is {wide} pixels wider than its window")

    def open(self, fragment: str = "") -> None:
        """Open the console and wait until it shows a view."""
        self.page.goto(f"{self.url}/console{fragment}")
        self.page.locator("#view .loading").wait_for(state="detached")

    def view(self, name: str) -> None:
        """Go to another view."""
        self.page.click(f'#views button[data-view="{name}"]')


@pytest.fixture(scope="module")  # while it is open, its thread can run no other event loop
def browser() -> Iterator[Browser]:
    """Debian's Chromium; in CI its absence is an error."""
    if CHROMIUM is None:
        if os.environ.get("CI"):
            raise RuntimeError("no Chromium: .ci/run installs it")
        pytest.skip("no Chromium on the PATH; apt-get install chromium brings one")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        yield browser
        browser.close()


@contextmanager
def watched(browser: Browser, url: str, **words: object) -> Iterator[Watched]:
    """Open a tab of its own; whatever went wrong on it fails the test at the end."""
    context = browser.new_context(**{"viewport": LAPTOP, **words})
    tab = Watched(context.new_page(), url)
    tab.page.on("console", tab.heard)
    tab.page.on("pageerror", lambda error: tab.wrong.append(str(error)))
    tab.page.on("request", tab.asked)
    try:
        yield tab
    finally:
        context.close()
    if tab.wrong:
        raise AssertionError("\n".join(tab.wrong))


def ask(tab: Watched) -> dict:
    """Get offers to the applicant in the form; return the service's answer once all is shown."""
    with tab.page.expect_response("**/v1/offers") as answered:
        tab.page.click("#decide")
    tab.page.locator("#why canvas").first.wait_for()
    return answered.value.json()


def ask_for(tab: Watched, count: int) -> Iterator[dict]:
    """Yield the answers to so many applicants: the examples that get offers, at several amounts."""
    tab.open()
    examples = tab.page.locator("#example option").count() - 2  # the last of them is declined
    amount = tab.page.locator('[name="requested_principal"]')
    for place in range(count):
        tab.page.select_option("#example", str(place % examples))
        amount.fill(f"{float(amount.input_value()) * (1 - place / count / 2):.0f}")
        yield ask(tab)


def number(text: str) -> float:
    """Read a number as the page writes it."""
    return float(
        text.replace(",", "").replace("\u2212", "-").removesuffix(" %").removesuffix(" mo")
    )


MONEY = {
    "Amount": "principal",
    "Payment a month": "monthly_payment",
    "Total cost": "total_cost",
    "Expected profit": "expected_profit",
}
SHARES = {
    "APR": "apr",
    "P(accept)": "p_accept",
    "PD, lifetime": "pd_lifetime",
    "P(chosen)": "p_choice",
}


def unlike(tab: Watched, offers: list[dict]) -> list[str]:
    """Return which figures of the menu on a laptop's page are not the offers', to the cent."""
    rows = tab.page.locator("#menu table.offers tbody tr")
    wrong = [] if rows.count() == len(offers) else [f"{rows.count()} rows of {len(offers)} offers"]
    for row, offer in zip(rows.all(), offers, strict=False):
        for names, scale, slack in ((MONEY, 1, 0.005), (SHARES, 100, 0.005)):
            for label, name in names.items():
                shown = number(row.locator(f'td[data-figure="{label}"]').inner_text())
                if abs(shown - scale * offer[name]) > slack + 1e-9:
                    wrong.append(f"{label}: {shown} is not {scale * offer[name]}")
    return wrong


def walk(tab: Watched) -> None:
    """Go through every view of an applicant who gets offers, and look at each with axe-core."""
    tab.open()
    tab.accessible()
    answer = ask(tab)
    assert answer["outcome"] == "offers"
    tab.accessible()
    tab.view("what-if")
    tab.page.locator("#compared canvas").wait_for()
    tab.accessible()
    tab.view("price")
    tab.page.click("#decision-id")
    tab.page.locator("#chain").wait_for()
    tab.page.click("#replay")
    tab.page.locator("#replayed .good").wait_for()
    tab.accessible()
    tab.view("models")
    tab.page.locator("#policy-title").wait_for()
    tab.accessible()
