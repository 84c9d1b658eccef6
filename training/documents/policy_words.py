"""A lending policy in words, one sentence a rule, for those who answer for it."""

from finntelligence.policy import Policy
from finntelligence.portfolio import Portfolio

__all__ = ["in_words"]

_WHERE_UNKNOWN = {"pti": "payment over income", "dti": "debt payments over income"}
_DONE = {"decline": "nothing is offered", "skip": "its rule is left out"}


def in_words(policy: Policy, portfolio: Portfolio) -> tuple[str, ...]:
    """Return the policy as sentences; a rule that does not apply is said not to."""
    ratios = ", ".join(map(_percent, policy.principal_ratios))
    terms = ", ".join(map(str, policy.terms))
    convention = str(portfolio.price.convention).replace("_", " ")
    return (
        f"Amounts: {ratios} of what is asked for, in steps of {_plain(policy.principal_step)} "
        f"{portfolio.currency}, from {_plain(policy.minimum_principal)} to "
        f"{_plain(policy.maximum_principal)}. Terms: {terms} months.",
        f"Quoted rates ({convention}): {_percent(policy.minimum_rate)} to "
        f"{_percent(policy.maximum_rate)} in steps of {_plain(100 * policy.tick)} points, and no "
        f"further than {_plain(100 * policy.trust_below)} points below and "
        f"{_plain(100 * policy.trust_above)} points above the list price.",
        _apr(policy),
        _cap(policy.pti_cap, "The instalment takes at most {} of monthly income", "instalments"),
        _cap(policy.dti_cap, "All debt payments take at most {} of income", "debt payments"),
        _cap(
            policy.pd_cutoff,
            "No offer at a lifetime probability of default above {}",
            "the probability of default",
        ),
        _cap(
            policy.minimum_raroc,
            "The risk-adjusted return on capital is at least {}",
            "the return on capital",
        ),
        *(
            f"Where {_WHERE_UNKNOWN.get(rule, rule)} cannot be known, {_DONE.get(does, does)}."
            for rule, does in sorted(policy.if_missing.items())
        ),
        _menu(policy),
        _experiment(policy),
        "Among all permitted offers the engine takes those of highest expected profit: it "
        "optimises profit, and fairness is screened beside it, not part of what is optimised.",
        f"SHA-256 of the policy in force: {policy.digest}.",
    )


def _experiment(policy: Policy) -> str:
    trial = policy.experiment
    if trial is None:
        return "No price is drawn at random."
    reach = (
        "anywhere within the permitted prices"
        if trial.width is None
        else f"within {_plain(100 * trial.width)} points of the best one"
    )
    return (
        f"Of {_percent(trial.share)} of applicants the first offer's price is drawn at random, "
        f"{reach}, so that the next models can learn what a price does."
    )


def _percent(share: float) -> str:
    return f"{_plain(100 * share)} %"


def _plain(number: float) -> str:
    """Write a number as it was declared: nothing rounded but a float's own dust."""
    return f"{number:,.12g}"


def _cap(value: float | None, rule: str, subject: str) -> str:
    return f"No rule on {subject}." if value is None else f"{rule.format(_percent(value))}."


def _apr(policy: Policy) -> str:
    cap = policy.apr_cap
    text = "No cap on the APR" if cap is None else f"APR at most {_percent(cap)}"
    if policy.jurisdictions is None:
        return f"{text}."
    caps = ", ".join(f"{k} {_percent(v)}" for k, v in sorted(policy.jurisdictions.apr_caps.items()))
    return f"{text}; by {policy.jurisdictions.field}: {caps}."


def _menu(policy: Policy) -> str:
    if policy.demand_choice:
        return f"Up to {policy.menu_size} offers are shown, the most profitable ones."
    return (
        f"Up to {policy.menu_size} offers are shown: the menu of highest profit, in which offers "
        f"compete (dissimilarity {_plain(policy.dissimilarity)}, an assumption)."
    )
