"""A pair of models without trees, and held-out rows of the same world to judge it by."""

from dataclasses import replace

import numpy as np
import pytest

from finntelligence.portfolio import Capability
from training.fitting.artefact import Artefact
from training.fitting.price_response import PriceResponseModel
from training.gate.heldout import Heldout
from training.gate.pair import Pair
from training.simulate import simulate
from training.train import TARGETS

RISK, ACCEPTANCE = Capability.RISK, Capability.ACCEPTANCE


def safer_if_dearer(response):
    """Return a response that says that whoever pays more defaults less."""
    heads = tuple(
        replace(head, sign=-head.sign) if head.phi == "gap" else head for head in response.heads
    )
    (gap,) = (k for k, head in enumerate(heads) if head.phi == "gap")
    linear = response.linear.copy()
    linear[gap] = -5 * np.abs(linear[gap])
    return replace(response, heads=heads, linear=linear)


@pytest.fixture(scope="session")
def pair(simulated):
    book, models = simulate("W1", quotes=20_000, seed=1), {}
    for model, (table, target) in TARGETS.items():
        frame = getattr(book, table)
        fitted = PriceResponseModel(simulated, model, rounds=0).fit(frame, frame[target])
        models[model] = fitted.artefact_
    digests = {RISK: "a" * 64, ACCEPTANCE: "b" * 64}
    return Pair(portfolio=simulated, models=models, digests=digests)


@pytest.fixture(scope="session")
def heldout():
    book = simulate("W1", quotes=30_000, seed=2)
    tables = {model: getattr(book, table) for model, (table, _) in TARGETS.items()}
    shares = {RISK: {"holdout": 0.25}, ACCEPTANCE: {"holdout": 0.22, "randomised": 0.26}}
    return Heldout(tables=tables, shares=shares)


@pytest.fixture
def discretionary(heldout):
    """The same rows, of which none was offered at random."""
    tables = {m: frame.assign(is_randomised=False) for m, frame in heldout.tables.items()}
    return replace(heldout, tables=tables)


@pytest.fixture(scope="session")
def changed(pair):
    """A function: the pair with one model's response changed."""

    def change(model, response):
        known = pair.models[model]
        other = Artefact(known.booster, response(known.response))
        digests = {**pair.digests, model: "c" * 64}
        return replace(pair, models={**pair.models, model: other}, digests=digests)

    return change
