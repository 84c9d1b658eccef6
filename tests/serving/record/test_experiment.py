"""The loop closed: priced, recorded, answered, exported, and judged against the truth."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from finntelligence.experiment import CONTROL, TEST
from finntelligence.policy import Policy
from serving.decision_log import DecisionLog
from serving.operations import Call, Operations
from serving.record.documents import documents_of
from serving.record.export import as_quotes
from serving.record.settings import RecordSettings
from training.judging.judge import JudgeParams, judged
from training.simulate import simulate
from training.simulator.truth import truth_at
from training.simulator.worlds import Terms
from training.tables import validated_quotes

ASKED, AT_ONCE = 4_000, 100
ONE = {
    "experiment": {"share": 1, "salt": "spring"},
    **{"menu_size": 1, "tick": 0.001, "principal_ratios": [1.0], "terms": [36]},  # quick
}
HALF = ONE | {"experiment": {"share": 0.5, "salt": "spring", "width": 0.02}}
MOST = 41  # ticks within the width
CALL = Call(channel="http")
TODAY = datetime.now(UTC).date().isoformat()


def truth(applicants, rates):
    terms = {name: applicants[name].to_numpy(dtype=float) for name in ("principal", "term_months")}
    return truth_at("W1", applicants, Terms(**terms, nominal_rate=rates))


def requests_of(portfolio, rows):
    names = list(portfolio.example["features"])
    return [
        {
            "requested_principal": float(row["requested_principal"]),
            "requested_term_months": int(row["requested_term_months"]),
            "features": {name: row[name] for name in names},
        }
        for row in rows.to_dict("records")
    ]


@pytest.fixture
def service(tmp_path, market, engine_for):
    """Return what opens the operations of the market under a policy, on a record of their own."""
    opened = []

    def made(changes):
        settings = RecordSettings(url=f"sqlite:///{tmp_path / 'decisions.db'}")
        portfolio = market.portfolio
        log = DecisionLog.open(settings, portfolio.name, tmp_path)
        opened.append(log)
        under = replace(market, policy=Policy.from_mapping(portfolio, changes))
        documents = asyncio.run(log.keep(documents_of(under, {portfolio.name: changes})))
        engine = engine_for(under, documents=documents)
        return Operations(engine=lambda: engine, log=log), log

    yield made
    for log in opened:
        asyncio.run(log.close())


async def together(calls):
    """Await the calls, some at once, in order."""
    answers = []
    for start in range(0, len(calls), AT_ONCE):
        answers += await asyncio.gather(*(call() for call in calls[start : start + AT_ONCE]))
    return answers


def priced(operations, requests):
    """Return the answers to requests, each recorded."""
    return asyncio.run(together([lambda r=r: operations.optimise(r, CALL) for r in requests]))


def answered(operations, answers, accepted):
    """Record what the customers said."""

    def said(answer, taken):
        content = {"outcome": "accepted" if taken else "declined_by_customer", "on": TODAY}
        return lambda: operations.outcome(answer.decision_id, content, CALL)

    asyncio.run(together([said(*each) for each in zip(answers, accepted, strict=True)]))


def customers(answers, rows, seed):
    """Return which offers the simulated world's customers take."""
    first = pd.DataFrame([answer.offers[0].model_dump() for answer in answers])
    applicants = rows.assign(principal=first["principal"], term_months=first["term_months"])
    p_accept = truth(applicants, first["nominal_rate"].to_numpy()).p_accept
    return np.random.default_rng(seed).random(len(answers)) < p_accept


def test_what_is_exported_of_an_experiment_is_judged_and_covers_the_truth(
    service, portfolio, tmp_path
):
    operations, log = service(ONE)
    rows = simulate("W1", ASKED + 500, seed=5).quotes
    answers = priced(operations, requests_of(portfolio, rows))
    offered = [place for place, answer in enumerate(answers) if answer.offers][:ASKED]
    rows = rows.iloc[offered].reset_index(drop=True)
    answers = [answers[place] for place in offered]
    answered(operations, answers, customers(answers, rows, seed=6))
    path = tmp_path / "quotes.parquet"
    assert as_quotes(log.engine, portfolio, path) == ASKED
    quotes = validated_quotes(portfolio, pd.read_parquet(path))
    assert quotes["is_randomised"].mean() > 0.99

    def worth(rates):
        found = truth(quotes, rates)
        return found.value / found.p_accept

    listed = quotes["list_rate"].to_numpy()
    fico = listed + 0.01 - 0.005 * (quotes["fico"].to_numpy() - 700) / 50
    given = {"list": listed, "fico": fico}
    found = judged(portfolio, quotes, worth, given, JudgeParams(replicates=100, folds=2), "list")
    assert found["refused_because"] is None
    for name, rates in given.items():
        policy = found["policies"][name]
        assert policy["refused_because"] is None
        value = truth(quotes, rates).value.mean()
        assert policy["dr"]["low"] <= value <= policy["dr"]["high"], name


def test_half_an_experiment_exports_its_arms_apart(service, portfolio, tmp_path):
    operations, log = service(HALF)
    requests = requests_of(portfolio, simulate("W1", 400, seed=7).quotes)
    answers = [answer for answer in priced(operations, requests) if answer.offers]
    answered(operations, answers, [True] * len(answers))
    path = tmp_path / "quotes.parquet"
    as_quotes(log.engine, portfolio, path)
    quotes = pd.read_parquet(path).set_index("quote_id")
    arms = {TEST: 0, CONTROL: 0}
    for answer in answers:
        entry = asyncio.run(log.decision(answer.decision_id)).entry
        row = quotes.loc[int(answer.decision_id[-32:][:15], 16)]
        assert row["is_randomised"] == (entry.propensity is not None)
        if entry.propensity is not None:
            assert row["propensity"] == entry.propensity >= 1 / (MOST * 0.001) - 1e-9
        arms[entry.arm] += 1
    assert abs(arms[TEST] - len(answers) / 2) < 3 * np.sqrt(len(answers)) / 2


def test_an_applicant_meets_one_draw_whatever_they_ask_and_is_kept_as_a_digest(service, portfolio):
    operations, log = service(HALF)
    example, arms = dict(portfolio.example), {}
    for name in ("customer-one", "customer-two", "customer-three", "customer-four"):
        for change in ({}, {"requested_principal": 9_000.0}, {"features": other(example)}):
            asked = {**example, **change, "applicant_id": name}
            answer = asyncio.run(operations.optimise(asked, CALL))
            entry = asyncio.run(log.decision(answer.decision_id)).entry
            arms.setdefault(name, set()).add((entry.arm, entry.applicant_key))
            assert "customer" not in str(entry.to_content())
            assert asyncio.run(operations.replay(answer.decision_id, CALL)).agrees
    assert all(len(each) == 1 for each in arms.values())
    assert len(set.union(*arms.values())) == 4
    assert {arm for each in arms.values() for arm, _ in each} == {TEST, CONTROL}


def other(example):
    """Return the example's features a little better."""
    return example["features"] | {"fico": example["features"]["fico"] + 5}


def test_without_an_experiment_nothing_is_kept_of_who_asks(service, portfolio):
    operations, log = service({})
    asked = {**portfolio.example, "applicant_id": "customer-one"}
    answer = asyncio.run(operations.optimise(asked, CALL))
    assert asyncio.run(log.decision(answer.decision_id)).entry.applicant_key is None


def test_a_drawn_decision_replays_to_itself(service, portfolio):
    operations, log = service(ONE)
    answer = asyncio.run(operations.optimise(dict(portfolio.example), CALL))
    assert asyncio.run(log.decision(answer.decision_id)).entry.propensity is not None
    found = asyncio.run(operations.replay(answer.decision_id, CALL))
    assert found.agrees
