"""What other policies would have earned on logged quotes, or why nobody can say.

Policies choose the rate of a quote whose principal and term stay as they were logged. Only quotes
whose price was drawn at random, with the density on record, can tell: see `off_policy` for how.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from finntelligence.declaration import Section
from finntelligence.errors import InvalidDataError
from finntelligence.market import Market
from finntelligence.off_policy import Estimates, effective_sample_size, estimates, price_shift
from finntelligence.portfolio import Portfolio
from training.judging.outcome_model import OutcomeModel
from training.judging.proposals import (
    engine_prices,
    list_prices,
    lowest_prices,
    within_rules,
)
from training.judging.support import Support
from training.judging.worth import Worth, worth_of

__all__ = ["BASELINE", "ENGINE", "ESTIMATORS", "JudgeParams", "judged", "judgement"]

Array = NDArray[np.float64]

ENGINE, BASELINE = "engine", "list price"
"""What `judgement` calls the engine's policy and the one that others are held against."""
ESTIMATORS = Estimates._fields
"""Direct method, inverse propensity score, its self-normalised form, doubly robust."""

_QUANTILES = (0.025, 0.975)
_TOGETHER = 50  # bootstrap draws at a time, so that their arrays stay small
_ASSUMPTIONS = (
    "The densities on record are those that the prices were drawn from.",
    "Every price that a policy proposes could have been drawn for that applicant; the share of "
    "requests for which it could not is given as uncovered. Those count as the model has it in DM "
    "and DR, as the others on average in SNIPS, and as nothing in IPS.",
    "Given what is on record of an applicant, nothing else moved both price and answer: drawing "
    "the price at random makes this so, and other quotes are left out because nothing does.",
    "One applicant's price does not change another's answer, and an offer is answered alike "
    "whichever policy makes it.",
    "Applicants and market are those of the logged quotes: the figures are of the past.",
    "A policy chooses the rate of the logged principal and term, which are where prices were "
    "tested; a better amount or term is not credited to it.",
    "A row tells of the prices within the bandwidth of its own. Where the reward bends within it, "
    "estimates other than DM are biased, DR by what its model misses of the bend only. At the edge "
    "of the tested prices only one side tells: a slope biases IPS and SNIPS by itself times the "
    "mean difference of drawn and proposed price, DR by what its model misses of the slope only.",
    "An accepted loan is worth what one neutral default model expects, the same for every policy; "
    "the intervals hold the applicants and the acceptance model to be uncertain, not that.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeParams:
    """Section `judge` of params.yaml.

    `bandwidth` is a share of the range of prices that a stratum tested, `folds` are those of the
    cross-fitting, `replicates` the bootstrap's draws of applicants. No value is given where the
    effective sample size is below `minimum_ess`, or where more than `uncovered_limit` of the
    requests would get a price that was not tested.

    Raises:
        InvalidDeclarationError: naming the setting that is impossible.
    """

    bandwidth: float = 0.1
    folds: int = 5
    replicates: int = 1000
    minimum_ess: float = 200
    uncovered_limit: float = 0.02
    seed: int = 7

    def __post_init__(self) -> None:
        section = Section(asdict(self), "params.yaml: judge")
        section.number("bandwidth", 0.001, 1)
        section.number("minimum_ess", 1)
        section.number("uncovered_limit", 0, 0.5)
        counts = ("folds", 2, 100), ("replicates", 2, 100_000), ("seed", 0, 2**32 - 1)
        for name, low, high in counts:
            object.__setattr__(self, name, section.integer(name, low, high))


@dataclass(frozen=True, slots=True)
class _Policy:
    """One policy on the randomised rows: weights, rates (n,) and what the quotes are worth."""

    weights: Array
    rates: Array
    worth: Array


def judged(
    portfolio: Portfolio,
    quotes: pd.DataFrame,
    worth: Worth,
    proposals: Mapping[str, Array],
    params: JudgeParams,
    baseline: str | None = None,
) -> dict[str, Any]:
    """Return every policy's value per request with its 95 % interval, JSON-ready, or why not.

    `quotes` are canonical rows that no policy learned from, `worth` gives their NPV at rates (n,)
    were they accepted, and `proposals` the rates (n,) of each policy, NaN for no offer. Differences
    are those to the `baseline`, on the same bootstrap draws of applicants.

    Raises:
        InvalidDataError: when the baseline is no proposal, or a proposal is of other rows.
    """
    _check(quotes, proposals, baseline)
    drawn = quotes["is_randomised"].to_numpy(dtype=bool)
    found: dict[str, Any] = {
        "rows": len(quotes),
        "randomised_rows": int(drawn.sum()),
        "atoms": int(quotes["propensity"][drawn].isna().sum()),
        "left_out": _left_out(int((~drawn).sum())),
        "refused_because": _refusal(quotes[drawn]),
        "policies": {},
        "differences": {},
        "assumptions": list(_ASSUMPTIONS),
        "params": asdict(params),
    }
    if found["refused_because"]:
        refused = {"refused_because": found["refused_because"]}
        return found | {"policies": dict.fromkeys(proposals, refused), "support": []}
    rows = quotes[drawn].reset_index(drop=True)
    support = Support.of(portfolio, rows, params.bandwidth)
    policies, live = {}, {}
    quoted = quotes["quoted_rate"].to_numpy(dtype=float)
    for name, rates in proposals.items():
        proposed = np.asarray(rates, dtype=float)[drawn]
        weights, uncovered = support.weights(proposed)
        policies[name] = _standing(weights, proposed, uncovered, params)
        policies[name] |= {
            "raw_weight": support.raw_mean(proposed),
            "price_shift": price_shift(weights, quoted[drawn], proposed),
        }
        if not policies[name]["refused_because"]:
            at_rates = worth(np.where(np.isfinite(rates), rates, quoted))[drawn]
            live[name] = _Policy(weights, proposed, at_rates)
    if live:
        with threadpool_limits(1, user_api="blas"):  # more threads would sum in another order
            values = _values(portfolio, rows, worth(quoted)[drawn], live, params)
        for name in live:
            policies[name] |= {
                kind: _interval(draws) for kind, draws in values[name]._asdict().items()
            }
        found["differences"] = _differences(values, baseline)
    return found | {"policies": policies, "support": support.found()}


def judgement(
    market: Market,
    quotes: pd.DataFrame,
    loans: pd.DataFrame,
    both: tuple[Array, Array],
    params: JudgeParams,
) -> dict[str, Any]:
    """Judge the engine against the list price and the lowest prices tested, on held-out quotes.

    The lender's rules of affordability and risk bind all three.

    `loans` are those that models were trained on; `both` the coefficients of risk and acceptance
    for the quotes, each (n, heads).
    """
    portfolio = market.portfolio
    worth = worth_of(portfolio, loans, quotes, market.policy.economics)
    proposals = {
        BASELINE: within_rules(market, quotes, both, list_prices(quotes)),
        "lowest price tested": within_rules(market, quotes, both, lowest_prices(portfolio, quotes)),
        ENGINE: engine_prices(market, quotes, both),
    }
    return judged(portfolio, quotes, worth, proposals, params, BASELINE)


def _check(quotes: pd.DataFrame, proposals: Mapping[str, Array], baseline: str | None) -> None:
    if baseline is not None and baseline not in proposals:
        raise InvalidDataError(
            f"baseline {baseline!r} is no proposal; proposals: {', '.join(proposals)}"
        )
    for name, rates in proposals.items():
        if np.shape(rates) != (len(quotes),):
            raise InvalidDataError(
                f"proposals.{name}: must be one rate for each of {len(quotes)} quotes, "
                f"is of shape {np.shape(rates)}"
            )


def _left_out(rows: int) -> str:
    if not rows:
        return "no quote was left out"
    return (
        f"{rows:,} quotes at prices that staff or rules set were left out: what moved the price "
        "moved the answer too, so they say nothing of other prices"
    )


def _refusal(rows: pd.DataFrame) -> str | None:
    """Return why nothing can be said of any policy, or None."""
    if rows.empty:
        return (
            "no price was drawn at random: what moved the prices moved the answers too, and no "
            "estimator can tell them apart"
        )
    if rows["propensity"].isna().all():
        return "prices were drawn at random, but the density they were drawn from is not on record"
    accepted = int(rows["accepted"].sum())
    if accepted in (0, len(rows)):
        return f"{accepted} of {len(rows)} randomised quotes were accepted: both answers are needed"
    return None


def _standing(
    weights: Array, rates: Array, uncovered: NDArray[np.bool_], params: JudgeParams
) -> dict[str, Any]:
    """Return how much the experiment tells of a policy, and why it tells too little if it does."""
    offered, ess = np.isfinite(rates), effective_sample_size(weights)
    share, limit, reason = float(uncovered.mean()), params.uncovered_limit, None
    if not offered.any():
        reason = "it offers nothing to anybody, which earns nothing"
    elif share > limit:
        reason = (
            f"{share:.1%} of requests would get a price that was not tested on such applicants, "
            f"above the {limit:.1%} permitted"
        )
    elif ess < params.minimum_ess:
        reason = (
            f"its prices were drawn too rarely: the effective sample size is {ess:.0f}, below "
            f"{params.minimum_ess:g}"
        )
    return {
        "refused_because": reason,
        "ess": ess,
        "uncovered_share": share,
        "declined_share": float(1 - offered.mean()),
        "mean_rate": float(rates[offered].mean()) if offered.any() else None,
    }


def _values(
    portfolio: Portfolio,
    rows: pd.DataFrame,
    at_quoted: Array,
    live: Mapping[str, _Policy],
    params: JudgeParams,
) -> dict[str, Estimates]:
    """Return each policy's estimates: of all rows first, then of every bootstrap draw."""
    model = OutcomeModel.fitted(portfolio, rows, params.folds, params.seed)
    quoted = rows["quoted_rate"].to_numpy(dtype=float)
    reward = model.outcome * at_quoted
    parts: dict[str, list[Estimates]] = {name: [] for name in live}
    for counts in (None, *_resamples(len(rows), params)):
        lines = model.lines(counts)
        drawn = model.p_accept(lines, quoted) * at_quoted
        for name, policy in live.items():
            proposed = model.p_accept(lines, policy.rates) * policy.worth
            parts[name].append(estimates(policy.weights, reward, drawn, proposed, counts))
    return {
        name: Estimates(
            *(np.concatenate(list(map(np.atleast_1d, k))) for k in zip(*p, strict=True))
        )
        for name, p in parts.items()
    }


def _resamples(rows: int, params: JudgeParams) -> Iterator[Array]:
    """Yield how often each applicant is in each draw, (draws, rows); one request is one row."""
    rng = np.random.default_rng(params.seed)
    for start in range(0, params.replicates, _TOGETHER):
        drawn = rng.integers(0, rows, (min(_TOGETHER, params.replicates - start), rows))
        yield np.stack([np.bincount(each, minlength=rows) for each in drawn]).astype(float)


def _differences(values: Mapping[str, Estimates], baseline: str | None) -> dict[str, Any]:
    if baseline is None or baseline not in values:
        return {}
    against = values[baseline].dr
    return {
        name: {"dr": _interval(np.asarray(each.dr) - against)}
        for name, each in values.items()
        if name != baseline
    }


def _interval(draws: Any) -> dict[str, float]:
    """Return the estimate of all rows, which comes first, and the draws' 95 % interval."""
    low, high = np.quantile(draws[1:], _QUANTILES)
    return {"value": float(draws[0]), "low": float(low), "high": float(high)}
