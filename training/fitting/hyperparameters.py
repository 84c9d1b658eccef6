"""What a person may tune of a model's fit: sections `risk` and `acceptance` of params.yaml."""

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["FitParams"]


@dataclass(eq=False, repr=False, kw_only=True)
class FitParams:
    """Settings of one fit; also the settings of the estimator, which inherits them.

    Base logit: `ridge`, `square_ridge` and `slope_ridge` penalise the squared weights of the base,
    of its squares, and of the price slope's modifiers. Modifiers are used only from
    `minimum_events` events on, and only where a column's population stability index is below
    `drift_limit`. The hinge at the benchmark enters only if its Wald z is below `hinge_z`.

    Booster: up to `rounds` rounds of trees, ended when `patience` rounds bring no gain on the
    newest `holdout` share of the rows, and kept if they gain more than `gain_errors` standard
    errors there. `depth` None is 3 for acceptance and 4 for risk.
    `min_child_weight` is halved below 30,000 rows and quartered below 5,000. `shrink` holds the
    factors by which the slope's trees are shrunk, in the order in which the slope guard tries them;
    `guard` says what it holds against the anchor's slope (`training.fitting.slope_guard`).

    Calibration: looked at only where features drift or rows are fewer than `calibrate_below`.
    """

    seed: int = 7
    ridge: float = 5.0
    square_ridge: float = 1000.0
    slope_ridge: float = 300.0
    minimum_events: int = 5000
    drift_limit: float = 0.25
    hinge_z: float = -3.0
    rounds: int = 400
    patience: int = 30
    holdout: float = 0.2
    gain_errors: float = 2.0
    eta: float = 0.05
    reg_lambda: float = 5.0
    depth: int | None = None
    min_child_weight: float = 20.0
    subsample: float = 0.7
    colsample: float = 0.8
    max_bin: int = 128
    hessian_floor: float = 1e-3
    shrink: Sequence[float] = (3.0, 10.0, 30.0)
    guard: str = "implied"
    calibrate_below: int = 30_000
