"""What prices offers: two fitted models under a policy, and the optimum of every cell.

A cell is one (principal, term) of one applicant. Everything about it is computed once, on arrays of
shape (applicants, terms, principals) that broadcast; only the search itself sees every cell.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from finntelligence import cashflow
from finntelligence.errors import ModelMismatchError
from finntelligence.grid import Cells, Grid, Optima
from finntelligence.heads import ALONG_PRICE
from finntelligence.offers import OfferTerms
from finntelligence.policy import Policy
from finntelligence.portfolio import Portfolio
from finntelligence.response import PriceResponse, unsupported
from finntelligence.rules import RULES
from finntelligence.search import best_ticks
from finntelligence.shadow_prices import NO_PRICES, ShadowPrices

__all__ = ["PAYMENT_RULES", "Cell", "Market", "Solution", "solve"]

Array = NDArray[np.float64]
Columns = Mapping[str, NDArray[Any]]

PAYMENT_RULES = tuple(rule for rule in RULES if rule.payment_cap is not None)
"""The rules that cap the payment, in the order of `RULES` and of `Solution.factor_caps`."""

_LEAST_INCOME = 1e-9  # keeps a payment over no income finite
_OPEN = np.full((1, 1, 1), np.nan)  # rate and payment of terms whose price is yet to be chosen


@dataclass(frozen=True, slots=True, kw_only=True)
class Market:
    """The two fitted models, the policy under which they price, and what its limits cost.

    `prices` are charged wherever offers are chosen. `grid` is tabulated when a market is made.

    >>> Market(portfolio=book, policy=market.policy, risk=market.acceptance, acceptance=market.risk)
    Traceback (most recent call last):
        ...
    finntelligence.errors.ModelMismatchError: acceptance: heads along the price must have sign +1

    Raises:
        ModelMismatchError: when a head along the price may take the wrong sign, for the search's
            bound rests on acceptance falling and default rising in the price; when the search knows
            no such head: default has no kink, and acceptance does not ask what one earns; or when
            acceptance was learnt from prices that never varied.
    """

    portfolio: Portfolio
    policy: Policy
    risk: PriceResponse
    acceptance: PriceResponse
    prices: ShadowPrices = NO_PRICES
    grid: Grid = field(init=False, repr=False)

    def __post_init__(self) -> None:
        for response, signs in (
            (self.risk, {"gap": 1, "pti": 1}),
            (self.acceptance, {"gap": -1, "gap_hinge": 0}),
        ):
            for phi, sign in ((h.phi, h.sign) for h in response.heads if h.phi in ALONG_PRICE):
                if phi not in signs:
                    raise ModelMismatchError(f"{response.model}: {phi} may not move it")
                if sign != signs[phi]:
                    raise ModelMismatchError(
                        f"{response.model}: heads along the price must have sign {signs[phi]:+d}"
                    )
        if any(head.phi == "gap" and not head.supported for head in self.acceptance.heads):
            raise ModelMismatchError(
                "acceptance: the book's prices never varied, so it cannot tell one from another"
            )
        object.__setattr__(self, "grid", Grid.of(self.portfolio, self.policy, self.prices))

    def charge(self, terms: OfferTerms, expected_loss: Array) -> Array:
        """Return what the shadow prices charge booked loans, in currency units.

        >>> from dataclasses import replace
        >>> limited = replace(market, prices=ShadowPrices(principal=0.02, expected_loss=0.3))
        >>> limited.charge(terms, np.array([500.0, 600.0])).tolist()
        [390.0, 420.0]
        """
        apr: Array | float = 0.0
        if self.prices.apr:  # it is solved for only where it is charged
            received = terms.principal * (1 - self.policy.economics.origination_fee)
            apr = cashflow.apr(received, terms.payment, terms.term_months)
        return self.prices.charge(terms.principal, apr, expected_loss)


class Cell(NamedTuple):
    """One (principal, term) of one applicant: what may be offered there, before any price.

    `place` is its position among the applicant's cells, terms before principals, and `row` that of
    its term in the grid. `first` and `final` are the ends of the price range in ticks, `last` is
    the last of them within the payment's and the risk's limits, below `first` where none is. `caps`
    are the largest payment per unit lent by each of `PAYMENT_RULES`; `guessed` says that the
    acceptance model never saw such an offer, `limited` that only the shadow prices' charge leaves
    the cell without an offer.

    >>> from finntelligence.features import application_columns
    >>> columns = application_columns(asked)
    >>> cell = solve(columns, market, risk[None], acceptance[None]).cell(applicant=0, place=5)
    >>> cell.principal, cell.term_months, market.grid.ticks[[cell.first, cell.final]].tolist()
    (12000.0, 36, [0.085, 0.185])
    """

    place: int
    principal: float
    term_months: int
    row: int
    first: int
    final: int
    last: int
    caps: tuple[float, ...]
    guessed: bool
    limited: bool


class _Lists(NamedTuple):
    """What a solution says of cells, as lists: their elements are read ten times faster."""

    terms: list[int]
    amounts: list[list[float]]
    first: list[list[int]]
    final: list[list[int]]
    caps: list[list[float]]
    guessed: list[bool]


@dataclass(frozen=True, kw_only=True)
class Solution:
    """The optimum of every cell; `shape` is (applicants, terms, principals).

    `amounts` in currency units, NaN where there is no cell, and `first` and `final` tick of the
    price range broadcast to `shape`. `guessed` has it: where the acceptance model would guess. So
    have `factor_caps` behind one more axis: the largest payment per unit lent by each of
    `PAYMENT_RULES`. `terms` are the grid's. `optima` holds the `cells` flattened.

    >>> from finntelligence.features import application_columns
    >>> columns = application_columns(asked)
    >>> solution = solve(columns, market, risk[None], acceptance[None])
    >>> solution.shape, solution.principal[0, :4].tolist(), solution.term_months[0, :4].tolist()
    ((1, 4, 3), [6000.0, 9000.0, 12000.0, 6000.0], [24.0, 24.0, 24.0, 36.0])
    """

    market: Market
    cells: Cells
    shape: tuple[int, int, int]
    terms: Array
    amounts: Array
    first: Array
    final: Array
    factor_caps: Array
    guessed: NDArray[np.bool_]
    optima: Optima

    @property
    def principal(self) -> Array:
        """Amounts in currency units, shape (applicants, cells); NaN where there is no cell."""
        return np.broadcast_to(self.amounts, self.shape).reshape(self.shape[0], -1)

    @property
    def term_months(self) -> Array:
        """Terms in months, shape (applicants, cells)."""
        return np.broadcast_to(self.terms[:, None], self.shape).reshape(self.shape[0], -1)

    @cached_property
    def limited(self) -> NDArray[np.bool_]:
        """Where a loan is worth making, but not what the shadow prices charge, shape (cells,)."""
        without = np.flatnonzero(self.optima.tick < 0)
        limited = np.zeros(len(self.optima.tick), dtype=bool)
        if self.market.prices != NO_PRICES:
            alone = best_ticks(self.cells.at(without), self.market.grid.uncharged())
            limited[without] = alone.tick >= 0
        return limited

    def cell(self, applicant: int, place: int) -> Cell:
        """Return one of an applicant's cells."""
        lists, (_, terms, amounts) = self._lists, self.shape
        row, column = divmod(place, amounts)
        at = applicant * terms * amounts + place
        found = self.optima.lists
        return Cell(
            place=place,
            principal=lists.amounts[applicant][column],
            term_months=lists.terms[row],
            row=row,
            first=lists.first[applicant][row],
            final=lists.final[applicant][row],
            last=found["last"][at],
            caps=tuple(lists.caps[at]),
            guessed=lists.guessed[at],
            limited=found["tick"][at] < 0 and bool(self.limited[at]),
        )

    def nearest(self, applicant: int, principal: float, term_months: float) -> Cell:
        """Return an applicant's cell nearest in term, then in amount.

        >>> from finntelligence.features import application_columns
        >>> solution = solve(application_columns(asked), market, risk[None], acceptance[None])
        >>> cell = solution.nearest(applicant=0, principal=11_000, term_months=40)
        >>> cell.principal, cell.term_months
        (12000.0, 36)
        """
        lists = self._lists
        rows, columns = range(len(lists.terms)), range(self.shape[2])
        row = min(rows, key=lambda k: abs(lists.terms[k] - term_months))
        amounts = lists.amounts[applicant]
        there = [k for k in columns if not math.isnan(amounts[k])]
        column = min(there, key=lambda k: abs(amounts[k] - principal))
        return self.cell(applicant, row * self.shape[2] + column)

    @cached_property
    def _lists(self) -> _Lists:
        applicants, terms, _ = self.shape
        rules = len(self.factor_caps)
        ends = (np.broadcast_to(end, (applicants, terms, 1)) for end in (self.first, self.final))
        first, final = (end[:, :, 0].astype(int).tolist() for end in ends)
        return _Lists(
            terms=self.terms.astype(int).tolist(),
            amounts=self.amounts[:, 0].tolist(),
            first=first,
            final=final,
            caps=np.moveaxis(self.factor_caps, 0, -1).reshape(-1, rules).tolist(),
            guessed=self.guessed.ravel().tolist(),
        )


def solve(columns: Columns, market: Market, risk: Array, acceptance: Array) -> Solution:
    """Find the best tick of every cell of n applicants.

    `columns` are the applicants' features (`features.application_columns`), each of shape (n,);
    `risk` and `acceptance` the models' coefficients, (n, heads).

    >>> from finntelligence.features import application_columns
    >>> columns = application_columns(asked)
    >>> optima = solve(columns, market, risk[None], acceptance[None]).optima
    >>> float(market.grid.ticks[optima.tick[5]]), float(optima.profit[5].round(2))
    (0.1508, 458.12)
    """
    policy, grid = market.policy, market.grid
    offered, listed = _offered(columns, market)
    shape = len(offered.principal), len(grid.terms), offered.principal.shape[2]
    caps = _factor_caps(columns, market, offered, shape)
    guessed = unsupported(market.acceptance, offered)
    income = np.where(
        np.isnan(offered.monthly_income), market.risk.income_fill, offered.monthly_income
    )
    accept = market.acceptance.along_price(acceptance[:, None, None], offered)
    default = market.risk.along_price(risk[:, None, None], offered)
    low, high = policy.price_range(listed, len(grid.ticks))
    row = np.arange(shape[1])[:, None]
    cells = Cells(
        shape=shape,
        low=low,
        high=np.where(guessed | np.isnan(offered.principal), -1.0, high),
        row=row,
        principal=offered.principal,
        benchmark=offered.benchmark,
        accept_constant=accept.constant,
        accept_gap=accept.gap,
        accept_hinge=accept.gap_hinge,
        risk_constant=default.constant,
        risk_gap=default.gap,
        risk_pti=default.pti,
        pti_scale=offered.principal / np.maximum(income, _LEAST_INCOME),
        risk_limit=_logit_of(policy.pd_cutoff),
        factor_cap=caps.min(axis=0),
    )

    return Solution(
        market=market,
        cells=cells,
        shape=shape,
        terms=grid.terms,
        amounts=offered.principal,
        first=low,
        final=high,
        factor_caps=caps,
        guessed=np.broadcast_to(guessed, shape),
        optima=best_ticks(cells, grid),
    )


def _offered(columns: Columns, market: Market) -> tuple[OfferTerms, Array]:
    """Return terms and list prices, broadcastable; rates and payments are yet to be chosen."""
    portfolio, terms = market.portfolio, market.grid.terms
    funds = market.policy.economics.cost_of_funds
    wide = {name: column[:, None] for name, column in columns.items()}
    benchmark = portfolio.price.benchmark.rate(wide, terms, funds)
    listed = portfolio.price.list_rate.rate(wide, terms, funds)
    requested = np.asarray(columns["requested_principal"], dtype=float)
    caps = market.policy.apr_caps(columns)
    offered = OfferTerms(
        principal=market.policy.principals(requested)[:, None],
        term_months=terms[:, None],
        quoted_rate=_OPEN,
        nominal_rate=_OPEN,
        payment=_OPEN,
        benchmark=benchmark[..., None],
        requested_principal=requested[:, None, None],
        requested_term_months=columns["requested_term_months"][:, None, None],
        monthly_income=portfolio.affordability.monthly_income(columns)[:, None, None],
        apr_cap=None if caps is None else caps[:, None, None],
    )
    return offered, listed[..., None]


def _factor_caps(
    columns: Columns, market: Market, offered: OfferTerms, shape: tuple[int, int, int]
) -> Array:
    """Return the largest payment per unit lent by each payment rule, shape (rules, *shape)."""
    debt = market.portfolio.affordability.debt_share(columns)[:, None, None]
    caps = np.empty((len(PAYMENT_RULES), *shape))
    for place, rule in enumerate(PAYMENT_RULES):
        assert rule.payment_cap is not None, "a payment rule caps the payment"
        caps[place] = rule.payment_cap(offered, debt, market.policy) / offered.principal
    return caps


def _logit_of(cutoff: float | None) -> float:
    return float("inf") if cutoff is None or cutoff >= 1 else math.log(cutoff / (1 - cutoff))
