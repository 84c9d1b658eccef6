"""Price experiments: some applicants get a price drawn at random, so that answers tell of prices.

Nothing but chance may move a tested price, and its density must be on record: then the next
acceptance model learns what price does, and `finntelligence.off_policy` can judge other policies.

Who is in, and which price, follows from who asks and the experiment's salt alone, so that nobody
gets another draw by asking for another amount or term:

    key = BLAKE2b(applicant's id) keyed with the salt, or, without an id, the applicant's features
    u(use) = BLAKE2b(salt, use, key) as a number in [0, 1)
    in the experiment if u("share") < share
    price = the permitted tick at floor(u("price") * n) of n

The permitted ticks are those of the best offer's own amount and term, no further than the width
from its price, in the price range, that every rule permits: no draw is refused or against the law.
The draw is uniform on n ticks, of which each stands for one tick's width of rate, so the density

    propensity = (1 / n) / tick, per unit of rate

sums to 1 over the ticks, fewer of them where a bound or a rule cuts the window short. Where there
is but one permitted tick nothing is drawn, and there is no propensity.

Without a width prices are drawn from all of the price range, which tells most: off-policy figures
then cover every price that may be offered. A width costs less profit and tells of the neighbourhood
of the best price alone; other policies' prices are mostly untested there.

Only the first offer's price is drawn; the others stay, so in a menu its answers tell of `p_choice`,
not of the `p_accept` that models learn, and who takes another offer instead leaves the sample.
A policy whose experiment is to teach the acceptance model shows one offer: `menu_size: 1`.
"""

import hashlib
import json
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from finntelligence import cashflow
from finntelligence.explain import cell_terms, nearest_cell
from finntelligence.market import Market
from finntelligence.menu import choice_probabilities
from finntelligence.offers import Application, Offer
from finntelligence.optimiser import candidates
from finntelligence.policy import TICK_SLACK, Policy
from finntelligence.rules import RULES, Candidates

__all__ = [
    "CONTROL",
    "EXPERIMENT",
    "TEST",
    "Trial",
    "applicant_key",
    "permitted",
    "tried",
    "uniform",
]

Array = NDArray[np.float64]

TEST = "test"
"""The arm whose price is drawn, where more than one is permitted."""
CONTROL = "control"
"""The arm whose price is the best one."""
EXPERIMENT = "EXPERIMENT"
"""What `Offer.binding` says of a drawn price: the experiment keeps it from a better neighbour."""

_SURE = np.nextafter(1, 0)  # a sure offer's p_accept may round to 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """Offers under an experiment: whose first price was drawn if there is a `propensity`.

    `propensity` is the density the first offer's price was drawn from, per unit of its quoted rate;
    None where it was not drawn. `arm` is None where there is no experiment, or nothing to offer.

    >>> Trial(offers=())
    Trial(offers=(), arm=None, propensity=None)
    """

    offers: tuple[Offer, ...]
    arm: str | None = None
    propensity: float | None = None


def tried(
    application: Application,
    market: Market,
    coefficients: tuple[Array, Array],
    offers: tuple[Offer, ...],
    key: str | None = None,
) -> Trial:
    """Return the best `offers` as the policy's experiment would have them shown.

    `coefficients` are the risk and the acceptance model's for the applicant, each (heads,). The
    `key` says who asks (`applicant_key`); by default their features do, so that who asks again, for
    another amount or term too, meets the same draw, and so does whoever has the same features.

    >>> from finntelligence.optimiser import optimum
    >>> trial = {"experiment": {"share": 1, "width": 0.01, "salt": "spring"}}
    >>> testing = replace(market, policy=Policy.from_mapping(book, trial))
    >>> best = optimum(asked, testing, risk, acceptance).offers
    >>> shown = tried(asked, testing, (risk, acceptance), best, key="applicant 7")
    >>> best[0].quoted_rate, shown.offers[0].quoted_rate, shown.arm, round(shown.propensity, 2)
    (0.1513, 0.154, 'test', 49.75)
    """
    experiment = market.policy.experiment
    if experiment is None or not offers:
        return Trial(offers=offers)
    if key is None:
        key = _features_key(application)
    if uniform(experiment.salt, "share", key) >= experiment.share:
        return Trial(offers=offers, arm=CONTROL)
    valued, places = _permitted(application, market, coefficients, offers[0])
    if len(places) < 2:
        return Trial(offers=offers, arm=TEST)
    drawn = int(places[int(uniform(experiment.salt, "price", key) * len(places))])
    first = _repriced(offers[0], valued, drawn, market.policy)
    return Trial(
        offers=_as_menu((first, *offers[1:]), market.policy),
        arm=TEST,
        propensity=1 / (len(places) * market.policy.tick),
    )


def applicant_key(policy: Policy, applicant_id: str | None) -> str | None:
    """Return what an experiment knows an applicant by; None without an experiment or an id.

    It is BLAKE2b-128 of the id, keyed with the salt's digest, in hex: the id cannot be read from
    it, and another experiment's key is another. Who knows the salt can still try out guesses, so an
    id should not be guessable (a random customer number, never one that a state gives out).

    >>> testing = Policy.from_mapping(book, {"experiment": {"share": 1, "salt": "spring"}})
    >>> applicant_key(testing, "customer 7")
    'd1810a1e277ffdc6002d0a79f0aa17c8'
    >>> applicant_key(market.policy, "customer 7") is applicant_key(testing, None) is None
    True
    """
    if policy.experiment is None or applicant_id is None:
        return None
    secret = hashlib.blake2b(policy.experiment.salt.encode()).digest()
    content = json.dumps(applicant_id).encode()
    return hashlib.blake2b(content, key=secret, digest_size=16).hexdigest()


def permitted(
    application: Application, market: Market, coefficients: tuple[Array, Array], offer: Offer
) -> Array:
    """Return the rates, rising, that the experiment may give an offer: quoted, (n,).

    >>> from finntelligence.optimiser import optimum
    >>> trial = {"experiment": {"share": 1, "width": 0.01, "salt": "spring"}}
    >>> testing = replace(market, policy=Policy.from_mapping(book, trial))
    >>> best = optimum(asked, testing, risk, acceptance).offers[0]
    >>> rates = permitted(asked, testing, (risk, acceptance), best)
    >>> len(rates), rates[[0, -1]].tolist()
    (201, [0.1413, 0.1613])
    """
    valued, places = _permitted(application, market, coefficients, offer)
    return valued.terms.quoted_rate[places]


def uniform(salt: str, use: str, key: str) -> float:
    """Return a number in [0, 1), the same for the same texts, uniform over keys.

    >>> round(uniform("spring", "share", "applicant 7"), 4)
    0.5042
    """
    content = json.dumps([salt, use, key]).encode()
    drawn = int.from_bytes(hashlib.blake2b(content, digest_size=8).digest())
    return (drawn >> 11) / 2**53  # all that a float64 holds below 1


def _features_key(application: Application) -> str:
    """Return who asks as one text; 705 and 705.0 are the same, whichever door they took."""
    features = {
        name: value if value is None or isinstance(value, str) else float(value)
        for name, value in application.features.items()
    }
    return json.dumps(features, sort_keys=True)


def _permitted(
    application: Application, market: Market, coefficients: tuple[Array, Array], offer: Offer
) -> tuple[Candidates, NDArray[np.int64]]:
    """Return the offers at every tick of the window, and the places of the permitted ones."""
    policy, experiment = market.policy, market.policy.experiment
    cell = nearest_cell(application, market, coefficients, offer.principal, offer.term_months)
    first, last = cell.first, cell.last
    if experiment is not None and experiment.width is not None:
        best = round((offer.quoted_rate - policy.minimum_rate) / policy.tick)
        reach = int(experiment.width / policy.tick + TICK_SLACK)
        first, last = max(first, best - reach), min(last, best + reach)
    terms = cell_terms(application, market, cell, np.arange(first, last + 1))
    valued = candidates(application, market, *coefficients, terms)
    allowed = np.ones(terms.payment.shape, dtype=bool)
    for rule in RULES:
        allowed &= rule.permits(valued, policy)
    return valued, np.flatnonzero(allowed)


def _repriced(offer: Offer, valued: Candidates, place: int, policy: Policy) -> Offer:
    """Return an offer at another rate; at its own it stays as it is."""
    rate, nominal, payment = (
        float(getattr(valued.terms, name)[place])
        for name in ("quoted_rate", "nominal_rate", "payment")
    )
    if rate == offer.quoted_rate:
        return offer
    received = offer.principal * (1 - policy.economics.origination_fee)
    level, total = cashflow.contract_payments(offer.principal, nominal, offer.term_months)
    return replace(
        offer,
        quoted_rate=rate,
        nominal_rate=nominal,
        apr=float(cashflow.apr(received, payment, offer.term_months)),
        monthly_payment=level,
        total_cost=round(total - received, 2),
        p_accept=float(valued.p_accept[place]),
        pd_lifetime=float(valued.pd_lifetime[place]),
        expected_profit=float(valued.expected_profit[place]),
        binding=EXPERIMENT,
    )


def _as_menu(offers: tuple[Offer, ...], policy: Policy) -> tuple[Offer, ...]:
    """Return the offers with the probability that each is picked from among them."""
    p_accept = np.minimum([offer.p_accept for offer in offers], _SURE)
    p_choice, _ = choice_probabilities(p_accept, policy.dissimilarity)
    return tuple(
        replace(offer, p_choice=p) for offer, p in zip(offers, p_choice.tolist(), strict=True)
    )
