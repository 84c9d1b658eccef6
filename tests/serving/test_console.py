"""The console in a real browser, on doors in this process, for every book that prices offers."""

import re
from dataclasses import replace

import pytest

from serving.decision_log import DecisionLog
from serving.gate import Gate, HttpGate
from serving.http_door import PlainErrors
from serving.keys import KeyFile, add
from serving.rate_limit import Admission, RateLimits
from serving.record.database import connected
from serving.record.documents import documents_of
from serving.record.settings import RecordSettings
from serving.security_headers import SecurityHeaders
from tests.serving.browser import LAPTOP, PHONE, TABLET, ask, number, unlike, walk, watched
from tests.serving.doors import Loop, http_app, http_url

pytest_plugins = ["tests.serving.browser"]


def gate(keys=None):
    admission = Admission(in_flight=64, queue=64, patience_s=30)
    return Gate(keys=keys, rates=RateLimits(workers=1), admission=admission)


@pytest.fixture
def site(any_engine, tmp_path):
    """A function: the address of a door on the engine, with a record, locked if keys are given."""
    settings, name = RecordSettings(), any_engine.market.portfolio.name
    (tmp_path / "build" / name).mkdir(parents=True)
    with connected(settings.database(name, tmp_path)):
        pass
    with Loop() as loop:
        log = DecisionLog.open(settings, name, tmp_path)
        documents = loop.run(log.keep(documents_of(any_engine.market, {})))

        def served(keys=None):
            app = http_app(replace(any_engine, documents=documents), log)
            return http_url(SecurityHeaders(PlainErrors(HttpGate(app, gate(keys)))))

        yield served
        loop.run(log.close())


@pytest.fixture
def tab(site, browser):
    with site() as url, watched(browser, url) as tab:
        yield tab


@pytest.mark.parametrize(
    ("viewport", "theme"),
    [(LAPTOP, "light"), (TABLET, "light"), (PHONE, "dark")],
    ids=["laptop", "tablet", "phone"],
)
def test_every_view_is_shown_and_accessible(site, browser, viewport, theme):
    with site() as url, watched(browser, url, viewport=viewport, color_scheme=theme) as tab:
        walk(tab)


def test_the_figures_are_the_apis(tab):
    tab.open()
    for place in range(1, tab.page.locator("#example option").count() - 1):
        tab.page.select_option("#example", str(place - 1))
        answer = ask(tab)
        assert unlike(tab, answer["offers"]) == []
        npv = tab.page.locator('#why [data-part="npv"] td').first.inner_text()
        assert number(npv) == pytest.approx(answer["explanation"]["waterfall"]["npv"], abs=0.0051)


def test_every_offer_may_be_looked_at(tab):
    tab.open()
    answer = ask(tab)
    last = len(answer["offers"])
    tab.page.click(f"text=Offer {last}")
    tab.page.locator(f"text=Why this price: offer {last}").wait_for()
    payments = tab.page.locator(".schedule summary").inner_text()
    assert payments.endswith(f"{answer['offers'][-1]['term_months']} payments")


def test_a_decline_says_why_and_what_would_be_approved(tab):
    tab.open()
    tab.page.select_option("#example", str(tab.page.locator("#example option").count() - 2))
    answer = ask(tab)
    assert answer["outcome"] == "decline"
    texts = tab.page.locator(".reasons strong").all_inner_texts()
    assert texts == [reason["text"] for reason in answer["reasons"]]
    tab.accessible()
    instead = tab.page.locator("text=Ask for this instead")
    assert instead.count() == (answer["counter_offer"] is not None)
    if instead.count():
        instead.click()
        tab.page.locator("#menu table.offers").wait_for()


def test_what_is_wrong_is_said_beside_the_field_it_is_about(tab):
    tab.open()
    tab.refusals.append(422)
    tab.page.fill('[name="requested_principal"]', "nonsense")
    tab.page.keyboard.press("Enter")
    field = tab.page.locator('[data-field="requested_principal"]')
    field.locator(".wrong").wait_for()
    assert "must be a number from" in field.locator(".wrong").inner_text()
    assert field.locator("input").get_attribute("aria-invalid") == "true"
    assert tab.page.evaluate("document.activeElement.name") == "requested_principal"
    tab.accessible()


def test_what_if_is_priced_by_the_api_and_decides_nothing(tab):
    tab.open()
    ask(tab)
    decided = []
    tab.page.on("request", lambda r: decided.append(r.url) if r.url.endswith("/offers") else None)
    tab.view("what-if")
    tab.page.locator("#compared canvas").wait_for()
    tab.page.focus("#w-lgd")
    with tab.page.expect_response("**/v1/curve") as answered:
        tab.page.keyboard.press("End")
    answer = answered.value.json()
    assert answer["assumed"]["lgd"] == 1
    row = tab.page.locator(".compare tr", has_text="Expected profit").locator("td")
    tab.page.locator("#w-lgd-says", has_text="100 %").wait_for()
    tab.page.locator(".took", has_text="ms").wait_for()
    original, what_if = (number(row.nth(i).inner_text()) for i in (0, 1))
    assert what_if == pytest.approx(answer["quote"]["expected_profit"], abs=0.0051)
    assert what_if < original
    assert decided == []


def test_slow_answers_never_overtake_the_newest(tab):
    tab.open()
    tab.view("what-if")
    tab.page.locator("#compared canvas").wait_for()
    bodies, held = [], []

    def hold(route):
        bodies.append(route.request.post_data_json)
        if len(bodies) == 1:  # the first waits until the others have been asked for
            held.append(route)
        else:
            route.continue_()

    tab.page.route("**/v1/curve", hold)
    tab.page.focus("#w-lgd")
    for _ in range(5):
        tab.page.keyboard.press("ArrowLeft")
    newest = number(tab.page.locator("#w-lgd-says").inner_text()) / 100
    with tab.page.expect_response(
        lambda r: r.url.endswith("/curve") and r.request.post_data_json["assume"]["lgd"] == newest
    ) as answered:
        held[0].continue_()
    profit = answered.value.json()["quote"]["expected_profit"]
    tab.page.locator(".compare td", has_text=f"{profit:,.2f}").first.wait_for()
    assert len(bodies) == 2  # what was asked for meanwhile was dropped
    assert bodies[-1]["assume"]["lgd"] == newest


def test_a_decision_is_found_replayed_and_given_its_outcome(tab):
    tab.open()
    decision_id = ask(tab)["decision_id"]
    tab.view("decisions")
    tab.page.fill("#find", decision_id)
    tab.page.keyboard.press("Enter")
    tab.page.locator("#chain", has_text="its links hold").wait_for()
    tab.page.click("#replay")
    tab.page.locator("#replayed", has_text="It came out the same").wait_for()
    tab.page.click("text=Attach outcome")
    tab.page.locator("#outcomes", has_text="Accepted on").wait_for()
    tab.refusals.append(409)
    tab.page.select_option("#outcome", "declined_by_customer")
    tab.page.click("text=Attach outcome")
    tab.page.locator("#outcome-form [role=alert]", has_text="already").wait_for()


def test_an_unknown_decision_is_a_problem_in_words(tab):
    tab.open()
    tab.refusals.append(404)
    tab.view("decisions")
    tab.page.fill("#find", "nobodys")
    tab.page.keyboard.press("Enter")
    tab.page.locator("#problem", has_text="There is no such decision").wait_for()
    tab.accessible()


def test_a_link_restores_everything_and_decides_nothing_anew(site, browser):
    with site() as url:
        with watched(browser, url) as first:
            first.open()
            first.page.select_option("#example", "1")
            answer = ask(first)
            first.page.click("text=Offer 2")
            first.page.locator("text=Why this price: offer 2").wait_for()
            link = first.page.evaluate("location.hash")
            asked = first.page.locator('[name="requested_principal"]').input_value()
        with watched(browser, url) as second:
            decided = []
            second.page.on(
                "request", lambda r: decided.append(r.url) if r.url.endswith("/offers") else None
            )
            second.open(link)
            second.page.locator("text=Why this price: offer 2").wait_for()
            assert unlike(second, answer["offers"]) == []
            assert second.page.locator('[name="requested_principal"]').input_value() == asked
            assert decided == []


def test_an_applicant_may_be_pasted_and_what_is_none_is_refused(tab):
    tab.open()
    tab.page.click("text=Paste or copy JSON")
    tab.page.click("text=Show this applicant")
    text = tab.page.locator("#pasted").input_value()
    tab.page.fill("#pasted", "{]")
    tab.page.click("text=Use it >> visible=true")
    tab.page.locator(".wrong", has_text="This is not an application").wait_for()
    tab.page.fill(
        "#pasted", re.sub(r'"requested_principal": \d+', '"requested_principal": 1234', text)
    )
    tab.page.click("text=Use it >> visible=true")
    assert tab.page.locator('[name="requested_principal"]').input_value() == "1234"


def test_a_locked_service_wants_a_key_that_stays_in_the_tab(site, browser, tmp_path):
    path = tmp_path / "keys.json"
    key = add(path, "analyst", ["offer"])
    with site(KeyFile(path)) as url, watched(browser, url) as tab:
        tab.refusals += [401, 403]
        tab.page.goto(f"{url}/console")
        tab.page.locator("#problem", has_text="A valid API key is needed").wait_for()
        tab.page.click("#key-button")
        tab.accessible()
        tab.page.fill("#key", key)
        tab.page.click("text=Use it >> visible=true")
        tab.page.locator("#decide").wait_for()
        ask(tab)
        tab.page.click("#decision-id")
        tab.page.locator("#problem", has_text="this needs a key with the scope read").wait_for()
        kept = "JSON.stringify([location.href, document.cookie, {...localStorage}])"
        assert key not in tab.page.evaluate(kept)


def test_a_service_that_is_gone_is_said_to_be(tab):
    tab.open()
    tab.page.route("**/v1/offers", lambda route: route.abort())
    tab.page.click("#decide")
    tab.page.locator("#problem", has_text="The service does not answer").wait_for()
    tab.wrong = [each for each in tab.wrong if "ERR_FAILED" not in each]  # our own doing
