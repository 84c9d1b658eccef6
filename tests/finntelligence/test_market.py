from dataclasses import replace

import numpy as np
import pytest

from finntelligence import search
from finntelligence.errors import ModelMismatchError
from finntelligence.features import application_columns, design_matrix
from finntelligence.heads import Head
from finntelligence.market import PAYMENT_RULES, Market, solve
from finntelligence.optimiser import candidates
from finntelligence.rules import RULES

NO_CAPS = dict.fromkeys(("apr_cap", "pti_cap", "dti_cap", "pd_cutoff", "minimum_raroc"))
COSTLY = {  # balances cost more than they earn, and the fee pays for it
    "simulated": {"origination_fee": 0.4, "servicing_rate": 0.2},
    "kz2008": {
        "origination_fee": 0.5,
        "servicing_rate": 0.5,
        "capital_ratio": 0.5,
        "hurdle_rate": 2.0,
    },
}


def solved(asked):
    """The solution of one applicant."""
    columns = application_columns(asked.application)
    return solve(columns, asked.market, asked.risk[None], asked.acceptance[None])


def every_tick(asked, cell, sweep):
    """One cell's offers at every tick of its price range, valued."""
    rates = asked.market.grid.ticks[cell.first : cell.final + 1]
    terms = sweep(asked, rates, principal=cell.principal, term_months=cell.term_months)
    return candidates(*asked.all, terms)


# --- the market --------------------------------------------------------------------------------


def test_payment_rules_are_the_rules_that_cap_the_payment_in_their_order():
    assert [rule.code for rule in PAYMENT_RULES] == ["APR_CAP", "PTI", "DTI"]
    assert [rule for rule in RULES if rule in PAYMENT_RULES] == list(PAYMENT_RULES)


def test_models_that_may_move_the_wrong_way_along_the_price_are_no_market(book, market):
    under = market(book)
    for name, wrong in (("risk", -1), ("acceptance", 1)):
        response = getattr(under, name)
        for place, head in enumerate(response.heads):
            if head.phi not in ("gap", "pti"):
                continue
            for sign in (0, wrong):
                heads = list(response.heads)
                heads[place] = replace(head, sign=sign)
                with pytest.raises(ModelMismatchError, match=rf"must have sign \{-wrong:+d}$"):
                    replace(under, **{name: replace(response, heads=tuple(heads))})


def test_an_acceptance_learnt_from_prices_that_never_varied_is_no_market(book, market):
    under = market(book)
    heads = tuple(replace(head, supported=head.phi != "gap") for head in under.acceptance.heads)
    with pytest.raises(ModelMismatchError, match="the book's prices never varied"):
        replace(under, acceptance=replace(under.acceptance, heads=heads))


def test_prices_never_seen_above_the_benchmark_are_no_guess(book, ask):
    asked = ask(book, {"principal_ratios": [1.0]})
    acceptance = asked.market.acceptance
    heads = tuple(replace(h, supported=h.phi != "gap_hinge") for h in acceptance.heads)
    below = replace(asked.market, acceptance=replace(acceptance, heads=heads))
    found = solved(asked._replace(market=below))
    assert not found.guessed.any()
    np.testing.assert_array_equal(found.optima.tick, solved(asked).optima.tick)


@pytest.mark.parametrize(
    ("name", "phi", "sign"), [("risk", "gap_hinge", 0), ("acceptance", "pti", -1)]
)
def test_a_price_head_that_the_search_does_not_know_is_refused(book, market, name, phi, sign):
    under = market(book)
    response = getattr(under, name)
    other = Head(name="other", phi=phi, sign=sign)
    wider = replace(
        response,
        heads=(*response.heads, other),
        linear=np.vstack([response.linear, np.zeros_like(response.linear[:1])]),
    )
    with pytest.raises(ModelMismatchError, match=f"{phi} may not move it"):
        replace(under, **{name: wider})


def test_models_in_each_others_place_are_no_market(book, market):
    under = market(book)
    with pytest.raises(ModelMismatchError, match="along the price"):
        Market(portfolio=book, policy=under.policy, risk=under.acceptance, acceptance=under.risk)


# --- the solution ------------------------------------------------------------------------------


def test_many_applicants_are_each_answered_as_if_alone(book, market, rows):
    columns = rows(book, 40, seed=21)
    under = market(book)
    matrix = design_matrix(book, columns)
    risk, acceptance = under.risk.coefficients(matrix), under.acceptance.coefficients(matrix)
    together = solve(columns, under, risk, acceptance)
    cells = together.principal.shape[1]
    assert (together.optima.tick >= 0).any()
    for i in range(40):
        one = {name: column[i : i + 1] for name, column in columns.items()}
        alone = solve(one, under, risk[i : i + 1], acceptance[i : i + 1])
        mine = slice(i * cells, (i + 1) * cells)
        np.testing.assert_array_equal(alone.principal[0], together.principal[i])
        np.testing.assert_array_equal(alone.term_months[0], together.term_months[i])
        for name in ("tick", "last", "p_accept", "npv", "profit"):
            expected = getattr(together.optima, name)[mine]
            np.testing.assert_array_equal(getattr(alone.optima, name), expected)


def test_a_cell_is_what_the_solution_holds_in_its_place(book, market, rows):
    columns, under = rows(book, 12, seed=22), market(book)
    matrix = design_matrix(book, columns)
    found = solve(
        columns, under, under.risk.coefficients(matrix), under.acceptance.coefficients(matrix)
    )
    applicants, terms, principals = found.shape
    caps = np.broadcast_to(found.factor_caps, (len(PAYMENT_RULES), *found.shape))
    for i in range(applicants):
        for place in range(terms * principals):
            cell, row, column = found.cell(i, place), *divmod(place, principals)
            np.testing.assert_equal(cell.principal, found.principal[i, place])
            assert (cell.place, cell.row) == (place, row)
            assert cell.term_months == found.term_months[i, place] == under.policy.terms[row]
            assert cell.first == np.broadcast_to(found.first, found.shape)[i, row, column]
            assert cell.final == np.broadcast_to(found.final, found.shape)[i, row, column]
            np.testing.assert_equal(cell.caps, caps[:, i, row, column])
            guessed = np.broadcast_to(found.guessed, found.shape)[i, row, column]
            assert cell.guessed == guessed


def test_a_terms_amounts_rise_and_one_that_is_not_there_has_no_rate(book, market, rows):
    columns = rows(book, 40, seed=23) | {"requested_principal": np.linspace(1000, 1500, 40)}
    under = market(book, {"principal_ratios": [0.5, 0.6, 1.0, 1.1]})
    matrix = design_matrix(book, columns)
    found = solve(
        columns, under, under.risk.coefficients(matrix), under.acceptance.coefficients(matrix)
    )
    amounts, ticks = found.principal.reshape(found.shape), found.optima.tick.reshape(found.shape)
    for amount in amounts.reshape(-1, found.shape[2]):
        assert (np.diff(amount[~np.isnan(amount)]) > 0).all()
        assert not np.isnan(amount[0])
    assert (ticks[np.isnan(amounts)] == -1).all()


def test_the_price_range_is_every_tick_within_trust_of_the_list_price(book, usual):
    for seed in range(900, 906):
        asked = usual(book, seed)
        policy, ticks = asked.market.policy, asked.market.grid.ticks
        columns, funds = application_columns(asked.application), policy.economics.cost_of_funds
        found = solved(asked)
        for row in range(found.shape[1]):
            cell = found.cell(0, row * found.shape[2])
            listed = book.price.list_rate.rate(columns, cell.term_months, funds)
            slack = 1e-5 * policy.tick
            near = (ticks >= listed - policy.trust_below - slack) & (
                ticks <= listed + policy.trust_above + slack
            )
            tick = np.arange(len(ticks))
            np.testing.assert_array_equal((cell.first <= tick) & (tick <= cell.final), near)


def test_a_cells_caps_permit_the_payments_that_the_rules_permit(book, usual, sweep):
    for seed in range(910, 916):
        asked = usual(book, seed, {"apr_cap": 0.3, "pti_cap": 0.1, "dti_cap": 0.4})
        found = solved(asked)
        for place in range(found.principal.shape[1]):
            cell = found.cell(0, place)
            if np.isnan(cell.principal) or cell.final < cell.first:
                continue
            valued = every_tick(asked, cell, sweep)
            factor = asked.market.grid.factor[cell.row, cell.first : cell.final + 1]
            for rule, cap in zip(PAYMENT_RULES, cell.caps, strict=True):
                clear = np.abs(factor - cap) > 1e-12
                permitted = rule.permits(valued, asked.market.policy)
                np.testing.assert_array_equal(permitted[clear], (factor <= cap)[clear])


def test_an_amount_that_was_never_tried_has_no_rate(kz, ask):
    found = solved(ask(kz, {"principal_ratios": [0.5, 1.0]}))
    tried = [not found.cell(0, place).guessed for place in range(found.principal.shape[1])]
    assert tried == [False, True] * found.shape[1]
    assert (found.optima.tick[~np.array(tried)] == -1).all()
    assert (found.optima.tick[tried] >= 0).any()


@pytest.mark.parametrize("compiled", [True, False])
def test_the_best_rate_is_found_where_every_balance_loses_and_the_loan_lives_on_its_fee(
    book, usual, sweep, monkeypatch, compiled
):
    if not compiled:
        monkeypatch.setattr(search, "compiled", None)
    losing = 0
    for seed in range(920, 926):
        asked = usual(book, seed, NO_CAPS | {"tick": 0.001, "economics": COSTLY[book.name]})
        found, costs = solved(asked), asked.market.policy.economics
        monthly = costs.servicing_cost / (1 + costs.cost_of_funds / 12)
        for place in np.flatnonzero(found.optima.tick >= 0):
            cell, tick = found.cell(0, int(place)), found.optima.tick[place]
            valued = every_tick(asked, cell, sweep)
            near = 1e-9 * cell.principal  # between the hazard's table and Newton's method
            chosen = tick - cell.first
            assert valued.expected_profit[chosen] >= valued.expected_profit.max() - near
            value = valued.value
            on_balance = value.npv - value.fee + value.acquisition + monthly * value.months_alive
            losing += bool(on_balance[chosen] < 0)
    assert losing > 5
