"""One simulated world and seed: what each form of model earns where the truth is known.

Run as `python -m training.simulator.contest WORLD SEED QUOTES APPLICANTS PART`. Every form is
fitted on one log and prices fresh applicants of the same world; the truth values its offers.
"""

import ast
import logging
import sys
import time
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import xgboost as xgb
from numpy.typing import NDArray

from finntelligence.declaration import content_digest
from finntelligence.offers import OfferTerms
from finntelligence.policy import Policy
from finntelligence.portfolio import Portfolio
from finntelligence.rates import Price
from training.fitting.price_response import columns_of
from training.simulate import simulate
from training.simulator.forms import FORMS, Form, fit_params
from training.simulator.oracle import best_offers, earned, incumbent, truth_of
from training.simulator.shelf import Choice, Shelf, booked_value
from training.stages import start_log, write_json
from training.tables import load_portfolio

__all__ = ["REGIONS", "Contest", "main", "shelves", "standings"]

log = logging.getLogger("training.simulator.contest")

Array = NDArray[np.float64]

_ROOT = Path(__file__).parents[2]
_FRESH = 1000  # added to a log's seed gives that of its fresh applicants
_GRID_STEP = 25  # ticks between the offers among which regret is split
_NO_CAPS = {"apr_cap": None, "pti_cap": None, "dti_cap": None, "pd_cutoff": None}
_ANY_RATE = {"trust_region": {"below": 10, "above": 10}}
REGIONS = ("trust", "free", "asked")
"""Where offers may lie: rates in the trust region of the portfolio's policy, or all quotable rates;
or what was asked for, at rates in the trust region, so that only the price is chosen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contest:
    """Which world, the seed of the log, the length of the log and how many fresh applicants."""

    world: str
    seed: int
    quotes: int = 200_000
    applicants: int = 1_000

    @property
    def name(self) -> str:
        """How a log and a part's file call it."""
        return f"{self.world}-{self.seed}"

    def digest(self) -> str:
        """Return the SHA-256 of all that the result depends on: settings, declaration and code."""
        return content_digest(
            {
                "contest": asdict(self),
                "portfolio": load_portfolio("simulated").digest,
                "params": {str(m): vars(p) for m, p in fit_params().items()},
                "xgboost": xgb.__version__,
                "numpy": np.__version__,
                "code": _code(),
            }
        )


@cache
def _code() -> dict[str, str]:
    """Return the code behind a contest, less its comments, by file."""
    code: dict[str, str] = {}
    _collect(Path(__file__).resolve(), code)
    return code


def _collect(path: Path, code: dict[str, str]) -> None:
    """Add a module of this project and all that it imports."""
    name = str(path.relative_to(_ROOT))
    if name in code or not path.is_file():
        return
    tree = ast.parse(path.read_text(encoding="utf-8"))
    code[name] = ast.dump(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            place = _ROOT.joinpath(*node.module.split("."))
            for each in (place, *(place / alias.name for alias in node.names)):
                _collect(each.with_suffix(".py"), code)


def shelves(portfolio: Portfolio, world: str, applicants: int, seed: int) -> dict[str, Shelf]:
    """Return the shelf of each region for fresh applicants.

    They come when funds cost what the policy says, so that the truth and the models price with the
    same economics. The truth knows no caps on APR, PTI, DTI and PD, so none applies.
    """
    policy = Policy.from_mapping(portfolio, _NO_CAPS)
    fresh = simulate(world, applicants, seed + _FRESH).quotes
    funds = policy.economics.cost_of_funds
    columns = columns_of(portfolio, fresh) | {"cost_of_funds": np.full(applicants, funds)}
    trust = Shelf.of(portfolio, policy, columns)
    free = Shelf.of(portfolio, Policy.from_mapping(portfolio, _NO_CAPS | _ANY_RATE), columns)
    return {"trust": trust, "free": free, "asked": trust.asked()}


def standings(contest: Contest) -> dict[str, Any]:
    """Fit every form on one log and return what each earns, in dollars per applicant.

    `attainable.<region>` and `<form>.<region>.earned` hold one number per fresh applicant; the
    other entries are shares of them.
    """
    portfolio, start = load_portfolio("simulated"), time.perf_counter()
    book = simulate(contest.world, contest.quotes, contest.seed)
    laid = shelves(portfolio, contest.world, contest.applicants, contest.seed)
    world = contest.world
    best = {r: _standing(world, s, best_offers(world, s)) for r, s in laid.items()}
    found: dict[str, Any] = {
        "attainable": best,
        "incumbent": {r: _standing(world, s, incumbent(world, s)) for r, s in laid.items()},
    }
    grid = _Grid.of(world, laid["trust"])
    for name, fit in FORMS.items():
        begun = time.perf_counter()
        form = fit(portfolio, book)
        found[name] = {r: _standing(world, s, form.choose(s)) for r, s in laid.items()}
        found[name]["regret"] = grid.regret(form)
        found[name]["seconds"] = round(time.perf_counter() - begun, 1)
        share = np.sum(found[name]["trust"]["earned"]) / np.sum(best["trust"]["earned"])
        log.info(
            "%s: %s captures %.1f %% of what is attainable in the trust region (%.0f s)",
            *(contest.name, name, 100 * share, found[name]["seconds"]),
        )
    return {
        "contest": asdict(contest),
        "forms": found,
        "seconds": round(time.perf_counter() - start, 1),
    }


def _standing(world: str, shelf: Shelf, choice: Choice) -> dict[str, Any]:
    """Return what a choice truly earns, and where its offers lie."""
    offered = choice.tick >= 0
    rows = np.flatnonzero(offered)
    cell, tick = choice.cell[rows], choice.tick[rows]
    low, high = shelf.low[rows, cell], shelf.high[rows, cell]
    moved = (shelf.rates[tick] - shelf.list_rate[rows, cell]) / Price.UNIT
    cap = (tick == 0) | (tick == len(shelf.rates) - 1)
    edge = ((tick <= low) | (tick >= high)) & ~cap
    count = max(len(rows), 1)
    return {
        "earned": np.round(earned(world, shelf, choice), 4).tolist(),
        "declined": float(1 - offered.mean()),
        "at_cap": float(cap.sum() / count),
        "at_edge": float(edge.sum() / count),
        "move": float(moved.sum() / count),
    }


@dataclass(frozen=True, slots=True)
class _Grid:
    """The truth at a shared grid of offers, on which a form's regret is split by model."""

    shelf: Shelf
    terms: OfferTerms
    barred: NDArray[np.bool_]
    p_accept: Array
    npv: Array

    @classmethod
    def of(cls, world: str, shelf: Shelf) -> "_Grid":
        cell, tick = shelf.ladder(_GRID_STEP)
        truth = truth_of(world, shelf, cell, tick)
        barred = np.take_along_axis(shelf.high < shelf.low, cell, axis=1)
        npv = truth.value / truth.p_accept
        return cls(shelf, shelf.offers(cell, tick), barred, truth.p_accept, npv)

    def regret(self, form: Form) -> dict[str, float]:
        """Return the percentage of the grid's profit lost to both models, and to either alone."""
        accept = form.accept(self.shelf.columns, self.terms)
        default = form.default(self.shelf.columns, self.terms)
        npv = booked_value(self.shelf, self.terms, default).npv
        most = self._earned(self.p_accept, self.npv)
        earned_by = {
            "both": self._earned(accept, npv),
            "risk": self._earned(self.p_accept, npv),
            "acceptance": self._earned(accept, self.npv),
        }
        return {name: 100 * (1 - value / most) for name, value in earned_by.items()}

    def _earned(self, p_accept: Array, npv: Array) -> float:
        """Return what the offers of highest believed profit truly earn."""
        believed = np.where(self.barred, -np.inf, p_accept * npv)
        best = believed.argmax(axis=1)[:, None]
        value = np.take_along_axis(self.p_accept * self.npv, best, axis=1)
        offered = np.take_along_axis(believed, best, axis=1) > 0
        return float(np.where(offered, value, 0.0).sum())


def main(world: str, seed: str, quotes: str, applicants: str, path: str) -> None:
    """Hold one contest and write its part of the report."""
    contest = Contest(world=world, seed=int(seed), quotes=int(quotes), applicants=int(applicants))
    write_json(Path(path), {"digest": contest.digest(), **standings(contest)})


if __name__ == "__main__":
    start_log()
    logging.getLogger("training").setLevel("WARNING")  # fits have much to say
    log.setLevel("INFO")
    main(*sys.argv[1:])
