"""Simulate a lender's log of quotes, with the truth that a real log never shows.

Run as `python -m training.simulate`; reads section `simulate` of params.yaml.
"""

import logging
import time
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from finntelligence.errors import InvalidDeclarationError
from training.simulator.truth import lifetime_pd, truth_at
from training.simulator.worlds import COMPETITOR_NOISE, PURPOSES, WORLDS, Latent, Terms, term_step
from training.stages import Paths, read_params, run_stage
from training.tables import write_table

__all__ = ["Book", "Simulation", "cost_of_funds_path", "main", "simulate"]

Array = NDArray[np.float64]
Columns = dict[str, NDArray[Any]]

logger = logging.getLogger(__name__)

_MONTHS_OBSERVED = 24
_PATH_SEED = 777
_CORRELATIONS = (  # income, fico, dti, employment
    (1.00, 0.25, -0.20, 0.20),
    (0.25, 1.00, -0.15, 0.15),
    (-0.20, -0.15, 1.00, -0.05),
    (0.20, 0.15, -0.05, 1.00),
)
_PURPOSE_SHARES = (0.565, 0.23, 0.065, 0.06, 0.04, 0.025, 0.015)
_LIST_CUTS = (620, 640, 660, 680, 700, 720, 740, 760, 800)
_LIST_RATES = (0.285, 0.255, 0.228, 0.200, 0.172, 0.150, 0.130, 0.113, 0.098, 0.086)
_LOWEST_RATE, _HIGHEST_RATE = 0.0599, 0.3599
_TEST_WIDTH = 0.05
_QUOTE_COLUMNS = (
    *("quote_id", "annual_income", "fico", "dti", "employment_years", "home", "purpose"),
    *("delinquencies", "inquiries", "utilisation", "open_accounts", "group"),
    *("requested_principal", "requested_term_months", "principal", "term_months"),
    *("quoted_rate", "list_rate", "is_randomised", "propensity", "accepted"),
    *("period", "cost_of_funds"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulation:
    """Section `simulate` of params.yaml: which world, how long a log, and its seed.

    Raises:
        InvalidDeclarationError: when there is no such world, or no quote in the log.
    """

    world: str
    quotes: int
    seed: int

    def __post_init__(self) -> None:
        if self.world not in WORLDS:
            raise InvalidDeclarationError(
                f"params.yaml: simulate.world: must be one of {', '.join(WORLDS)}, "
                f"is {self.world!r}"
            )
        if self.quotes < 1:
            raise InvalidDeclarationError(
                f"params.yaml: simulate.quotes: must be 1 or more, is {self.quotes}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """A simulated book: what the lender logged, what it booked, and what it cannot see."""

    quotes: pd.DataFrame
    loans: pd.DataFrame
    truth: pd.DataFrame


def simulate(world: str, quotes: int, seed: int) -> Book:
    """Return the log of one lender in one world.

    The draws do not depend on the world, so worlds share a seed's applicants and, but for the
    randomised prices that W3 lacks, its quotes.
    """
    laws, rng = WORLDS[world], np.random.Generator(np.random.PCG64(seed))
    log: Columns = {"quote_id": np.arange(quotes)} | _applicants(rng, quotes)
    latent = Latent(
        u=rng.standard_normal(quotes),
        xi=rng.standard_normal(quotes),
        cn=rng.normal(0, COMPETITOR_NOISE, quotes),
    )
    log |= _terms(rng, log)
    log |= _prices(rng, log, latent.xi, laws.randomised_share)
    traits = laws.traits(log)
    terms = Terms(
        principal=log["principal"],
        term_months=log["term_months"],
        nominal_rate=log["quoted_rate"],
    )
    # a logistic draw falls below x with probability logistic(x)
    log["accepted"] = rng.logistic(size=quotes) < laws.accept_logit(traits, terms, latent)
    pd_given_u = lifetime_pd(traits.hazard(terms, latent.u), terms.term_months)
    defaulted = rng.random(quotes) < pd_given_u
    hidden = {"quote_id": log["quote_id"], **asdict(latent)}
    hidden["benchmark"] = traits.benchmark_at(terms.term_months)
    frame = pd.DataFrame({name: log[name] for name in _QUOTE_COLUMNS})
    booked = frame.assign(defaulted=defaulted)[frame["accepted"]]
    return Book(
        quotes=frame,
        loans=booked.drop(columns=["propensity", "accepted"]).reset_index(drop=True),
        truth=pd.DataFrame(hidden | asdict(truth_at(world, log, terms))),
    )


def cost_of_funds_path() -> Array:
    """Return the lender's yearly cost of funds month by month; every seed sees the same path."""
    steps = np.random.Generator(np.random.PCG64(_PATH_SEED)).normal(0, 0.0025, _MONTHS_OBSERVED)
    return np.clip(0.04 + np.cumsum(steps), 0.015, 0.08)


def _applicants(rng: np.random.Generator, count: int) -> Columns:
    """Draw who asks, for what, and when."""
    in_b = rng.random(count) < 0.30
    z = rng.standard_normal((count, 4)) @ np.linalg.cholesky(_CORRELATIONS).T
    z_income, z_fico, z_dti, z_employment = z.T
    z_income, z_fico = z_income - 0.3 * in_b, z_fico - 0.4 * in_b
    has_mortgage = rng.logistic(size=count) < -0.02 + 0.7 * z_income
    employed = rng.exponential(9, count) * np.exp(0.15 * z_employment)
    utilisation = 50 - 11 * z_fico + 20 * rng.standard_normal(count)
    asked = np.log(12_500) + 0.30 * z_income + 0.55 * rng.standard_normal(count)
    period = rng.integers(0, _MONTHS_OBSERVED, count)
    return {
        "annual_income": np.clip(np.exp(np.log(65_000) + 0.55 * z_income), 15e3, 400e3).round(-2),
        "fico": np.clip(700 + 50 * z_fico, 580, 850).round().astype(np.int64),
        "dti": np.clip(18.5 + 8.5 * z_dti, 0, 55).round(2),
        "employment_years": np.minimum(10, np.floor(employed)).astype(np.int64),
        "home": np.where(
            has_mortgage, "mortgage", np.where(rng.random(count) < 0.11, "own", "rent")
        ),
        "purpose": rng.choice(PURPOSES, count, p=_PURPOSE_SHARES),
        "delinquencies": rng.poisson(0.30 * np.exp(-0.5 * z_fico)),
        "inquiries": rng.poisson(0.55 * np.exp(-0.25 * z_fico)),
        "utilisation": np.clip(utilisation, 0, 130).round(1),
        "open_accounts": rng.poisson(11.6, count),
        "group": np.where(in_b, "b", "a"),
        "requested_principal": np.clip(np.exp(asked).round(-2), 1_000, 40_000),
        "requested_term_months": rng.choice([36, 60], count, p=[0.70, 0.30]),
        "period": period,
        "cost_of_funds": cost_of_funds_path()[period],
    }


def _terms(rng: np.random.Generator, log: Columns) -> Columns:
    """Offer what was asked for four times in five, for principal and term alike."""
    count = len(log["quote_id"])
    other_term = rng.choice([24, 36, 48, 60], count)
    ratio = np.where(rng.random(count) < 0.8, 1.0, rng.choice([0.5, 0.75, 1.25], count))
    return {
        "term_months": np.where(rng.random(count) < 0.8, log["requested_term_months"], other_term),
        "principal": np.clip((ratio * log["requested_principal"]).round(-2), 1_000, 40_000),
    }


def _prices(rng: np.random.Generator, log: Columns, xi: Any, randomised_share: float) -> Columns:
    """Quote around the list: at random in the test arm, elsewhere as staff sense the demand."""
    count = len(log["quote_id"])
    tier = np.searchsorted(_LIST_CUTS, log["fico"], side="right")
    moved = (log["cost_of_funds"] - 0.04) + 0.012 * term_step(log["term_months"])
    list_rate = np.asarray(_LIST_RATES)[tier] + moved
    is_randomised = rng.random(count) < randomised_share
    tested = rng.uniform(-_TEST_WIDTH, _TEST_WIDTH, count)
    sensed = 0.005 * xi + rng.normal(0, 0.004, count)
    wanted = list_rate + np.where(is_randomised, tested, sensed)
    quotable = np.clip(wanted, _LOWEST_RATE, _HIGHEST_RATE)
    # a clipped price has an atom, not a density
    has_density = is_randomised & (quotable == wanted)
    return {
        "list_rate": list_rate,
        "quoted_rate": quotable.round(4),
        "is_randomised": is_randomised,
        "propensity": np.where(has_density, 1 / (2 * _TEST_WIDTH), np.nan),
    }


def main() -> None:
    """Run the stage: parameters in, three tables out."""
    params = read_params("simulate", Simulation)
    start = time.perf_counter()
    book = simulate(params.world, params.quotes, params.seed)
    logger.info(
        "%s, seed %d: %d quotes, %.1f %% accepted, %.1f %% of loans default (%.1f s)",
        params.world,
        params.seed,
        len(book.quotes),
        100 * book.quotes["accepted"].mean(),
        100 * book.loans["defaulted"].mean(),
        time.perf_counter() - start,
    )
    for name in ("quotes", "loans", "truth"):
        frame, path = getattr(book, name), Paths("simulated").interim / f"{name}.parquet"
        write_table(frame, path)
        logger.info("%s: %d rows, %d columns", path, *frame.shape)


if __name__ == "__main__":
    run_stage(main)
