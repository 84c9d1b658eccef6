"""The forms of model that a contest compares, each fitted on one log and able to choose offers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from finntelligence.features import design_matrix
from finntelligence.market import Market, solve
from finntelligence.offers import OfferTerms
from finntelligence.portfolio import Capability, Portfolio
from finntelligence.response import PriceResponse
from training.fitting.hyperparameters import FitParams
from training.fitting.price_response import PriceResponseModel
from training.fitting.rivals import LogitRival, PlainClassifier
from training.simulate import Book
from training.simulator.shelf import Choice, Columns, Probability, Shelf, best_choice
from training.stages import read_params

__all__ = ["FORMS", "Form", "fit_params"]

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """A fitted pair of models and the way to their best offers."""

    accept: Probability
    default: Probability
    choose: Callable[[Shelf], Choice]


class _Analytic(Protocol):
    """A model that the engine's optimiser can search."""

    @property
    def response(self) -> PriceResponse: ...

    def coefficients(self, matrix: Array) -> Array: ...


def _engine(portfolio: Portfolio, book: Book) -> Form:
    risk, acceptance = _fitted(
        book, lambda model, params: PriceResponseModel(portfolio, model, **vars(params))
    )
    return _analytic(risk.artefact_, acceptance.artefact_)


def _logit(portfolio: Portfolio, book: Book) -> Form:
    return _analytic(*_fitted(book, partial(LogitRival, portfolio)))


def _classifiers(portfolio: Portfolio, book: Book) -> Form:
    risk, acceptance = _fitted(book, lambda model, _: PlainClassifier(portfolio, model))
    accept, default = acceptance.probability, risk.probability
    search = partial(best_choice, accept=accept, default=default)
    return Form(accept=accept, default=default, choose=search)


def _fitted(book: Book, make: Callable[[Capability, FitParams], Any]) -> tuple[Any, Any]:
    """Return both models: risk of the booked loans, acceptance of all quotes."""
    risk, acceptance = (make(model, params) for model, params in fit_params().items())
    risk.fit(book.loans, book.loans["defaulted"])
    acceptance.fit(book.quotes, book.quotes["accepted"])
    return risk, acceptance


FORMS: Mapping[str, Callable[[Portfolio, Book], Form]] = {
    "engine": _engine,
    "logit": _logit,
    "classifiers": _classifiers,
}


def _analytic(risk: _Analytic, acceptance: _Analytic) -> Form:
    def probability(model: _Analytic, columns: Columns, terms: OfferTerms) -> Array:
        matrix = design_matrix(model.response.portfolio, columns)
        return model.response.probability(model.coefficients(matrix)[:, None], terms)

    def choose(shelf: Shelf) -> Choice:
        market = Market(
            portfolio=shelf.portfolio,
            policy=shelf.policy,
            risk=risk.response,
            acceptance=acceptance.response,
        )
        matrix = design_matrix(shelf.portfolio, shelf.columns)
        coefficients = risk.coefficients(matrix), acceptance.coefficients(matrix)
        optima = solve(shelf.columns, market, *coefficients).optima
        tick = optima.tick.reshape(shelf.low.shape)
        off = (tick < 0) | (shelf.high < shelf.low)
        profit = np.where(off, -np.inf, optima.profit.reshape(tick.shape))
        cell, rows = profit.argmax(axis=1), np.arange(len(tick))
        return Choice(cell=cell, tick=np.where(off[rows, cell], -1, tick[rows, cell]))

    return Form(
        accept=partial(probability, acceptance), default=partial(probability, risk), choose=choose
    )


def fit_params() -> dict[Capability, FitParams]:
    """Return the settings of both models as params.yaml has them, risk first."""
    models = (Capability.RISK, Capability.ACCEPTANCE)
    return {model: read_params(str(model), FitParams) for model in models}
