"""The gate's criteria together: those a pair meets by itself, and those against a champion."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from finntelligence.declaration import Section
from finntelligence.portfolio import Capability, Portfolio
from training.evidence.price_curves import Prices
from training.evidence.screens import ScreenParams
from training.fitting.price_response import columns_of
from training.gate import fairness, profit
from training.gate.heldout import Heldout
from training.gate.losses import beats_a_constant, beats_the_champion, incomparable
from training.gate.monotone import monotone
from training.gate.pair import Pair
from training.gate.slopes import calibration_slope, price_slope, price_told
from training.gate.verdict import Verdict, untestable
from training.judging.judge import JudgeParams, judged
from training.judging.proposals import engine_prices, list_prices, within_rules
from training.judging.worth import worth_of
from training.simulate import Simulation
from training.stages import Paths, load_policy, read_params
from training.tables import read_table

__all__ = ["Gate", "PromoteParams"]

Array = NDArray[np.float64]

_SIMULATED = "simulated"
_CHALLENGER, _CHAMPION, _LIST = "challenger", "champion", "list price"
_NO_OFFERS = "the book teaches risk alone, so there are no offers"


@dataclass(frozen=True, slots=True, kw_only=True)
class PromoteParams:
    """Section `promote` of params.yaml.

    `minimum_gain`: log-loss below a constant's that each model must reach on held-out rows. A slope
    passes within its two limits, or if its interval contains 1. `applicants` fresh ones of a world
    whose truth is known value the offers, `screened` held-out ones get them compared by group, and
    `priced` ones are looked at on every tick.

    Raises:
        InvalidDeclarationError: naming the setting that is impossible.
    """

    minimum_gain: float
    price_slope: tuple[float, float] = (0.8, 1.25)
    calibration_slope: tuple[float, float] = (0.9, 1.1)
    applicants: int = 1000
    screened: int = 5000
    priced: int = 1000
    bootstrap: int = 200
    seed: int = 7

    def __post_init__(self) -> None:
        given = asdict(self).items()
        lists = {name: list(each) if isinstance(each, tuple) else each for name, each in given}
        section = Section(lists, "params.yaml: promote")
        section.number("minimum_gain")
        for name in ("price_slope", "calibration_slope"):
            limits = section.numbers(name)
            if len(limits) != 2 or not 0 < limits[0] <= 1 <= limits[1]:
                raise section.fail(name, f"must be two limits with 1 between them, is {limits}")
        for name in ("applicants", "screened", "priced", "bootstrap"):
            object.__setattr__(self, name, section.integer(name, 2, 10_000_000))
        object.__setattr__(self, "seed", section.integer("seed", 0, 2**32 - 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """Everything that pairs of one portfolio are judged by."""

    paths: Paths
    portfolio: Portfolio
    heldout: Heldout
    params: PromoteParams

    @classmethod
    def of(cls, paths: Paths, portfolio: Portfolio, params: PromoteParams) -> "Gate":
        """Read the held-out rows."""
        heldout = Heldout.read(paths, portfolio)
        return cls(paths=paths, portfolio=portfolio, heldout=heldout, params=params)

    def alone(self, pair: Pair) -> list[Verdict]:
        """Judge a pair by itself: the same on every machine, whatever its registry holds."""
        verdicts = []
        for model in pair.models:
            verdicts += beats_a_constant(pair, model, self.heldout, self.params.minimum_gain)
            limits = self.params.calibration_slope
            verdicts.append(calibration_slope(pair, model, self.heldout, *limits))
            rows = self._sample(model, self.params.priced)
            verdicts.append(monotone(pair, model, rows, self._prices(pair, rows)))
        if pair.priced:
            verdicts.append(price_told(pair))
            verdicts.append(price_slope(pair, self.heldout, *self.params.price_slope))
        return verdicts

    def against(self, challenger: Pair, champion: Pair | None, caveat: str = "") -> list[Verdict]:
        """Judge a pair by the champion's losses and earnings; without one by the list price's.

        `caveat` says what is amiss with the champion, or why there is none to compare with.
        """
        if champion is not None:
            losses = [
                beats_the_champion(challenger, champion, model, self.heldout, caveat)
                for model in challenger.models
            ]
        else:
            models = challenger.models if caveat else ()
            losses = [incomparable(model, self.heldout, caveat) for model in models]
        return [*losses, self._value(challenger, champion)]

    def flags(self, challenger: Pair, champion: Pair | None) -> fairness.Screens | None:
        """Return the flagged screens that need a sign-off; None for a book without offers."""
        if not challenger.priced:
            return None
        rows = self._sample(Capability.ACCEPTANCE, self.params.screened)
        policy = load_policy(self.portfolio, self.paths.root)
        settings = ScreenParams(draws=self.params.bootstrap, seed=self.params.seed)
        ours, rival = fairness.screened(challenger, policy, rows, settings)
        if champion is not None:
            rival, _ = fairness.screened(champion, policy, rows, settings)
        return fairness.needed(ours, rival)

    def _sample(self, model: Capability, rows: int) -> pd.DataFrame:
        frame = self.heldout.tables[model]
        return frame.sample(min(rows, len(frame)), random_state=self.params.seed)

    def _prices(self, pair: Pair, rows: pd.DataFrame) -> Prices:
        """Return what may be quoted; where no policy says, what was."""
        if not pair.priced:
            return Prices.seen(rows)
        return Prices.quotable(load_policy(self.portfolio, self.paths.root))

    def _value(self, challenger: Pair, champion: Pair | None) -> Verdict:
        if not challenger.priced:
            return untestable(profit.CRITERION, "not below the champion's", _NO_OFFERS)
        if self.portfolio.name == _SIMULATED:
            world = read_params("simulate", Simulation, self.paths.root)
            count = self.params.applicants
            return profit.attained(challenger, champion, world.world, count, world.seed)
        rival = _LIST if champion is None else _CHAMPION
        return profit.estimated(self._judged(challenger, champion), _CHALLENGER, rival)

    def _judged(self, challenger: Pair, champion: Pair | None) -> Mapping[str, Any]:
        """Return what logged quotes say of both policies."""
        quotes = self.heldout.tables[Capability.ACCEPTANCE]
        policy = load_policy(self.portfolio, self.paths.root)
        rival = _LIST if champion is None else _CHAMPION

        def both(pair: Pair) -> tuple[Array, Array]:
            return pair.both(columns_of(self.portfolio, quotes))

        market = challenger.market(policy)
        proposals = {_CHALLENGER: engine_prices(market, quotes, both(challenger))}
        if champion is None:
            # under the same rules, or a refusal that the law asks for would count against the pair
            listed = list_prices(quotes)
            proposals[rival] = within_rules(market, quotes, both(challenger), listed)
        else:
            proposals[rival] = engine_prices(champion.market(policy), quotes, both(champion))
        loans = read_table(self.paths.processed / "train" / "loans.parquet")
        worth = worth_of(self.portfolio, loans, quotes, policy.economics)
        settings = read_params("judge", JudgeParams, self.paths.root)
        return judged(self.portfolio, quotes, worth, proposals, settings, baseline=rival)
