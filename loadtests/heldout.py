"""Ask a running service about held-out applicants, and check every answer.

    python -m loadtests.heldout PORTFOLIO --url http://127.0.0.1:3000

Every applicant must be answered, every offer must lie inside the policy in force, and every number
must be the one that the engine finds in this process. Prints how
many got offers, the time taken, and what both models score on these very applicants: AUC and
log-loss beside a constant's. Exit status 1 when an answer is missing or wrong.
"""

import asyncio
import sys
import time
from dataclasses import asdict
from typing import Annotated, Any

import httpx
import pandas as pd
import typer
from rich.console import Console
from rich.table import Table

from finntelligence.features import application_columns, design_matrix
from finntelligence.market import Market
from finntelligence.offers import Application, Offer
from finntelligence.optimiser import optimum
from finntelligence.portfolio import Capability, Portfolio
from training.evaluate import EvaluateParams
from training.evidence.decisions import applications
from training.evidence.scores import scores
from training.fitting.artefact import load_artefact
from training.fitting.price_response import columns_of, quoted_terms
from training.stages import Paths, load_policy, read_params
from training.tables import load_portfolio, read_table
from training.train import TARGETS

out = Console()


def body_of(applicant: Application) -> dict[str, Any]:
    """Return an applicant as the body of POST /v1/offers; absent values are left out."""
    known = {k: v for k, v in applicant.features.items() if v is not None}
    return {
        "requested_principal": applicant.requested_principal,
        "requested_term_months": applicant.requested_term_months,
        "features": known,
    }


async def ask(
    url: str, applicants: list[Application], concurrency: int
) -> list[httpx.Response | httpx.TransportError]:
    """Send every applicant once, at most `concurrency` at a time; answers in their order."""
    gate = asyncio.Semaphore(concurrency)
    limits = httpx.Limits(max_connections=concurrency)
    async with httpx.AsyncClient(
        base_url=url, timeout=30, limits=limits, trust_env=False
    ) as client:

        async def one(applicant: Application) -> httpx.Response | httpx.TransportError:
            async with gate:
                try:
                    return await client.post("/v1/offers", json=body_of(applicant))
                except httpx.TransportError as error:
                    return error

        return await asyncio.gather(*(one(applicant) for applicant in applicants))


def outside_policy(offer: dict[str, Any], applicant: Application, market: Market) -> list[str]:
    """Return what is wrong with an offer, by rules written here and not the engine's.

    Not checked: a floor on the return on capital, which an offer does not disclose.
    """
    policy, portfolio = market.policy, market.portfolio
    columns = application_columns(applicant)
    funds = policy.economics.cost_of_funds
    listed = portfolio.price.list_rate.rate(columns, offer["term_months"], funds)[0]
    income = portfolio.affordability.monthly_income(columns)[0]
    debts = portfolio.affordability.debt_share(columns)[0]
    share, slack = offer["monthly_payment"] / income, policy.tick / 2
    steps = (offer["quoted_rate"] - policy.minimum_rate) / policy.tick
    caps = policy.apr_caps(columns)
    cap = policy.apr_cap if caps is None else caps[0]
    broken = {
        "term": offer["term_months"] not in policy.terms,
        "principal": offer["principal"] not in policy.principals(applicant.requested_principal),
        "rate": not policy.minimum_rate <= offer["quoted_rate"] <= policy.maximum_rate,
        "tick": abs(steps - round(steps)) > 1e-6,
        "trust region": not -policy.trust_below - slack
        <= offer["quoted_rate"] - listed
        <= policy.trust_above + slack,
        "APR cap": cap is not None and bool(offer["apr"] > cap + 1e-9),
        "PTI": policy.pti_cap is not None and bool(share > policy.pti_cap + 1e-4),
        "DTI": policy.dti_cap is not None and bool(share + debts > policy.dti_cap + 1e-4),
        "PD cut-off": policy.pd_cutoff is not None and offer["pd_lifetime"] > policy.pd_cutoff,
        "profit": not offer["expected_profit"] > 0,
    }
    return [name for name, is_broken in broken.items() if is_broken]


def wrong(
    content: dict[str, Any], applicant: Application, market: Market, here: tuple[Offer, ...]
) -> list[str]:
    """Return what is wrong with an answer; `here` are the engine's own offers, in this process."""
    found = []
    if not content["offers"] and not content["reasons"]:
        found.append("declined without a reason")
    if content["offers"] != [asdict(offer) for offer in here]:
        found.append("other offers than the engine finds in this process")
    for offer in content["offers"]:
        broken = outside_policy(offer, applicant, market)
        found += [f"outside the policy: {', '.join(broken)}"] if broken else []
    return [f"{content['decision_id']}: {text}" for text in found]


def model_scores(portfolio: Portfolio, paths: Paths, quotes: pd.DataFrame) -> Table:
    """Score both models on the chosen applicants (risk: on those who took the loan)."""
    table = Table("model", "rows", "events", "AUC", "log-loss", "of a constant")
    loans = read_table(paths.processed / "holdout" / "loans.parquet")
    frames = {"quotes": quotes, "loans": loans[loans["quote_id"].isin(set(quotes["quote_id"]))]}
    for model, (name, target) in TARGETS.items():
        frame, artefact = frames[name], load_artefact(paths.model(model), model, portfolio)
        if frame.empty:
            table.add_row(str(model), "0", "0", "none", "none", "none")
            continue
        rows = artefact.coefficients(design_matrix(portfolio, columns_of(portfolio, frame)))
        predicted = artefact.response.probability(rows, quoted_terms(portfolio, frame))
        constant = read_table(paths.processed / "train" / f"{name}.parquet")[target].mean()
        params = read_params("evaluate", EvaluateParams)
        outcome = frame[target].to_numpy(dtype=float)
        found = scores(outcome, predicted, float(constant), params)
        table.add_row(
            str(model),
            str(found["rows"]),
            str(found["events"]),
            *(
                "{value:.4f} [{low:.4f}, {high:.4f}]".format(**found[k]) if k in found else "none"
                for k in ("auc", "log_loss")
            ),
            f"{found['constant_log_loss']:.4f}",
        )
    return table


def main(
    portfolio: Annotated[str, typer.Argument(help="The portfolio that is served.")],
    url: Annotated[str, typer.Option(help="The running service.")] = "http://127.0.0.1:3000",
    applicants: Annotated[int, typer.Option(min=1)] = 1000,
    concurrency: Annotated[int, typer.Option(min=1, max=512)] = 16,
) -> None:
    """Ask about held-out applicants and check every answer."""
    declared, paths = load_portfolio(portfolio), Paths(portfolio)
    quotes = read_table(paths.processed / "holdout" / "quotes.parquet")
    chosen = quotes.sample(min(applicants, len(quotes)), random_state=1)
    asked = applications(declared, chosen)
    start = time.perf_counter()
    answers = asyncio.run(ask(url, asked, concurrency))
    seconds = time.perf_counter() - start
    artefacts = {model: load_artefact(paths.model(model), model, declared) for model in TARGETS}
    market = Market(
        portfolio=declared,
        policy=load_policy(declared),
        risk=artefacts[Capability.RISK].response,
        acceptance=artefacts[Capability.ACCEPTANCE].response,
    )
    matrix = design_matrix(declared, columns_of(declared, chosen))
    coefficients = [artefacts[model].coefficients(matrix) for model in Capability]
    offered, failures = 0, []
    for i, (applicant, answer) in enumerate(zip(asked, answers, strict=True)):
        if isinstance(answer, httpx.TransportError) or answer.status_code != httpx.codes.OK:
            failures.append(f"not answered: {answer!r}")
            continue
        content = answer.json()
        offered += bool(content["offers"])
        here = optimum(applicant, market, *(rows[i] for rows in coefficients)).offers
        failures += wrong(content, applicant, market, here)
    out.print(
        f"{portfolio}: {len(answers)} held-out applicants at concurrency {concurrency} in "
        f"{seconds:.1f} s ({len(answers) / seconds:.0f}/s): {offered} with offers "
        f"({100 * offered / len(answers):.1f} %), {len(failures)} failures"
    )
    out.print(model_scores(declared, paths, chosen))
    for failure in failures[:10]:
        out.print(failure)
    sys.exit(bool(failures))


if __name__ == "__main__":
    typer.run(main)
