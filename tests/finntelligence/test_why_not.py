import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finntelligence import cashflow
from finntelligence.errors import InvalidApplicationError
from finntelligence.features import application_columns
from finntelligence.market import solve
from finntelligence.offers import application
from finntelligence.optimiser import PRICE_RANGE, candidates, optimum
from finntelligence.portfolio import Portfolio
from finntelligence.rules import RULES
from finntelligence.shadow_prices import ShadowPrices
from finntelligence.why_not import PRINCIPAL_MENU, TERM_MENU, TICK, why_not

COARSE = {"tick": 0.002, "menu_size": 12}
NO_CAPS = dict.fromkeys(("apr_cap", "pti_cap", "dti_cap", "pd_cutoff", "minimum_raroc"))
CAPS = {
    "apr_cap": 1.2,
    "pti_cap": 0.12,
    "dti_cap": 0.40,
    "pd_cutoff": 0.20,
    "minimum_raroc": 0.30,
}
POLICIES = {"own": {}, "no caps": NO_CAPS, "all caps": CAPS}


def about(asked, principal=None, term_months=None, rate=0.12):
    """Ask about terms, by default the amount and term of the request."""
    applied = asked.application
    principal = applied.requested_principal if principal is None else principal
    term = applied.requested_term_months if term_months is None else term_months
    return why_not(*asked.all, principal, term, rate)


def terms_of(offer):
    return offer.principal, offer.term_months, offer.quoted_rate


def codes(answer):
    return [rule.code for rule in answer.broken]


def named(answer, code):
    (found,) = (rule for rule in answer.broken if rule.code == code)
    return found


def price_range(asked, term):
    """The permitted ticks of a term, as the engine's own solution has them."""
    columns = application_columns(asked.application)
    solution = solve(columns, asked.market, asked.risk[None], asked.acceptance[None])
    cell = list(solution.term_months[0]).index(term)
    found = solution.cell(0, cell)
    return asked.market.policy.ticks()[found.first : found.final + 1]


# --- the engine's own offers ---------------------------------------------------------------------


@pytest.mark.parametrize("policy", POLICIES)
def test_the_engines_own_offers_break_nothing_and_give_up_nothing(book, usual, policy):
    seen = 0
    for seed in range(20):
        asked = usual(book, seed, COARSE | POLICIES[policy])
        for offer in optimum(*asked.all).offers[:5]:
            answer = about(asked, *terms_of(offer))
            assert (answer.permitted, answer.broken) == (True, ())
            assert answer.profit_given_up == 0
            assert terms_of(answer.best) == terms_of(offer)
            assert answer.best.expected_profit == offer.expected_profit
            assert answer.expected_profit == pytest.approx(offer.expected_profit, rel=1e-7)
            assert answer.p_accept == pytest.approx(offer.p_accept, rel=1e-12)
            assert answer.pd_lifetime == pytest.approx(offer.pd_lifetime, rel=1e-12)
            seen += 1
    assert seen > 10


@pytest.mark.parametrize("policy", POLICIES)
def test_what_is_said_to_bind_an_offer_is_what_a_neighbouring_price_breaks(book, usual, policy):
    bound = 0
    for seed in range(100, 115):
        asked = usual(book, seed, COARSE | POLICIES[policy])
        tick = asked.market.policy.tick
        for offer in optimum(*asked.all).offers[:3]:
            if offer.binding is None:
                continue
            beside = [
                about(asked, *terms_of(offer)[:2], round(offer.quoted_rate + step, 10))
                for step in (-tick, tick)
                if offer.quoted_rate + step >= 0
            ]
            better = [a for a in beside if offer.binding in codes(a)]
            assert better
            bound += 1
    assert bound > 3


# --- values --------------------------------------------------------------------------------------


def test_values_are_those_of_the_candidates(book, usual, sweep):
    for seed in range(10):
        asked = usual(book, seed, COARSE)
        for ratio, term, rate in ((1, 4, 0.05), (0.75, 36, 0.11), (1.3, 60, 0.3), (1, 36, 0.0)):
            principal = round(ratio * asked.application.requested_principal, 2)
            answer = about(asked, principal, term, rate)
            valued = candidates(*asked.all, sweep(asked, [rate], principal, term))
            assert answer.p_accept == valued.p_accept[0]
            assert answer.pd_lifetime == valued.pd_lifetime[0]
            assert answer.npv == valued.value.npv[0]
            assert answer.expected_profit == valued.expected_profit[0]


@pytest.mark.parametrize("policy", POLICIES)
def test_terms_are_permitted_where_the_price_range_and_every_rule_permit_them(
    book, usual, sweep, policy
):
    for seed in range(4):
        asked = usual(book, seed, {"tick": 0.005} | POLICIES[policy])
        term = int(asked.application.requested_term_months)
        within = set(price_range(asked, term))
        for rate in asked.market.policy.ticks():
            valued = candidates(*asked.all, sweep(asked, [rate]))
            kept = [rule.permits(valued, asked.market.policy).all() for rule in RULES]
            answer = about(asked, rate=float(rate))
            menu = asked.market.policy.principals(asked.application.requested_principal)
            on_menu = asked.application.requested_principal in menu
            assert answer.permitted == (rate in within and all(kept) and on_menu)
            assert (PRICE_RANGE in codes(answer)) == (rate not in within)
            broken = [rule.code for rule, ok in zip(RULES, kept, strict=True) if not ok]
            assert [code for code in codes(answer) if code in {r.code for r in RULES}] == broken


def test_no_permitted_price_earns_more_than_the_best(book, usual):
    judged = 0
    for seed in range(6):
        asked = usual(book, seed, {"tick": 0.005, "menu_size": 12} | CAPS)
        for offer in optimum(*asked.all).offers[:2]:
            for rate in price_range(asked, offer.term_months):
                answer = about(asked, *terms_of(offer)[:2], float(rate))
                assert answer.best.quoted_rate == offer.quoted_rate
                gap = offer.expected_profit - answer.expected_profit
                assert answer.profit_given_up == pytest.approx(gap, abs=1e-6)
                assert not answer.permitted or answer.profit_given_up > -1e-6
                judged += answer.permitted
    assert judged > 10


def test_a_more_profitable_price_that_a_rule_forbids_gives_up_less_than_nothing(simulated, ask):
    free = optimum(*ask(simulated, NO_CAPS).all).offers[0]
    asked = ask(simulated, NO_CAPS | {"apr_cap": free.apr - 0.01})
    answer = about(asked, *terms_of(free))
    assert codes(answer) == ["APR_CAP"]
    assert answer.profit_given_up < 0


def test_without_an_offer_of_the_amount_and_term_nothing_is_given_up(simulated, ask):
    answer = about(ask(simulated, {"pd_cutoff": 0.0001}))
    assert (answer.best, answer.profit_given_up) == (None, None)
    assert "PD_CUTOFF" in codes(answer)


def test_under_shadow_prices_profits_are_compared_after_the_charge(simulated, ask):
    free = ask(simulated, {"tick": 0.005, "menu_size": 12})
    dear = replace(free.market, prices=ShadowPrices(principal=0.05, expected_loss=0.2, apr=0.05))
    asked, (unlike, judged) = free._replace(market=dear), (0, 0)
    for offer in optimum(*asked.all).offers[:3]:
        assert about(asked, *terms_of(offer)).profit_given_up == 0
        for rate in price_range(asked, offer.term_months):
            answer = about(asked, *terms_of(offer)[:2], float(rate))
            if answer.permitted:
                assert answer.profit_given_up >= 0
                judged += 1
                unlike += offer.expected_profit < answer.expected_profit
    assert judged > unlike > 0  # before the charge some others earn more


def test_terms_that_are_worth_less_than_their_charge_are_not_permitted(simulated, ask):
    free = ask(simulated, NO_CAPS)
    (terms,) = [terms_of(offer) for offer in optimum(*free.all).offers[:1]]
    prices = ShadowPrices(principal=0.5, apr=0.1)
    answer = about(free._replace(market=replace(free.market, prices=prices)), *terms)
    (limit,) = answer.broken
    assert limit.code == "PORTFOLIO_LIMIT"
    assert limit.figure == answer.npv == about(free, *terms).npv
    assert limit.limit > 0.5 * terms[0]
    assert (answer.best, answer.profit_given_up) == (None, None)


# --- each rule against its limit -----------------------------------------------------------------

ONE_CELL = {"terms": [36], "principal_ratios": [1.0]}
RATE = 0.14


def figures(asked, rate, sweep):
    """Each rule's figure at a rate, by plain arithmetic on the valued candidate."""
    c = candidates(*asked.all, sweep(asked, [rate]))
    received = asked.application.requested_principal
    received *= 1 - asked.market.policy.economics.origination_fee
    share = float(c.terms.payment[0] / c.terms.monthly_income[0])
    return {
        "APR_CAP": float(cashflow.apr(received, float(c.terms.payment[0]), 36)),
        "PTI": share,
        "DTI": share + float(c.debt_share[0]),
        "PD_CUTOFF": float(c.pd_lifetime[0]),
        "RAROC": float(c.value.raroc[0]),
        "EXPECTED_LOSS": float(c.value.npv[0]),
    }


@pytest.mark.parametrize(
    ("code", "key", "side"),
    [
        ("APR_CAP", "apr_cap", 1),
        ("PTI", "pti_cap", 1),
        ("DTI", "dti_cap", 1),
        ("PD_CUTOFF", "pd_cutoff", 1),
        ("RAROC", "minimum_raroc", -1),
    ],
)
def test_the_first_price_a_rule_forbids_names_it_with_its_figure_and_limit(
    simulated, ask, sweep, code, key, side
):
    free = ask(simulated, NO_CAPS | ONE_CELL)
    limit = figures(free, RATE, sweep)[code] + side * 1e-9
    asked = ask(simulated, NO_CAPS | ONE_CELL | {key: limit})
    assert about(asked, rate=RATE).permitted
    beyond = round(RATE + side * 0.0001, 4)
    answer = about(asked, rate=beyond)
    assert codes(answer) == [code]
    broken = answer.broken[0]
    assert broken.figure == pytest.approx(figures(free, beyond, sweep)[code], rel=1e-12)
    assert broken.limit == pytest.approx(limit, rel=1e-12)
    assert side * (broken.figure - broken.limit) > 0
    assert broken.reason == {rule.code: rule.reason for rule in RULES}[code]


def test_a_loss_is_told_in_money_against_nothing(simulated, ask, sweep):
    asked = ask(simulated, NO_CAPS | ONE_CELL | {"economics": {"acquisition_cost": 5000}})
    broken = named(about(asked, rate=RATE), "EXPECTED_LOSS")
    assert broken.figure == about(asked, rate=RATE).npv < 0
    assert broken.limit == 0


def test_an_amount_never_tried_is_said_to_lack_evidence_and_has_no_figure(kz, ask):
    asked = ask(kz)
    broken = named(about(asked, principal=700.0, rate=0.1), "NO_EVIDENCE")
    assert (broken.figure, broken.limit) == (None, None)


@pytest.mark.parametrize("book", ["simulated"], indirect=True)
def test_a_share_of_no_income_has_a_limit_and_no_figure(book, ask):
    broken = named(about(ask(book, None, {"annual_income": 0})), "PTI")
    assert (broken.figure, broken.limit) == (None, 0.25)


def test_an_unknown_income_has_no_figure_where_the_book_declines_it(changed, ask):
    book = Portfolio.from_mapping(changed("kz2008", {"if_missing.pti": "decline"}))
    asked = ask(book, None, {"gross_monthly_income": ...})
    assert named(about(asked, rate=0.1), "PTI").figure is None


def test_a_return_on_no_capital_has_no_figure(simulated, ask):
    free = {"economics": {"capital_ratio": 0, "acquisition_cost": 5000}, "minimum_raroc": 0.1}
    broken = named(about(ask(simulated, free)), "RAROC")
    assert (broken.figure, broken.limit) == (None, 0.1)


# --- the menu and the price range ----------------------------------------------------------------


def test_a_price_outside_the_range_is_told_the_nearest_inside(book, usual):
    for seed in range(5):
        asked = usual(book, seed, COARSE)
        for term in asked.market.policy.terms:
            within = price_range(asked, term)
            tick = asked.market.policy.tick
            for rate, nearest in (
                (within[-1] + tick, within[-1]),
                (within[-1] + 50 * tick, within[-1]),
                (within[0] - tick, within[0]),
            ):
                broken = named(about(asked, None, term, round(float(rate), 10)), PRICE_RANGE)
                assert broken.figure == round(float(rate), 10)
                assert broken.limit == nearest
            for rate in (within[0], within[-1]):
                assert PRICE_RANGE not in codes(about(asked, None, term, float(rate)))


def test_where_no_price_is_permitted_none_is_the_nearest(simulated, ask):
    asked = ask(simulated, {"minimum_rate": 0.35, "maximum_rate": 0.35})
    broken = named(about(asked, rate=0.35), PRICE_RANGE)
    assert (broken.figure, broken.limit) == (0.35, None)


def test_a_rate_between_two_ticks_is_said_to_be_so_and_still_valued(book, ask):
    asked = ask(book)
    within = price_range(asked, asked.application.requested_term_months)
    rate = float(within[7]) + 0.00003
    answer = about(asked, rate=rate)
    assert codes(answer) == [TICK]
    assert (answer.broken[0].figure, answer.broken[0].limit) == (rate, within[7])
    assert answer.expected_profit > 0


def test_every_tick_is_on_the_grid(book, ask):
    asked = ask(book, {"tick": 0.0007})
    for rate in asked.market.policy.ticks()[::7]:
        assert TICK not in codes(about(asked, rate=float(rate)))


def test_an_amount_off_the_menu_is_told_the_nearest_on_it(simulated, ask):
    asked = ask(simulated)
    for principal, nearest in ((11_999.99, 12_000), (20_000, 12_000), (7499, 6000), (50, 6000)):
        answer = about(asked, principal)
        broken = named(answer, PRINCIPAL_MENU)
        assert (broken.figure, broken.limit, answer.best) == (principal, nearest, None)
    for principal in (6000, 9000, 12_000):
        assert PRINCIPAL_MENU not in codes(about(asked, principal))


def test_a_term_off_the_menu_is_told_the_nearest_on_it(simulated, ask):
    asked = ask(simulated, {"terms": [24, 60]})
    for term, nearest in ((1, 24), (42, 24), (43, 60), (600, 60)):
        answer = about(asked, None, term)
        broken = named(answer, TERM_MENU)
        assert (broken.figure, broken.limit, answer.best) == (term, nearest, None)
    assert TERM_MENU not in codes(about(asked, None, 24))


def test_each_amount_of_the_menu_has_its_own_best(simulated, ask):
    asked = ask(simulated, COARSE)
    offers = optimum(*asked.all).offers
    assert len(offers) == 12
    for offer in offers:
        answer = about(asked, *terms_of(offer)[:2], 0.0599)
        assert terms_of(answer.best) == terms_of(offer)


# --- any terms at all ----------------------------------------------------------------------------


@settings(max_examples=60)
@given(data=st.data())
def test_any_terms_of_any_applicant_are_judged_in_finite_numbers(book, market, ask, requests, data):
    under = market(book, COARSE)
    applied = application(book, **data.draw(requests(book)))
    example = ask(book, COARSE)
    answer = why_not(
        applied,
        under,
        example.risk,
        example.acceptance,
        data.draw(st.floats(0.01, 1e9)),
        data.draw(st.integers(1, 200)),
        data.draw(st.floats(0, 10, allow_subnormal=False)),
    )
    values = [answer.p_accept, answer.pd_lifetime, answer.npv, answer.expected_profit]
    for rule in answer.broken:
        values += [x for x in (rule.figure, rule.limit) if x is not None]
        assert len(rule.reason) > 20
    assert all(map(math.isfinite, values))
    assert answer.permitted == (not answer.broken)
    assert (answer.best is None) == (answer.profit_given_up is None)


@pytest.mark.parametrize(
    ("field", "terms"),
    [
        ("principal", (0, 36, 0.1)),
        ("principal", (math.nan, 36, 0.1)),
        ("principal", (math.inf, 36, 0.1)),
        ("term_months", (5000, 0, 0.1)),
        ("term_months", (5000, 36.5, 0.1)),
        ("term_months", (5000, 601, 0.1)),
        ("term_months", (5000, math.nan, 0.1)),
        ("quoted_rate", (5000, 36, -0.01)),
        ("quoted_rate", (5000, 36, math.nan)),
        ("quoted_rate", (5000, 36, 11)),
    ],
)
def test_terms_that_no_loan_has_are_refused_by_name(book, ask, field, terms):
    with pytest.raises(InvalidApplicationError) as raised:
        about(ask(book), *terms)
    assert [problem.field for problem in raised.value.problems] == [field]


def test_every_impossible_term_is_named_at_once(book, ask):
    with pytest.raises(InvalidApplicationError) as raised:
        about(ask(book), -1, -1, -1)
    assert [p.field for p in raised.value.problems] == ["principal", "term_months", "quoted_rate"]


def test_a_rate_at_which_a_debt_outgrows_floats_is_refused(kz, ask):
    with pytest.raises(InvalidApplicationError, match=r"quoted_rate.*600 months"):
        about(ask(kz), 1000, 600, 10)


def test_answers_are_the_same_to_the_bit(book, ask):
    assert about(ask(book), rate=0.1) == about(ask(book), rate=0.1)


def test_a_question_in_numpy_numbers_has_the_same_answer(book, ask):
    asked = ask(book)
    term = np.int64(asked.application.requested_term_months)
    assert about(asked, np.float64(1000), term, np.float64(0.1)) == about(asked, 1000, None, 0.1)
