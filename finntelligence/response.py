"""From one applicant's row to probabilities of any offer: the models' shared price-response form.

    logit p(x, o) = sum over heads k of coefficient_k(x) * phi_k(o, x),   phi_0 = 1

A coefficient is a linear part in a fixed basis of x plus, where the head has one, the output of a
tree ensemble; then clipped to its head's sign. One row gives K numbers, and the whole offer
surface is analytic, smooth and monotone in the price. The same code serves training and serving.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finntelligence.basis import Basis, BasisColumn
from finntelligence.errors import ModelMismatchError
from finntelligence.features import feature_names
from finntelligence.heads import ALONG_PRICE, Head, clipped, problem_of
from finntelligence.offers import OfferTerms
from finntelligence.portfolio import Capability, Portfolio
from finntelligence.rates import Price

__all__ = [
    "FORMAT",
    "PHI",
    "PTI_SHARE_CAP",
    "SPEC_ATTRIBUTE",
    "PriceLine",
    "PriceResponse",
    "unsupported",
]

Array = NDArray[np.float64]

FORMAT = "finntelligence.price-response/1"
"""The artefacts that this engine reads and writes."""
SPEC_ATTRIBUTE = "finntelligence"
"""The booster attribute that holds an artefact's JSON."""
PTI_SHARE_CAP = 0.5
"""The largest payment over income that models tell apart; a payment without income counts so."""

Phi = Callable[[OfferTerms, "PriceResponse"], Array]


def _gap(terms: OfferTerms) -> Array:
    """Price above the benchmark in price units (points of the quoted rate)."""
    return (terms.quoted_rate - terms.benchmark) / Price.UNIT


def _payment_to_income(terms: OfferTerms, response: "PriceResponse") -> Array:
    income = np.where(np.isnan(terms.monthly_income), response.income_fill, terms.monthly_income)
    share = terms.payment / np.maximum(income, 1e-9)
    return np.minimum(share, PTI_SHARE_CAP)


PHI: Mapping[str, Phi] = {
    "one": lambda t, _: np.ones_like(t.quoted_rate),
    "gap": lambda t, _: _gap(t),
    "gap_hinge": lambda t, _: np.maximum(_gap(t), 0.0),
    "term_change": lambda t, _: np.abs(np.log(t.term_months / t.requested_term_months)),
    "shortfall": lambda t, _: np.maximum(1 - t.principal / t.requested_principal, 0.0),
    "excess": lambda t, _: np.maximum(t.principal / t.requested_principal - 1, 0.0),
    "pti": lambda t, r: 10 * _payment_to_income(t, r),
    "term": lambda t, r: np.log(t.term_months / r.portfolio.axes.reference_term),
    "principal": lambda t, r: np.log(t.principal / r.portfolio.axes.reference_principal),
}
"""What a head may multiply, of the terms' shape; prices in price units, 0 at the reference."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceLine:
    """A logit along the price of one offer: `constant` + the slopes times the phi they name.

    >>> line = market.risk.along_price(risk, terms)
    >>> line.constant.round(4).tolist(), float(line.gap), line.pti  # logit(0.1), and a slope
    ([-2.1972, -2.1972], 0.02, 0.0)
    """

    constant: Array | float
    gap: Array | float
    gap_hinge: Array | float
    pti: Array | float


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceResponse:
    """A fitted model without its trees; with the booster's output it gives the coefficients.

    `linear` has shape (heads, 1 + basis): intercept, then one weight per basis column; `columns`
    computes these. `calibration` (intercept, slope > 0) applies to the total logit; `income_fill`
    is the monthly income that an unknown one counts as, `evidence` what training says of itself.

    >>> market.acceptance.probability(acceptance, terms).round(4).tolist()
    [0.5, 0.4502]
    >>> market.risk.probability(risk, terms).round(4).tolist()
    [0.1, 0.1018]

    Raises:
        ModelMismatchError: when its parts do not fit each other.
    """

    model: Capability
    portfolio: Portfolio
    features: tuple[str, ...]
    basis: tuple[BasisColumn, ...]
    heads: tuple[Head, ...]
    linear: Array
    calibration: tuple[float, float]
    income_fill: float
    evidence: Mapping[str, Any]
    columns: Basis = field(init=False, repr=False, compare=False)
    _weights: Array = field(init=False, repr=False, compare=False)
    _grown: list[int] = field(init=False, repr=False, compare=False)
    _scales: Array = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.linear.shape != (len(self.heads), 1 + len(self.basis)):
            raise ModelMismatchError(f"{self.model}: linear part does not fit heads and basis")
        if not np.isfinite(self.linear).all():
            raise ModelMismatchError(f"{self.model}: linear part holds what is not a number")
        names = [head.name for head in self.heads]
        if len(set(names)) != len(names) or any(h.phi not in PHI for h in self.heads):
            raise ModelMismatchError(f"{self.model}: heads repeat a name or have an unknown phi")
        if problem := problem_of(self.heads):
            raise ModelMismatchError(f"{self.model}: {problem}")
        unknown = {column.feature for column in self.basis} - set(self.features)
        if unknown:
            raise ModelMismatchError(f"{self.model}: basis of unknown features {sorted(unknown)}")
        if not self.calibration[1] > 0:
            raise ModelMismatchError(f"{self.model}: calibration slope must be above 0")
        scales = np.array([self.heads[i].scale for i in self.tree_heads])
        prepared = {
            "columns": Basis.of(self.basis, self.features),
            "_weights": np.ascontiguousarray(self.linear.T, dtype=float),
            "_grown": list(self.tree_heads),
            "_scales": scales,
        }
        for name, value in prepared.items():
            object.__setattr__(self, name, value)

    @property
    def tree_heads(self) -> tuple[int, ...]:
        """Positions of the heads the booster has outputs for, in the booster's order."""
        return tuple(i for i, head in enumerate(self.heads) if head.tree)

    def refuse_other(
        self, model: Capability, portfolio: Portfolio, outputs: int | None = None
    ) -> None:
        """Check an artefact against what it is about to be used for.

        `outputs` are the booster's; None where its trees are not loaded.

        Raises:
            ModelMismatchError: when it is another model, was trained under another declaration of
                the portfolio, or its booster has another number of outputs than tree heads.
        """
        if self.model is not model:
            raise ModelMismatchError(f"is a {self.model} model, not {model}")
        if self.portfolio.digest != portfolio.digest:
            raise ModelMismatchError(
                f"was trained under another declaration of portfolio {portfolio.name} "
                f"({self.portfolio.digest[:12]}, now {portfolio.digest[:12]})"
            )
        if self.features != feature_names(portfolio):
            raise ModelMismatchError("has other feature columns than its portfolio declares")
        if outputs is not None and outputs != len(self.tree_heads):
            raise ModelMismatchError(
                f"booster has {outputs} outputs for {len(self.tree_heads)} tree heads"
            )

    def coefficients(self, matrix: Array, trees: Array | None = None) -> Array:
        """Return the coefficients of every head, shape (n, heads), clipped and calibrated.

        `matrix` is the design matrix, (n, features); `trees` the booster's raw output,
        (n, tree heads), or None for a booster of no rounds.
        """
        raw = self.linear_part(matrix)
        if trees is not None:
            raw[:, self._grown] += trees.reshape(len(matrix), -1) * self._scales
        found = clipped(raw, self.heads)
        intercept, slope = self.calibration
        found *= slope
        found[:, 0] += intercept
        return found

    def contributions(self, matrix: Array, trees: Array | None = None) -> Array:
        """Return what each column adds to each raw coefficient, (n, heads, features + 1).

        The last column is the constant; together they are the coefficients before clipping and
        calibration. `trees` are the booster's Shapley values, (n, tree heads, features + 1).
        """
        added = np.zeros((len(matrix), len(self.heads), len(self.features) + 1))
        added[:, :, -1] = self.linear[:, 0]
        parts = self.columns.values(matrix)[:, None] * self.linear[:, 1:]
        # one after another, for several of the basis may stand for one column
        place: Any = (slice(None), slice(None), self.columns.position)
        np.add.at(added, place, parts)
        if trees is not None:
            added[:, self._grown] += trees * self._scales[:, None]
        return added

    def linear_part(self, matrix: Array) -> Array:
        """Return the linear parts of every head, shape (n, heads)."""
        return self.columns.weighted(matrix, self._weights)

    def probability(self, coefficients: Array, terms: OfferTerms) -> Array:
        """Return the probability at each of the terms, of their shape.

        `coefficients` has shape (..., heads), its leading axes broadcasting with the terms.
        """
        logit = np.zeros(np.shape(terms.quoted_rate))
        for k, head in enumerate(self.heads):
            logit = logit + coefficients[..., k] * PHI[head.phi](terms, self)
        with np.errstate(over="ignore"):  # exp(-logit) of a hopeless offer is infinite, p is 0
            return np.asarray(1 / (1 + np.exp(-logit)))

    def along_price(self, coefficients: Array, terms: OfferTerms) -> "PriceLine":
        """Return the logit as a function of the price alone, everything else as in `terms`.

        `coefficients` (..., heads) broadcast with the terms; rates and payments do not matter.
        """
        constant: Array | float = 0.0
        slopes: dict[str, Array | float] = dict.fromkeys(ALONG_PRICE, 0.0)
        for k, head in enumerate(self.heads):
            if head.phi in ALONG_PRICE:
                slopes[head.phi] = slopes[head.phi] + coefficients[..., k]
            else:
                constant = constant + coefficients[..., k] * PHI[head.phi](terms, self)
        return PriceLine(constant=constant, **slopes)

    def to_mapping(self) -> dict[str, Any]:
        """Return the artefact's JSON content; the inverse of `from_mapping`."""
        return {
            "format": FORMAT,
            "model": str(self.model),
            "portfolio": self.portfolio.declaration,
            "features": list(self.features),
            "basis": [asdict(column) for column in self.basis],
            "heads": [asdict(head) for head in self.heads],
            "linear": self.linear.tolist(),
            "calibration": list(self.calibration),
            "income_fill": self.income_fill,
            "evidence": self.evidence,
        }

    @classmethod
    def from_mapping(cls, content: Mapping[str, Any]) -> "PriceResponse":
        """Read an artefact's JSON content.

        Raises:
            ModelMismatchError: when it is not of this engine's format or contradicts itself.
        """
        if content.get("format") != FORMAT:
            raise ModelMismatchError(
                f"model format is {content.get('format')!r}, this engine reads {FORMAT!r}"
            )
        if missing := [f.name for f in fields(cls) if f.init and f.name not in content]:
            raise ModelMismatchError(f"model lacks {', '.join(missing)}")
        try:
            return cls._read(content)
        except (KeyError, TypeError, ValueError) as error:
            raise ModelMismatchError(f"model contradicts its format: {error}") from error

    @classmethod
    def _read(cls, content: Mapping[str, Any]) -> "PriceResponse":
        intercept, slope = content["calibration"]
        return cls(
            model=Capability(content["model"]),
            portfolio=Portfolio.from_mapping(content["portfolio"]),
            features=tuple(content["features"]),
            basis=tuple(BasisColumn(**column) for column in content["basis"]),
            heads=tuple(Head(**head) for head in content["heads"]),
            linear=np.array(content["linear"], dtype=float),
            calibration=(float(intercept), float(slope)),
            income_fill=float(content["income_fill"]),
            evidence=content["evidence"],
        )


def unsupported(response: PriceResponse, terms: OfferTerms) -> NDArray[np.bool_]:
    """Whether each of the terms needs a head whose `phi` training never varied, of their shape.

    Heads along the price do not count: where prices never varied there is no market at all.

    >>> from dataclasses import replace
    >>> from finntelligence.heads import Head
    >>> untried = Head(name="shortfall", phi="shortfall", supported=False)
    >>> model = replace(market.acceptance, heads=(market.acceptance.heads[0], untried))
    >>> less = replace(terms, principal=np.array([9_000.0, 12_000.0]))  # of 12,000 asked for
    >>> unsupported(model, less).tolist()
    [True, False]
    """
    guess = np.zeros(np.shape(terms.quoted_rate), dtype=bool)
    for head in response.heads:
        if not head.supported and head.phi not in ALONG_PRICE:
            guess = guess | (PHI[head.phi](terms, response) != 0)
    return guess
