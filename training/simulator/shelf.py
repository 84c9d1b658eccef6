"""What may be offered to many applicants at once, and the best of it under any pair of models.

The engine's optimiser needs models that are analytic in the price. `best_choice` needs only models
that are monotone in it, so that rivals of any form are optimised as exactly as the engine is.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finntelligence.offers import OfferTerms, terms_of
from finntelligence.policy import Policy
from finntelligence.portfolio import Portfolio
from finntelligence.value import LoanValue, default_hazard, loan_value

__all__ = ["Choice", "Probability", "Shelf", "best_choice", "booked_value"]

Array = NDArray[np.float64]
Ticks = NDArray[np.int64]
Columns = Mapping[str, NDArray[Any]]
Probability = Callable[[Columns, OfferTerms], Array]
"""A model: columns of n applicants and terms of shape (n, m) to probabilities (n, m)."""

_BLOCK = 16  # ticks between the points that are valued first
_APPLICANTS = 64  # searched at a time: keeps the rows of a classifier's input in memory


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One offer to each of n applicants: position of its cell and tick; tick -1 is a decline."""

    cell: Ticks
    tick: Ticks


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelf:
    """The (principal, term) cells of n applicants and the quotable ticks of each.

    `columns` are the applicants', (n,) each. The other arrays have shape (n, cells), in the order
    of `optimiser.Solution`; `low` and `high` are the first and last tick within the trust region,
    and a cell whose amount another ratio also rounds to has high < low. `rates` are all ticks.
    """

    portfolio: Portfolio
    policy: Policy
    columns: Columns
    rates: Array
    principal: Array
    term_months: Array
    list_rate: Array
    low: Ticks
    high: Ticks

    @classmethod
    def of(cls, portfolio: Portfolio, policy: Policy, columns: Columns) -> "Shelf":
        """Lay out what `policy` lets be offered; caps on PD, payment and APR are not applied."""
        terms, rates = np.array(policy.terms, dtype=float), policy.ticks()
        amounts = policy.principals(columns["requested_principal"])
        principal = np.tile(amounts, (1, len(terms)))
        term_months = np.tile(np.repeat(terms, amounts.shape[1]), (len(amounts), 1))
        wide = {name: column[:, None] for name, column in columns.items()}
        funds = policy.economics.cost_of_funds
        listed = portfolio.price.list_rate.rate(wide, term_months, funds)
        low, high = policy.price_range(listed, len(rates))
        absent = np.isnan(principal)
        return cls(
            portfolio=portfolio,
            policy=policy,
            columns=columns,
            rates=rates,
            principal=np.where(absent, amounts[:, :1], principal),
            term_months=term_months,
            list_rate=listed,
            low=low.astype(np.int64),
            high=np.where(absent, -1, high).astype(np.int64),
        )

    def part(self, rows: Any) -> "Shelf":
        """Return the shelf of some applicants: a slice, or positions that may repeat."""
        cells = ("principal", "term_months", "list_rate", "low", "high")
        return replace(
            self,
            columns={name: column[rows] for name, column in self.columns.items()},
            **{name: getattr(self, name)[rows] for name in cells},
        )

    def asked(self) -> "Shelf":
        """Return the shelf without any cell but that of the requested principal and term."""
        principal, term = (
            self.columns[name][:, None] for name in ("requested_principal", "requested_term_months")
        )
        asked = (self.principal == principal) & (self.term_months == term)
        return replace(self, high=np.where(asked, self.high, -1))

    def ladder(self, step: int) -> tuple[Ticks, Ticks]:
        """Return positions of cells and ticks, (n, cells * rungs): low, every `step`th, and high.

        Reshaped to (n, cells, -1), each row rises along the price of one cell.
        """
        count, cells = self.low.shape
        rungs = int(np.max(self.high - self.low)) // step + 2
        ticks = np.minimum(self.low[..., None] + step * np.arange(rungs), self.high[..., None])
        cell = np.tile(np.repeat(np.arange(cells), rungs), (count, 1))
        return cell, ticks.reshape(count, -1)

    def offers(self, cell: Ticks, tick: Ticks) -> OfferTerms:
        """Return the terms at positions of shape (n, m); some even where barred."""
        columns = {name: column[:, None] for name, column in self.columns.items()}
        principal, term = (
            np.take_along_axis(values, cell, axis=1)
            for values in (self.principal, self.term_months)
        )
        quoted = self.rates[np.maximum(tick, 0)]
        funds = self.policy.economics.cost_of_funds
        return terms_of(self.portfolio, columns, principal, term, quoted, funds)


def booked_value(shelf: Shelf, terms: OfferTerms, pd_lifetime: Array) -> LoanValue:
    """Return what booked loans are worth at a model's probabilities of default."""
    horizon = shelf.portfolio.default.horizon_months or terms.term_months
    economics = shelf.policy.economics
    hazard = default_hazard(pd_lifetime, horizon, economics.monthly_prepayment)
    return loan_value(terms.principal, terms.nominal_rate, terms.term_months, hazard, economics)


def best_choice(shelf: Shelf, accept: Probability, default: Probability) -> Choice:
    """Return each applicant's most profitable offer, as valuing every tick would find it.

    Acceptance must not rise along the price, nor default fall. Of equal profits the lowest tick
    wins; where no profit is above 0 the applicant is declined.
    """
    parts = [
        _searched(shelf.part(slice(start, start + _APPLICANTS)), (accept, default))
        for start in range(0, len(shelf.low), _APPLICANTS)
    ]
    return Choice(
        **{f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Choice)}
    )


@dataclass(frozen=True, slots=True)
class _Valued:
    p_accept: Array
    pd_lifetime: Array
    value: LoanValue
    profit: Array


def _valued(
    shelf: Shelf, models: tuple[Probability, Probability], cell: Ticks, tick: Ticks
) -> _Valued:
    terms = shelf.offers(cell, tick)
    p_accept, pd_lifetime = (model(shelf.columns, terms) for model in models)
    value = booked_value(shelf, terms, pd_lifetime)
    barred = np.take_along_axis(shelf.high < shelf.low, cell, axis=1)
    return _Valued(p_accept, pd_lifetime, value, np.where(barred, -np.inf, p_accept * value.npv))


def _searched(shelf: Shelf, models: tuple[Probability, Probability]) -> Choice:
    """Value every `_BLOCK`th tick, then all ticks of the blocks that may still hold the best."""
    cell, tick = shelf.ladder(_BLOCK)
    count, cells = shelf.low.shape
    coarse = _valued(shelf, models, cell, tick)
    reach = np.maximum(coarse.profit.max(axis=1), 0)
    rungs = tick.reshape(count, cells, -1)
    open_ = _bounds(shelf, rungs, coarse) > reach[:, None, None]
    owner, inner_cell, rung = np.nonzero(open_ & (np.diff(rungs, axis=2) > 1))
    inner = rungs[owner, inner_cell, rung][:, None] + np.arange(1, _BLOCK)
    inner = np.minimum(inner, rungs[owner, inner_cell, rung + 1][:, None])
    inner_cell = np.repeat(inner_cell[:, None], _BLOCK - 1, axis=1)
    fine = _valued(shelf.part(owner), models, inner_cell, inner)
    whose = np.concatenate([np.indices(tick.shape)[0].ravel(), np.repeat(owner, _BLOCK - 1)])
    at = np.concatenate([tick.ravel(), inner.ravel()])
    profit = np.concatenate([coarse.profit.ravel(), fine.profit.ravel()])
    order = np.lexsort((at, -profit, whose))
    best = order[np.unique(whose[order], return_index=True)[1]]
    return Choice(
        cell=np.concatenate([cell.ravel(), inner_cell.ravel()])[best],
        tick=np.where(profit[best] > 0, at[best], -1),
    )


def _bounds(shelf: Shelf, rungs: Ticks, at: _Valued) -> Array:
    """Upper bound of the profit between neighbouring rungs, (n, cells, rungs - 1).

    As in `finntelligence.search`: acceptance and default of the left end, the rate of the right.
    """
    count, cells, _ = rungs.shape
    between = (count, cells, rungs.shape[2] - 1)

    def left(values: Array) -> Array:
        return values.reshape(rungs.shape)[..., :-1].reshape(count, -1)

    def right(values: NDArray[Any]) -> NDArray[Any]:
        return values.reshape(rungs.shape)[..., 1:].reshape(count, -1)

    cell = np.tile(np.repeat(np.arange(cells), between[2]), (count, 1))
    high = booked_value(shelf, shelf.offers(cell, right(rungs)), left(at.pd_lifetime))
    on_balance = high.npv - high.fee + high.acquisition + high.servicing
    fixed = high.fee - high.acquisition - right(at.value.servicing)
    return (left(at.p_accept) * (fixed + np.maximum(on_balance, 0))).reshape(between)
