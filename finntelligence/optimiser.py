"""The best offers to applicants: the most profitable permitted rate of every (principal, term).

Exact: each rate is the one that valuing every tick would find (`finntelligence.search`).
"""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from finntelligence import cashflow
from finntelligence.features import application_columns, columns_of
from finntelligence.grid import Grid, Optima, Peak
from finntelligence.market import PAYMENT_RULES, Cell, Market, Solution, solve
from finntelligence.menu import MOST_CANDIDATES, best_menu, shares
from finntelligence.offers import Application, Offer, OfferTerms, terms_of
from finntelligence.policy import Policy
from finntelligence.response import unsupported
from finntelligence.rules import Candidates
from finntelligence.value import default_hazard, loan_value

__all__ = [
    "PRICE_RANGE",
    "Optimum",
    "candidates",
    "first_broken",
    "optima",
    "optimum",
    "terms_at",
]

Array = NDArray[np.float64]

_NEARLY_SURE = math.nextafter(1, 0)

PRICE_RANGE = "PRICE_RANGE"
"""The pseudo-rule of the price range: the quotable rates within the trust region."""


@dataclass(frozen=True, kw_only=True)
class Optimum:
    """The best permitted offers, best first; and by code how many cells a rule left without one.

    Where nothing is offered `nearest` is the cell nearest to what was asked for. Cells are counted
    when somebody asks for it, which is seldom where there are offers.

    >>> found = optimum(asked, market, risk, acceptance)
    >>> [(offer.principal, offer.term_months) for offer in found.offers], found.broken
    ([(12000.0, 60), (12000.0, 48), (9000.0, 60)], {})
    """

    offers: tuple[Offer, ...]
    count_broken: Callable[[], dict[str, int]] = field(repr=False, compare=False)
    nearest: Cell | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if bool(self.offers) == (self.nearest is not None):
            raise ValueError("a nearest cell is told where nothing is offered, and only there")

    @cached_property
    def broken(self) -> dict[str, int]:
        """How many cells the first rule that forbids all their rates left without an offer."""
        return self.count_broken()


def optimum(
    application: Application,
    market: Market,
    risk: Array,
    acceptance: Array,
) -> Optimum:
    """Return the most profitable permitted offers, one per (principal, term), best first.

    `risk` and `acceptance` are the models' coefficients for this applicant, each (heads,). At
    equal profit the lower rate wins.

    >>> best = optimum(asked, market, risk, acceptance).offers[0]
    >>> best.quoted_rate, round(best.p_accept, 4), round(best.expected_profit, 2)
    (0.1513, 0.4268, 882.9)
    >>> from dataclasses import replace
    >>> strict = replace(market, policy=replace(market.policy, pd_cutoff=0.05))
    >>> found = optimum(asked, strict, risk, acceptance)
    >>> found.offers, found.broken
    ((), {'PD_CUTOFF': 12})
    """
    solution = solve(application_columns(application), market, risk[None], acceptance[None])
    return _optimum(application, market, (risk, acceptance), solution, 0)


def optima(
    applications: Sequence[Application], market: Market, risk: Array, acceptance: Array
) -> list[Optimum]:
    """Return the `optimum` of each application, priced together: much faster than one by one.

    `risk` and `acceptance` are the models' coefficients, each (n, heads).

    >>> each = optima([asked, asked], market, np.tile(risk, (2, 1)), np.tile(acceptance, (2, 1)))
    >>> each == [optimum(asked, market, risk, acceptance)] * 2
    True
    """
    if not applications:
        return []
    solution = solve(columns_of(applications), market, risk, acceptance)
    pairs = zip(risk, acceptance, strict=True)
    return [
        _optimum(application, market, pair, solution, row)
        for row, (application, pair) in enumerate(zip(applications, pairs, strict=True))
    ]


def _optimum(
    application: Application,
    market: Market,
    coefficients: tuple[Array, Array],
    solution: Solution,
    row: int,
) -> Optimum:
    """Return what a solution found for the application in one of its rows."""
    optima, (_, terms, amounts) = solution.optima, solution.shape
    start, end = row * terms * amounts, (row + 1) * terms * amounts
    tick, profit = optima.lists["tick"][start:end], optima.lists["profit"][start:end]
    nominal = market.grid.nominal
    won = [place for place, at in enumerate(tick) if at >= 0]
    won.sort(key=lambda place: (-profit[place], nominal[place // amounts, tick[place]]))
    shown, p_choice = _menu(optima, [start + place for place in won], market.policy)
    offers = tuple(
        _offer(solution.cell(row, at - start), optima.peak(at), market, p)
        for at, p in zip(shown, p_choice, strict=True)
    )

    def broken() -> dict[str, int]:
        lost = (solution.cell(row, place) for place, at in enumerate(tick) if at < 0)
        cells = (cell for cell in lost if not math.isnan(cell.principal))
        return dict(
            Counter(first_broken(application, market, coefficients, cell) for cell in cells)
        )

    if offers:
        return Optimum(offers=offers, count_broken=broken)
    asked = application.requested_principal, application.requested_term_months
    return Optimum(offers=(), count_broken=broken, nearest=solution.nearest(row, *asked))


def _menu(optima: Optima, ranked: list[int], policy: Policy) -> tuple[list[int], list[float]]:
    """Choose which of the ranked cells to show, and with what probability each is picked."""
    shown = ranked[: policy.menu_size]
    if not policy.demand_choice:
        best = ranked[:MOST_CANDIDATES]
        charged = optima.profit[best] / optima.p_accept[best]
        menu = best_menu(_p_accept(optima, best), charged, policy.dissimilarity, policy.menu_size)
        shown = [best[k] for k in menu]
    return shown, shares(_p_accept(optima, shown), policy.dissimilarity)[0]


def _p_accept(optima: Optima, places: list[int]) -> list[float]:
    found = optima.lists["p_accept"]
    return [min(found[place], _NEARLY_SURE) for place in places]  # a sure one may round to 1


def first_broken(
    application: Application, market: Market, coefficients: tuple[Array, Array], cell: Cell
) -> str:
    """Name the first rule, in the order of `RULES`, that leaves a cell without a rate.

    `coefficients` are the risk and the acceptance model's for the applicant, each (heads,). Of a
    cell that has a permitted rate this says nothing.

    >>> from dataclasses import replace
    >>> strict = replace(market, policy=replace(market.policy, pd_cutoff=0.05))
    >>> solution = solve(application_columns(asked), strict, risk[None], acceptance[None])
    >>> first_broken(asked, strict, (risk, acceptance), solution.cell(applicant=0, place=5))
    'PD_CUTOFF'
    """
    if cell.final < cell.first:
        return PRICE_RANGE
    if cell.guessed:
        return "NO_EVIDENCE"
    code = _payment_rule_below(cell, market.grid, cell.first)
    if code is not None:
        return code
    if cell.last < cell.first:
        return "PD_CUTOFF"
    if cell.limited:  # without the charge there is a rate that keeps the rules below
        return "PORTFOLIO_LIMIT"
    if market.policy.minimum_raroc is not None:
        rates = market.grid.ticks[cell.first : cell.last + 1]
        terms = terms_at(
            application,
            market,
            np.full(rates.shape, cell.principal),
            np.full(rates.shape, float(cell.term_months)),
            rates,
        )
        valued = candidates(application, market, *coefficients, terms)
        if not (valued.value.raroc >= market.policy.minimum_raroc).any():
            return "RAROC"
    return "EXPECTED_LOSS"


def _payment_rule_below(cell: Cell, grid: Grid, tick: int) -> str | None:
    """Name the first payment rule that forbids a tick of a cell, if one does."""
    factor = grid.factor[cell.row, tick]
    for rule, cap in zip(PAYMENT_RULES, cell.caps, strict=True):
        if factor > cap:
            return rule.code
    return None


def _binding(cell: Cell, peak: Peak, grid: Grid) -> str | None:
    """Name what keeps the rate of a cell from a more profitable neighbour, if anything does."""
    tick, profit, below, above = peak.tick, peak.profit, peak.below, peak.above
    if below > profit:
        return PRICE_RANGE if tick == cell.first else _least_value(grid)
    if tick == len(grid.ticks) - 1:  # there is no rate above to ask
        return PRICE_RANGE if below < profit else None
    if above <= profit:  # at the lowest tick there is no rate below to ask
        return PRICE_RANGE if tick == 0 and above < profit else None
    if tick == cell.final:
        return PRICE_RANGE
    code = _payment_rule_below(cell, grid, tick + 1)
    return code or ("PD_CUTOFF" if cell.last == tick else _least_value(grid))


def _least_value(grid: Grid) -> str:
    """Name the stricter rule on a loan's own value, which a negative charge may pay to break.

    A return on capital at the hurdle is an NPV of 0.
    """
    floor, economics = grid.minimum_raroc, grid.economics
    stricter = floor is not None and floor > economics.hurdle_rate and economics.capital_ratio > 0
    return "RAROC" if stricter else "EXPECTED_LOSS"


def _offer(cell: Cell, peak: Peak, market: Market, p_choice: float) -> Offer:
    grid, tick, principal = market.grid, peak.tick, cell.principal
    nominal = float(grid.nominal[cell.row, tick])
    received = principal * (1 - market.policy.economics.origination_fee)
    level, total = cashflow.contract_payments(principal, nominal, cell.term_months)
    exact = principal * float(grid.factor[cell.row, tick])
    return Offer(
        principal=principal,
        term_months=cell.term_months,
        quoted_rate=float(grid.ticks[tick]),
        nominal_rate=nominal,
        apr=cashflow.one_apr(received, exact, cell.term_months),
        monthly_payment=level,
        total_cost=round(total - received, 2),
        p_accept=peak.p_accept,
        pd_lifetime=1 / (1 + math.exp(-peak.risk_logit)),
        expected_profit=peak.p_accept * peak.npv,
        binding=_binding(cell, peak, grid),
        p_choice=p_choice,
    )


def terms_at(
    application: Application,
    market: Market,
    principal: Array,
    term_months: Array,
    quoted_rate: Array,
) -> OfferTerms:
    """Return the full terms of offers to one applicant, from arrays of one shape.

    Principals are in currency units, rates fractions in the book's quoted convention.

    >>> rates = np.array([0.10, 0.20])
    >>> dear = terms_at(asked, market, np.full(2, 10_000.0), np.full(2, 36.0), rates)
    >>> dear.payment.round(2).tolist()
    [322.67, 371.64]
    """
    policy, columns = market.policy, application_columns(application)
    return terms_of(
        market.portfolio,
        columns,
        principal,
        term_months,
        quoted_rate,
        policy.economics.cost_of_funds,
        policy.apr_caps(columns),
    )


def candidates(
    application: Application, market: Market, risk: Array, acceptance: Array, terms: OfferTerms
) -> Candidates:
    """Value offers to one applicant, given the models' coefficients, each of shape (heads,).

    Any terms are valued, permitted or not; results have the terms' shape or broadcast to it.

    >>> valued = candidates(asked, market, risk, acceptance, terms)
    >>> valued.pd_lifetime.round(4).tolist(), valued.value.npv.round(2).tolist()
    ([0.1, 0.1018], [843.36, 990.87])
    """
    portfolio, economics = market.portfolio, market.policy.economics
    columns = application_columns(application)
    pd_lifetime = market.risk.probability(risk, terms)
    horizon = portfolio.default.horizon_months or terms.term_months
    hazard = default_hazard(pd_lifetime, horizon, economics.monthly_prepayment)
    value = loan_value(terms.principal, terms.nominal_rate, terms.term_months, hazard, economics)
    return Candidates(
        terms=terms,
        list_rate=portfolio.price.list_rate.rate(
            columns, terms.term_months, economics.cost_of_funds
        ),
        debt_share=portfolio.affordability.debt_share(columns),
        p_accept=market.acceptance.probability(acceptance, terms),
        pd_lifetime=pd_lifetime,
        value=value,
        guessed=unsupported(market.acceptance, terms),
        charge=market.charge(terms, value.expected_loss),
    )
