"""The console on the real service: its figures for many applicants, and what shipped with it."""

import json

import pytest

from tests.serving.browser import ask, unlike, walk, watched

pytest_plugins = ["tests.e2e.project", "tests.serving.browser"]

APPLICANTS = 20
MOST_MS = 1500  # ten times what a person may notice; a busy machine is slow


@pytest.fixture
def tab(server, browser):
    with watched(browser, server.url) as tab:
        yield tab


def test_every_view_is_shown_and_accessible(tab):
    walk(tab)


def test_the_figures_of_many_applicants_are_the_apis_to_the_cent(tab, applicants):
    tab.open()
    offered = 0
    for applicant in applicants[:APPLICANTS]:
        tab.page.click("text=Paste or copy JSON")
        tab.page.fill("#pasted", json.dumps(applicant))
        tab.page.click("text=Use it >> visible=true")
        answer = ask(tab)
        if answer["offers"]:
            offered += 1
            assert unlike(tab, answer["offers"]) == []
        else:
            texts = tab.page.locator(".reasons strong").all_inner_texts()
            assert texts == [reason["text"] for reason in answer["reasons"]]
    assert offered >= APPLICANTS / 2


def test_the_models_show_where_they_come_from_and_what_the_gate_said(tab, project):
    served = json.loads((project.root / "build" / "simulated" / "served.json").read_text())
    tab.open()
    tab.view("models")
    tab.page.locator("#policy-title").wait_for()
    shown = tab.page.locator("#models").inner_text()
    for model in served["models"].values():
        assert model["sha256"] in shown
        assert model["run_id"] in shown
    assert tab.page.locator(".verdicts tbody tr").count() >= 5
    for caption in ("Risk: calibration", "Acceptance: acceptance by price"):
        assert tab.page.locator("figcaption", has_text=caption).count() >= 1


def test_a_slider_reprices_at_once(tab):
    tab.open()
    tab.view("what-if")
    tab.page.locator("#compared canvas").wait_for()
    tab.page.focus("#w-cost_of_funds")
    tab.page.keyboard.press("ArrowRight")
    tab.page.locator(".took", has_text="ms").wait_for()
    told = tab.page.locator(".took").inner_text()
    assert int(told.split()[2]) < MOST_MS
