import math
from dataclasses import dataclass, replace

import numpy as np
import pytest

from finntelligence import cashflow
from finntelligence.features import application_columns
from finntelligence.menu import menu_profit
from finntelligence.optimiser import candidates, optima, optimum
from finntelligence.portfolio import Portfolio
from finntelligence.rules import RULES
from finntelligence.shadow_prices import ShadowPrices

COARSE = {"tick": 0.002, "menu_size": 12}
NO_CAPS = dict.fromkeys(("apr_cap", "pti_cap", "dti_cap", "pd_cutoff", "minimum_raroc"))
CAPS = {
    "simulated": {
        "apr_cap": 0.22,
        "pti_cap": 0.08,
        "dti_cap": 0.30,
        "pd_cutoff": 0.15,
        "minimum_raroc": 0.30,
    },
    "kz2008": {
        "apr_cap": 1.55,
        "pti_cap": 0.20,
        "dti_cap": None,
        "pd_cutoff": 0.30,
        "minimum_raroc": 0.50,
    },
}
POLICIES = ("own", "no caps", "all caps")


def changes_of(book, policy):
    return {"own": {}, "no caps": NO_CAPS, "all caps": CAPS[book.name]}[policy]


# --- an independent answer: plain loops over plain numbers --------------------------------------


def level_payment(principal, nominal, n):
    i = nominal / 12
    return principal / n if i == 0 else principal * i / (1 - (1 + i) ** -n)


def hazard_by_bisection(pd, horizon, s):
    """The monthly hazard whose competing-risk PD over the horizon is `pd`."""
    pd = min(max(pd, 1e-5), 0.95)
    low, high = 0.0, 1.0
    for _ in range(60):
        h = (low + high) / 2
        q = (1 - h) * (1 - s)
        low, high = (h, high) if h * (1 - q**horizon) / (1 - q) < pd else (low, h)
    return (low + high) / 2


def worth(principal, nominal, n, hazard, e):
    """NPV and RAROC of a booked loan, month by month."""
    d, s = 1 / (1 + e.cost_of_funds / 12), 1 - (1 - e.prepayment_rate) ** (1 / 12)
    payment = level_payment(principal, nominal, n)
    alive, balance, discount, capital = 1.0, principal, 1.0, 0.0
    funded = (e.origination_fee - 1) * principal - e.acquisition_cost
    recovered = d**e.recovery_lag_months * (1 - e.lgd) * hazard
    for _ in range(n):
        discount *= d
        after = balance * (1 + nominal / 12) - payment
        flow = (1 - hazard) * (payment + s * after) + recovered * balance
        flow -= e.servicing_cost + e.servicing_rate / 12 * balance
        funded += discount * alive * flow
        capital += discount * alive * e.capital_ratio * balance
        alive, balance = alive * (1 - hazard) * (1 - s), after
    charge = capital * (e.hurdle_rate - e.cost_of_funds) / 12
    return funded - charge, e.cost_of_funds + 12 * funded / capital


@dataclass(frozen=True)
class Quote:
    """One candidate, valued by plain arithmetic."""

    principal: float
    term: int
    rate: float
    payment: float
    income: float
    debt: float
    p_accept: float
    pd: float
    npv: float
    raroc: float
    guessed: bool

    @property
    def profit(self):
        return self.p_accept * self.npv

    def broken(self, policy):
        """The codes of the rules it breaks, in the order of the design."""
        e = policy.economics
        cap = policy.apr_cap
        limit = math.inf
        if cap is not None:
            limit = level_payment(self.principal * (1 - e.origination_fee), cap, self.term)
        share = self.payment / self.income if self.income else math.inf
        verdicts = {
            "NO_EVIDENCE": not self.guessed,
            "APR_CAP": self.payment <= limit,
            "PTI": self.affordable(share, policy.pti_cap, policy.if_missing.get("pti")),
            "DTI": self.affordable(share + self.debt, policy.dti_cap, policy.if_missing.get("dti")),
            "PD_CUTOFF": policy.pd_cutoff is None or self.pd <= policy.pd_cutoff,
            "RAROC": policy.minimum_raroc is None or self.raroc >= policy.minimum_raroc,
            "EXPECTED_LOSS": self.npv > 0,
        }
        return [code for code, kept in verdicts.items() if not kept]

    @staticmethod
    def affordable(share, cap, if_missing):
        if cap is None:
            return True
        return if_missing == "skip" if math.isnan(share) else share <= cap


def quote(asked, principal, term, rate):
    """Value one offer, with every formula written out once more."""
    applied, book, policy = asked.application, asked.market.portfolio, asked.market.policy
    e, columns = policy.economics, application_columns(applied)
    nominal = float(cashflow.nominal_rate(rate, term, book.price.convention))
    payment = level_payment(principal, nominal, term)
    income = float(book.affordability.monthly_income(columns)[0])
    benchmark = float(book.price.benchmark.rate(columns, term, e.cost_of_funds)[0])
    ratio = principal / applied.requested_principal
    gap = 100 * (rate - benchmark)

    def multiplied(model):
        used = model.income_fill if math.isnan(income) else income
        return {
            "one": 1.0,
            "gap": gap,
            "gap_hinge": max(gap, 0.0),
            "term_change": abs(math.log(term / applied.requested_term_months)),
            "shortfall": max(1 - ratio, 0.0),
            "excess": max(ratio - 1, 0.0),
            "pti": 10 * min(payment / used if used else math.inf, 0.5),
            "term": math.log(term / book.axes.reference_term),
            "principal": math.log(principal / book.axes.reference_principal),
        }

    def probability(model, coefficients):
        phi = multiplied(model)
        pairs = zip(coefficients, model.heads, strict=True)
        return 1 / (1 + math.exp(-sum(float(c) * phi[head.phi] for c, head in pairs)))

    acceptance = asked.market.acceptance
    pd = probability(asked.market.risk, asked.risk)
    hazard = hazard_by_bisection(
        pd, book.default.horizon_months or term, 1 - (1 - e.prepayment_rate) ** (1 / 12)
    )
    npv, raroc = worth(principal, nominal, term, hazard, e)
    phi = multiplied(acceptance)
    return Quote(
        principal=principal,
        term=term,
        rate=rate,
        payment=payment,
        income=income,
        debt=float(book.affordability.debt_share(columns)[0]),
        p_accept=probability(acceptance, asked.acceptance),
        pd=pd,
        npv=npv,
        raroc=raroc,
        guessed=any(phi[head.phi] != 0 for head in acceptance.heads if not head.supported),
    )


def permitted_ticks(asked, term):
    """Every quotable rate of a term, by counting in hundredths of a basis point."""
    policy = asked.market.policy
    low, high, step, below, above = (
        round(x * 1e6)
        for x in (
            policy.minimum_rate,
            policy.maximum_rate,
            policy.tick,
            policy.trust_below,
            policy.trust_above,
        )
    )
    columns = application_columns(asked.application)
    funds = policy.economics.cost_of_funds
    listed = float(asked.market.portfolio.price.list_rate.rate(columns, term, funds)[0]) * 1e6
    return [
        tick / 1e6
        for tick in range(low, high + 1, step)
        if listed - below - 1e-3 <= tick <= listed + above + 1e-3
    ]


def amounts_of(asked):
    """The amounts the policy offers on the request."""
    offered = asked.market.policy.principals(asked.application.requested_principal)
    return [float(amount) for amount in np.ravel(offered) if not np.isnan(amount)]


def brute_force(asked):
    """The best permitted quote of every cell, or None where none is permitted."""
    policy = asked.market.policy
    best = {}
    for principal in amounts_of(asked):
        for term in policy.terms:
            quotes = [quote(asked, principal, term, r) for r in permitted_ticks(asked, term)]
            allowed = [q for q in quotes if not q.broken(policy)]
            best[principal, term] = max(allowed, key=lambda q: q.profit, default=None)
    return best


def assert_same_answer(asked):
    known = {cell: q for cell, q in brute_force(asked).items() if q is not None}
    found = {(o.principal, o.term_months): o for o in optimum(*asked.all).offers}
    assert set(found) == set(known)
    for cell, offer in found.items():
        assert offer.expected_profit == pytest.approx(known[cell].profit, rel=1e-7, abs=1e-6)
        again = quote(asked, *cell, offer.quoted_rate)
        assert again.profit == pytest.approx(known[cell].profit, rel=1e-8, abs=1e-7)
        assert offer.p_accept == pytest.approx(again.p_accept, rel=1e-9)
        assert offer.pd_lifetime == pytest.approx(again.pd, rel=1e-9)
        assert again.broken(asked.market.policy) == []
    return found


@pytest.mark.parametrize("policy", POLICIES)
def test_the_optimum_is_what_brute_force_finds(book, usual, policy):
    served = 0
    for seed in range(8):
        asked = usual(book, seed, COARSE | changes_of(book, policy))
        served += bool(assert_same_answer(asked))
    assert served >= 2


def test_the_optimum_is_what_brute_force_finds_on_every_basis_point(book, ask):
    assert assert_same_answer(ask(book, {"menu_size": 12}))


# --- offers ------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", POLICIES)
def test_every_offer_obeys_every_rule(book, usual, sweep, policy):
    offers = 0
    for seed in range(100, 130):
        asked = usual(book, seed, {"tick": 0.0005} | changes_of(book, policy))
        for offer in optimum(*asked.all).offers:
            cell = {"principal": offer.principal, "term_months": offer.term_months}
            valued = candidates(*asked.all, sweep(asked, [offer.quoted_rate], **cell))
            for rule in RULES:
                assert rule.permits(valued, asked.market.policy).all(), rule.code
            cap = asked.market.policy.apr_cap
            assert cap is None or offer.apr <= cap + 1e-12
            offers += 1
    assert offers > 20


def test_every_offer_is_quotable_and_near_the_list_price(book, usual):
    for seed in range(200, 220):
        asked = usual(book, seed)
        policy, ticks = asked.market.policy, set(asked.market.policy.ticks())
        for offer in optimum(*asked.all).offers:
            assert offer.quoted_rate in ticks
            assert offer.quoted_rate in permitted_ticks(asked, offer.term_months)
            assert offer.term_months in policy.terms
            assert offer.principal in amounts_of(asked)


def test_offers_come_best_first_one_per_amount_and_term_and_no_more_than_the_menu_holds(
    book, usual
):
    for seed in range(300, 315):
        whole = optimum(*usual(book, seed, COARSE).all).offers
        profits = [offer.expected_profit for offer in whole]
        assert profits == sorted(profits, reverse=True)
        assert len({(offer.principal, offer.term_months) for offer in whole}) == len(whole)
        for size in (1, 2, 3):
            menu = optimum(*usual(book, seed, COARSE | {"menu_size": size}).all).offers
            assert [replace(offer, p_choice=None) for offer in menu] == [
                replace(offer, p_choice=None) for offer in whole[:size]
            ]


def test_without_a_demanded_choice_no_offer_lowers_the_profit_of_the_menu(book, usual):
    fewer = 0
    for seed in range(300, 330):
        asked = usual(book, seed, COARSE | {"menu_size": 3})
        free = usual(book, seed, COARSE | {"menu_size": 3, "demand_choice": False})
        demanded, chosen = (optimum(*a.all).offers for a in (asked, free))
        worth = [
            menu_profit([o.p_accept for o in menu], [o.expected_profit / o.p_accept for o in menu])
            for menu in (demanded, chosen)
            if menu
        ]
        assert not worth or worth[1] >= worth[0] - 1e-9
        fewer += len(chosen) < len(demanded)
    assert fewer or book.name == "kz2008"


def test_what_is_picked_from_a_menu_is_less_than_what_would_be_taken_alone(book, usual):
    for seed in range(300, 315):
        offers = optimum(*usual(book, seed, COARSE).all).offers
        for offer in offers:
            assert 0 < offer.p_choice <= offer.p_accept + 1e-12
        if len(offers) == 1:
            assert offers[0].p_choice == pytest.approx(offers[0].p_accept, rel=1e-12)


def test_what_an_offer_discloses_follows_from_its_contract(book, usual):
    for seed in range(400, 410):
        asked = usual(book, seed, COARSE)
        fee = asked.market.policy.economics.origination_fee
        for offer in optimum(*asked.all).offers:
            rows = cashflow.schedule(offer.principal, offer.nominal_rate, offer.term_months)
            paid = float(sum(row.payment for row in rows))
            received = offer.principal * (1 - fee)
            assert offer.monthly_payment == float(rows[0].payment)
            assert offer.total_cost == pytest.approx(paid - received, abs=0.00501)
            worth_today = sum(
                float(row.payment) / (1 + offer.apr / 12) ** row.month for row in rows
            )
            assert worth_today == pytest.approx(received, abs=0.005 * offer.term_months)
            assert offer.apr >= offer.nominal_rate - 1e-12
            quoted = cashflow.quoted_rate(
                offer.nominal_rate, offer.term_months, book.price.convention
            )
            assert float(quoted) == pytest.approx(offer.quoted_rate, abs=1e-13)


def test_the_same_question_has_the_same_answer_to_the_bit(book, usual):
    for seed in (1, 2):
        assert optimum(*usual(book, seed).all) == optimum(*usual(book, seed).all)


@pytest.mark.parametrize("policy", ["own", "all caps"])
def test_lifting_the_caps_never_lowers_the_profit(book, usual, policy):
    for seed in range(500, 510):
        capped = optimum(*usual(book, seed, COARSE | changes_of(book, policy)).all).offers
        free = optimum(*usual(book, seed, COARSE | NO_CAPS).all).offers
        known = {(o.principal, o.term_months): o.expected_profit for o in free}
        for offer in capped:
            assert offer.expected_profit <= known[offer.principal, offer.term_months]


# --- a budget ----------------------------------------------------------------------------------


def under(asked, shadow_price):
    prices = ShadowPrices(principal=shadow_price)
    return asked._replace(market=replace(asked.market, prices=prices))


@pytest.mark.parametrize("shadow_price", [0.01, 0.05, 0.15])
def test_a_shadow_price_is_charged_on_every_unit_lent(book, usual, shadow_price):
    for seed in range(4):
        asked = usual(book, seed, COARSE)
        policy = asked.market.policy
        known = {}
        for principal in amounts_of(asked):
            for term in policy.terms:
                quotes = [quote(asked, principal, term, r) for r in permitted_ticks(asked, term)]
                charged = [
                    q.p_accept * (q.npv - shadow_price * principal)
                    for q in quotes
                    if not q.broken(policy)
                ]
                if max(charged, default=0) > 0:
                    known[principal, term] = max(charged)
        found = {
            (o.principal, o.term_months): o for o in optimum(*under(asked, shadow_price).all).offers
        }
        assert set(found) == set(known)
        for cell, offer in found.items():
            charged = offer.expected_profit - offer.p_accept * shadow_price * offer.principal
            assert charged == pytest.approx(known[cell], rel=1e-7, abs=1e-6)


def test_a_dearer_budget_never_lends_more(book, usual):
    for seed in range(10):
        asked = usual(book, seed, {"menu_size": 1})
        lent = []
        for shadow_price in (0.0, 0.02, 0.05, 0.1, 0.3):
            offers = optimum(*under(asked, shadow_price).all).offers
            lent.append(sum(offer.p_accept * offer.principal for offer in offers))
        assert lent == sorted(lent, reverse=True)


@pytest.mark.parametrize("changes", [{}, {"demand_choice": False}])
def test_applications_priced_together_are_answered_as_each_alone(book, usual, changes):
    asked = [usual(book, seed, COARSE | changes) for seed in range(12)]
    together = optima(
        [each.application for each in asked],
        asked[0].market,
        np.stack([each.risk for each in asked]),
        np.stack([each.acceptance for each in asked]),
    )
    assert together == [optimum(*each.all) for each in asked]
    assert any(found.offers for found in together)


def test_of_no_applications_nothing_is_offered(book, usual):
    market = usual(book, 0).market
    assert optima([], market, np.zeros((0, 1)), np.zeros((0, 1))) == []


# --- what binds --------------------------------------------------------------------------------


def with_slope(asked, slope):
    """The same question to someone whose acceptance moves with the price by `slope` a point."""
    acceptance = asked.acceptance.copy()
    names = [head.name for head in asked.market.acceptance.heads]
    acceptance[names.index("gap")] = slope
    acceptance[names.index("gap_hinge")] = 0.0
    return asked._replace(acceptance=acceptance)


def best(asked):
    return optimum(*asked.all).offers[0]


@pytest.mark.parametrize(("slope", "edge"), [(-0.001, -1), (-3.0, 0)])
def test_a_price_at_the_edge_of_what_was_tried_is_said_to_be_bound_by_it(ask, kz, slope, edge):
    trust = {"trust_region": {"below": 0.01, "above": 0.0}}
    asked = with_slope(ask(kz, NO_CAPS | trust), slope)
    offer = best(asked)
    assert offer.quoted_rate == permitted_ticks(asked, offer.term_months)[edge]
    assert offer.binding == "PRICE_RANGE"


@pytest.mark.parametrize(("name", "slope"), [("simulated", -0.2), ("kz2008", -1.0)])
def test_a_price_inside_the_range_is_bound_by_nothing(ask, books, name, slope):
    asked = with_slope(ask(books[name], NO_CAPS), slope)
    offer = best(asked)
    rates = permitted_ticks(asked, offer.term_months)
    assert rates[0] < offer.quoted_rate < rates[-1]
    assert offer.binding is None


ONE_CELL = {"terms": [36], "principal_ratios": [1.0]}


def just_kept_at(asked, rate):
    """For each rule, the policy under which an offer at `rate` is the last it permits."""
    q = quote(asked, 12_000, 36, rate)
    received = q.principal * (1 - asked.market.policy.economics.origination_fee)
    share = q.payment / q.income
    return {
        "APR_CAP": {"apr_cap": float(cashflow.apr(received, q.payment, q.term)) + 1e-9},
        "PTI": {"pti_cap": share + 1e-9},
        "DTI": {"dti_cap": share + q.debt + 1e-9},
        "PD_CUTOFF": {"pd_cutoff": q.pd + 1e-9},
        "RAROC": {"minimum_raroc": q.raroc - 1e-6},
    }


@pytest.mark.parametrize("code", ["APR_CAP", "PTI", "DTI", "PD_CUTOFF"])
def test_a_rule_that_forbids_a_better_price_is_named(ask, simulated, code):
    free = with_slope(ask(simulated, NO_CAPS | ONE_CELL), -0.05)
    target = round(best(free).quoted_rate - 0.01, 4)
    cap = just_kept_at(free, target)[code]
    offer = best(with_slope(ask(simulated, NO_CAPS | ONE_CELL | cap), -0.05))
    assert (offer.quoted_rate, offer.binding) == (target, code)


def test_a_rule_that_forbids_a_better_lower_price_is_named(ask, simulated):
    free = with_slope(ask(simulated, NO_CAPS | ONE_CELL), -0.6)
    target = round(best(free).quoted_rate + 0.01, 4)
    floor = just_kept_at(free, target)["RAROC"]
    offer = best(with_slope(ask(simulated, NO_CAPS | ONE_CELL | floor), -0.6))
    assert offer.quoted_rate == target
    assert offer.binding == "RAROC"


@pytest.mark.parametrize(("floor", "code"), [(None, "EXPECTED_LOSS"), (0.3, "RAROC")])
def test_a_volume_that_is_paid_for_is_bound_by_the_loans_own_value(ask, simulated, floor, code):
    dear = {"economics": {"acquisition_cost": 700}, "minimum_raroc": floor}
    q = with_slope(ask(simulated, NO_CAPS | ONE_CELL | dear), -0.6)
    paid = q._replace(market=replace(q.market, prices=ShadowPrices(principal=-0.2)))
    assert best(paid).binding == code


def test_a_rule_that_leaves_only_the_lowest_rate_is_named(ask, simulated):
    free = ask(simulated, NO_CAPS | ONE_CELL)
    lowest = {"minimum_rate": 0.14}
    cap = just_kept_at(free, 0.14)["PTI"]
    offer = best(with_slope(ask(simulated, NO_CAPS | ONE_CELL | lowest | cap), -0.05))
    assert offer.quoted_rate == 0.14
    assert offer.binding == "PTI"


@pytest.mark.parametrize("policy", POLICIES)
def test_what_is_said_to_bind_forbids_a_neighbour_that_would_earn_more(book, usual, policy):
    for seed in range(600, 606):
        asked = usual(book, seed, COARSE | changes_of(book, policy))
        for offer in optimum(*asked.all).offers[:4]:
            cell = (offer.principal, offer.term_months)
            rates = permitted_ticks(asked, offer.term_months)
            at = rates.index(offer.quoted_rate)
            beside = [quote(asked, *cell, r) for r in rates[max(at - 1, 0) : at + 2]]
            better = [q for q in beside if q.profit > offer.expected_profit * (1 + 1e-9) + 1e-9]
            reasons = {q.broken(asked.market.policy)[0] for q in better}
            at_edge = {"PRICE_RANGE"} if at in (0, len(rates) - 1) else set()
            assert offer.binding in (reasons or at_edge | {None})


# --- no offer ----------------------------------------------------------------------------------


def test_without_a_permitted_price_no_amount_and_term_is_offered(ask, simulated):
    low = {"minimum_rate": 0.06, "maximum_rate": 0.08}
    found = optimum(*ask(simulated, low, {"fico": 600}).all)
    assert (found.offers, found.broken) == ((), {"PRICE_RANGE": 12})


def test_a_single_permitted_price_is_the_price_offered(ask, kz):
    narrow = {"trust_region": {"below": 0.0, "above": 0.0}}
    offers = optimum(*ask(kz, narrow).all).offers
    assert {offer.quoted_rate for offer in offers} == {0.1175}


def test_a_very_large_payment_without_income_is_declined_without_a_warning(ask, changed):
    big = {"axes.maximum_principal": 1e9, "axes.terms": [1, 24, 36, 48, 60]}
    book = Portfolio.from_mapping(changed("simulated", big))
    asked = ask(
        book, {"terms": [1]}, {"annual_income": 0}, requested_principal=9e8, requested_term_months=1
    )
    assert optimum(*asked.all).offers == ()


def test_nothing_is_offered_without_income(ask, simulated, kz):
    for asked in (
        ask(simulated, None, {"annual_income": 0}),
        ask(kz, None, {"gross_monthly_income": 0}),
    ):
        found = optimum(*asked.all)
        assert (found.offers, set(found.broken)) == ((), {"PTI"})


def test_without_caps_on_payments_income_may_be_nothing(ask, simulated):
    found = optimum(*ask(simulated, NO_CAPS, {"annual_income": 0}).all)
    assert all(math.isfinite(offer.expected_profit) for offer in found.offers)


def test_an_unknown_income_is_served_where_the_book_says_so(ask, kz):
    assert assert_same_answer(ask(kz, {"menu_size": 12}, {"gross_monthly_income": ...}))


def test_every_cell_has_an_offer_or_a_rule_that_left_none(book, usual):
    harsh = COARSE | {"pti_cap": 0.05, "pd_cutoff": 0.05}
    for seed in range(700, 720):
        asked = usual(book, seed, harsh)
        found = optimum(*asked.all)
        policy = asked.market.policy
        cells = len(amounts_of(asked)) * len(policy.terms)
        assert len(found.offers) + sum(found.broken.values()) == cells
        assert set(found.broken) <= {rule.code for rule in RULES} | {"PRICE_RANGE"}


def test_the_rule_named_is_the_first_after_which_nothing_is_left(book, usual):
    harsh = COARSE | {"pti_cap": 0.05, "pd_cutoff": 0.05}
    order = [rule.code for rule in RULES]
    for seed in range(800, 806):
        asked = usual(book, seed, harsh)
        policy = asked.market.policy
        counted = {}
        for cell, q in brute_force(asked).items():
            if q is None:
                rates = permitted_ticks(asked, cell[1])
                broken = [set(quote(asked, *cell, r).broken(policy)) for r in rates]
                first = next(
                    code
                    for k, code in enumerate(order)
                    if all(codes & set(order[: k + 1]) for codes in broken)
                )
                counted[first] = counted.get(first, 0) + 1
        assert optimum(*asked.all).broken == counted


@pytest.mark.parametrize("prices", [{"principal": 0.4}, {"expected_loss": 2, "apr": 1}])
def test_what_only_the_charge_leaves_without_a_rate_the_portfolios_limit_left(book, usual, prices):
    prices, lost = ShadowPrices(**prices), 0
    for seed in range(850, 870):
        asked = usual(book, seed, COARSE | changes_of(book, "all caps"))
        charged = asked._replace(market=replace(asked.market, prices=prices))
        free, found = optimum(*asked.all), optimum(*charged.all)
        left = len(free.offers) - len(found.offers)
        named = free.broken | ({"PORTFOLIO_LIMIT": left} if left else {})
        assert found.broken == named
        lost += left
    assert lost > 20


# --- parts -------------------------------------------------------------------------------------


def test_terms_carry_what_was_asked_and_what_it_costs(book, ask, sweep):
    asked = ask(book)
    rates = asked.market.policy.ticks()[:5]
    terms = sweep(asked, rates)
    np.testing.assert_array_equal(terms.quoted_rate, rates)
    for k, rate in enumerate(rates):
        principal, term = terms.principal[k], int(terms.term_months[k])
        nominal = float(cashflow.nominal_rate(rate, term, book.price.convention))
        assert terms.nominal_rate[k] == pytest.approx(nominal, rel=1e-13)
        assert terms.payment[k] == pytest.approx(level_payment(principal, nominal, term))
    assert terms.requested_principal == asked.application.requested_principal
    assert terms.requested_term_months == asked.application.requested_term_months


def test_a_shorter_horizon_of_default_makes_the_same_pd_worse(simulated, ask, sweep):
    asked = ask(simulated, requested_term_months=60)
    rates = asked.market.policy.ticks()[::100]
    at_term = candidates(*asked.all, sweep(asked, rates))
    yearly = replace(simulated, default=replace(simulated.default, horizon_months=12))
    asked = asked._replace(market=replace(asked.market, portfolio=yearly))
    within_a_year = candidates(*asked.all, sweep(asked, rates))
    np.testing.assert_array_equal(within_a_year.pd_lifetime, at_term.pd_lifetime)
    assert (within_a_year.value.expected_loss > at_term.value.expected_loss).all()


def test_a_request_finer_than_a_cent_is_served_like_its_neighbour(ask, kz):
    fine = ask(kz, requested_principal=1234.567)
    assert optimum(*fine.all).offers


def test_a_price_at_the_highest_declared_rate_is_said_to_be_bound_by_it(ask, simulated):
    wide = {"trust_region": {"below": 0.3, "above": 0.3}, "maximum_rate": 0.2}
    offer = best(with_slope(ask(simulated, NO_CAPS | wide), -0.001))
    assert (offer.quoted_rate, offer.binding) == (0.2, "PRICE_RANGE")


def test_a_price_at_the_lowest_declared_rate_is_said_to_be_bound_by_it(ask, simulated):
    wide = {"trust_region": {"below": 0.3, "above": 0.3}, "minimum_rate": 0.2}
    offer = best(with_slope(ask(simulated, NO_CAPS | wide), -3.0))
    assert (offer.quoted_rate, offer.binding) == (0.2, "PRICE_RANGE")


@pytest.mark.parametrize("demand_choice", [True, False])
def test_an_offer_that_is_sure_to_be_taken_is_made(ask, simulated, demand_choice):
    asked = ask(simulated, {"demand_choice": demand_choice})
    sure = asked.acceptance.copy()
    sure[0] = 1000.0
    assert best(asked._replace(acceptance=sure)).p_accept == 1.0
