"""The console in a real browser, on doors in this process, for every book that prices offers."""

import base64
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
from tests.serving.browser import LAPTOP, PHONE, TABLET, ask, ask_for, number, unlike, walk, watched
from tests.serving.doors import Loop, http_app, http_url

pytest_plugins = ["tests.serving.browser"]

APPLICANTS = 10  # of each book; the tests of the whole service ask for more
MOST_STOPS = 120
one_book = pytest.mark.parametrize("any_portfolio", ["simulated"], indirect=True)
FOREIGN = "#s=" + base64.urlsafe_b64encode(b'{"portfolio": "elsewhere", "find": "x"}').decode()
# what has the focus: who it is, whether the focus is seen, and whether it is on the screen
FOCUSED = """() => {
  const element = document.activeElement, style = getComputedStyle(element);
  const { top, bottom, left, right } = element.getBoundingClientRect();
  return {
    name: element.id || element.dataset.view || element.innerText.split("\\n")[0] || element.name,
    body: element === document.body,
    seen: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2,
    shown: bottom > 0 && top < innerHeight && right > 0 && left < innerWidth,
  };
}"""


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


def test_the_figures_of_many_applicants_are_the_apis_to_the_cent(tab):
    offered = 0
    for answer in ask_for(tab, APPLICANTS):
        assert unlike(tab, answer["offers"]) == []
        if answer["offers"]:
            offered += 1
            npv = tab.page.locator('#why [data-part="npv"] td').first.inner_text()
            told = answer["explanation"]["waterfall"]["npv"]
            assert number(npv) == pytest.approx(told, abs=0.0051)
    assert offered >= APPLICANTS / 2


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


def walked(tab):
    """Press Tab from the page's first stop to its end; return what had the focus in turn."""
    tab.page.focus("#skip")
    stops = []
    while len(stops) < MOST_STOPS:
        tab.page.keyboard.press("Tab")
        stop = tab.page.evaluate(FOCUSED)
        if stop["body"] or stop["name"] == "skip":
            return stops
        stops.append(stop)
    raise AssertionError("the keyboard is caught")


@pytest.mark.parametrize("view", ["price", "what-if", "decisions", "models"])
def test_the_keyboard_reaches_everything_and_its_place_is_always_seen(tab, view):
    tab.open()
    ask(tab)
    tab.view(view)
    tab.page.locator("#view .loading").wait_for(state="detached")
    stops = walked(tab)
    assert [stop["name"] for stop in stops[:2]] == ["price", "what-if"]
    assert [stop for stop in stops if not (stop["seen"] and stop["shown"])] == []
    wanted = "#view :is(button, input, select, summary, [tabindex='0'])"
    reachable = tab.page.locator(f"{wanted}:visible").count()
    assert len([stop for stop in stops if stop["name"]]) >= reachable


@one_book
def test_a_flow_by_keyboard_alone_never_loses_its_place(tab):
    tab.open()
    press = tab.page.keyboard.press
    focused = "document.activeElement.id || document.activeElement.innerText"
    press("Tab")
    press("Enter")  # skip to the content
    assert tab.page.evaluate(focused) == "main"
    tab.page.focus("#decide")
    press("Enter")
    tab.page.locator("#why canvas").first.wait_for()
    assert tab.page.evaluate(focused) == "decide"
    while tab.page.evaluate(focused) != "Offer 2":
        press("Tab")
    press("Enter")
    tab.page.locator("text=Why this price: offer 2").wait_for()
    assert tab.page.evaluate(focused) == "Offer 2"
    tab.view("what-if")
    tab.page.locator("#compared canvas").wait_for()
    tab.page.focus("#w-lgd")
    press("ArrowLeft")
    press("Tab")
    press("Enter")
    assert tab.page.evaluate(focused) == "w-lgd-reset"
    tab.page.focus("#start-over")
    press("Enter")
    assert tab.page.evaluate(focused) == "start-over"


@one_book
def test_what_if_is_read_out_once_the_sliders_rest(tab):
    tab.open()
    tab.view("what-if")
    tab.page.locator("#compared canvas").wait_for()
    said = tab.page.locator("#said", has_text="Re-priced")
    said.wait_for(state="attached")  # the first answer
    tab.page.evaluate(
        """() => {
          window.heard = [];
          const said = document.getElementById("said");
          new MutationObserver(() => said.textContent && heard.push(said.textContent))
            .observe(said, { childList: true });
        }"""
    )
    tab.page.focus("#w-lgd")
    for _ in range(5):
        tab.page.keyboard.press("ArrowLeft")
    tab.page.wait_for_function("() => heard.length > 0")
    profit = tab.page.locator(".compare tr", has_text="Expected profit").locator("td").nth(1)
    heard = tab.page.evaluate("heard")
    assert len(heard) == 1
    assert profit.inner_text() in heard[0]


@one_book
def test_labels_of_marks_share_no_row_and_are_crossed_by_no_line_that_begins_below(tab):
    tab.open()
    placed = tab.page.evaluate(
        """() => import("/console/charts.js").then(({ placed }) => placed(
          [300, 40, 310, 160, 45].map((at, i) => ({ at, wide: 60 + 10 * i })), 0, 340))"""
    )
    assert sorted(each["row"] for each in placed) == list(range(5))
    for label in placed:
        assert 0 <= label["from"] <= 340 - label["wide"]
        for other in placed:
            over = label["from"] < other["at"] < label["from"] + label["wide"]
            turned = label["from"] < label["at"], other["from"] < other["at"]
            assert not over or other["row"] > label["row"] or turned == (False, True)


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


@pytest.mark.parametrize(
    ("link", "problem"),
    [("#s=e30x", "The link is damaged"), (FOREIGN, "The link is to another book")],
)
def test_a_link_that_leads_nowhere_says_so_and_shows_the_books_own_example(tab, link, problem):
    tab.open(link)
    tab.page.locator("#problem", has_text=problem).wait_for()
    assert tab.page.locator('[name="requested_principal"]').input_value() != ""
    tab.accessible()


def test_an_application_with_a_field_that_the_book_lacks_is_refused_by_name(tab):
    tab.open()
    tab.refusals.append(422)
    tab.page.click("text=Paste or copy JSON")
    tab.page.click("text=Show this applicant")
    text = tab.page.locator("#pasted").input_value()
    tab.page.fill("#pasted", text.replace('"features": {', '"features": {"luck": 1,'))
    tab.page.click("text=Use it >> visible=true")
    tab.page.click("#decide")
    tab.page.locator("#problem", has_text="features.luck").wait_for()


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


@one_book
@pytest.mark.parametrize(
    ("status", "advice"),
    [(401, "Give a key"), (429, "Ask again in 7 s."), (503, "Ask again in 7 s.")],
)
def test_a_refusal_says_why_and_what_to_do_and_marks_what_is_shown_as_old(tab, status, advice):
    tab.open()
    tab.view("what-if")
    tab.page.locator("#compared canvas").wait_for()
    tab.refusals.append(status)
    refusal = {"title": "Refused", "detail": "not now", "status": status}
    tab.page.route(
        "**/v1/curve",
        lambda route: route.fulfill(status=status, json=refusal, headers={"Retry-After": "7"}),
    )
    tab.page.focus("#w-lgd")
    tab.page.keyboard.press("ArrowLeft")
    tab.page.locator("#problem", has_text=advice).wait_for()
    assert "not now" in tab.page.locator("#problem").inner_text()
    assert "old" in tab.page.locator("#compared").get_attribute("class").split()
    tab.page.unroute("**/v1/curve")
    tab.page.keyboard.press("ArrowLeft")
    tab.page.locator("#problem").wait_for(state="hidden")
    assert "old" not in tab.page.locator("#compared").get_attribute("class").split()


@one_book
def test_one_decision_is_asked_for_at_a_time_and_an_edit_meanwhile_is_told(tab):
    tab.open()
    held = []
    tab.page.route("**/v1/offers", lambda route: held.append(route))
    tab.page.click("#decide")
    tab.page.click("#decide")
    tab.page.fill('[name="requested_principal"]', "1234")
    held[0].continue_()
    tab.page.locator(".stale", has_text="The applicant has changed since").wait_for()
    assert len(held) == 1


def test_a_service_that_is_gone_is_said_to_be(tab):
    tab.open()
    tab.page.route("**/v1/offers", lambda route: route.abort())
    tab.page.click("#decide")
    tab.page.locator("#problem", has_text="The service does not answer").wait_for()
    tab.wrong = [each for each in tab.wrong if "ERR_FAILED" not in each]  # our own doing
