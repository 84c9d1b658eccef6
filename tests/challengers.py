"""Pairs of models that the gate must tell from a good one, made of the models in a project.

Run in a project's folder as `python -m tests.challengers WHAT`, WHAT being one of `CHALLENGERS`:
it rewrites the simulated book's artefacts in build/.
"""

import sys
from dataclasses import replace

import numpy as np

from finntelligence.portfolio import Capability
from training.fitting.artefact import Artefact, load_artefact
from training.stages import Paths
from training.tables import load_portfolio, read_table, write_table
from training.train import train

BOOK = "simulated"
ALONG_PRICE = ("gap", "gap_hinge")
MEAN_LOGIT = -1.3  # of the book's acceptance


def rewritten(model, change):
    """Replace a model's response by a changed one, its trees untouched."""
    path = Paths(BOOK).model(model)
    known = load_artefact(path, model, load_portfolio(BOOK))
    Artefact(known.booster, change(known.response)).save(path)


def halved(response):
    """Believe in half the effect of prices."""
    linear = response.linear.copy()
    places = [k for k, head in enumerate(response.heads) if head.phi in ALONG_PRICE]
    linear[places] /= 2
    heads = tuple(
        replace(head, scale=head.scale / 2) if head.phi in ALONG_PRICE else head
        for head in response.heads
    )
    return replace(response, linear=linear, heads=heads)


def stretched(response):
    """Be too sure: the total logit is 1.6 times as far from the mean."""
    intercept, slope = response.calibration
    return replace(response, calibration=(1.6 * intercept - 0.6 * MEAN_LOGIT, 1.6 * slope))


def shuffle():
    """Learn acceptance from labels that belong to other people."""
    path = Paths(BOOK).processed / "train" / "quotes.parquet"
    honest = read_table(path)
    labels = np.random.default_rng(3).permutation(honest["accepted"].to_numpy())
    write_table(honest.assign(accepted=labels), path)
    try:
        train(Capability.ACCEPTANCE, BOOK)
    finally:
        write_table(honest, path)


CHALLENGERS = {
    "shuffled": shuffle,
    "halved": lambda: rewritten(Capability.ACCEPTANCE, halved),
    "stretched": lambda: rewritten(Capability.ACCEPTANCE, stretched),
}

if __name__ == "__main__":
    CHALLENGERS[sys.argv[1]]()
