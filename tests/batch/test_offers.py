"""A book's answers are the service's own, row for row; what the service refuses is set aside."""

import asyncio
import pickle
from dataclasses import replace
from decimal import Decimal

import pytest

from batch.book import Book
from batch.errors import ClusterError
from batch.offers import COLUMNS, part
from finntelligence.errors import InvalidApplicationError
from finntelligence.policy import Policy
from finntelligence.shadow_prices import ShadowPrices
from serving.handler import Engine, handle, in_process
from serving.wire import ApplicationRequest, to_core

APPLICANTS = {".parquet": 1000, ".csv": 60}


def requests(frame, portfolio):
    """Return the bodies that would ask the service about the rows of a frame."""
    names = [field.name for field in portfolio.asked]
    return [
        {
            "requested_principal": row["requested_principal"],
            "requested_term_months": row["requested_term_months"],
            "features": {name: row[name] for name in names},
        }
        for row in frame.to_dict("records")
    ]


def served(pricing, bodies):
    """Return the decisions of the service's own handler, one after another."""
    engine = Engine(
        market=pricing.market,
        versions=pricing.versions,
        score_risk=in_process(pricing.score_risk),
        score_acceptance=in_process(pricing.score_acceptance),
        explain_risk=in_process(pricing.explain_risk),
    )

    async def run():
        asked = map(ApplicationRequest.model_validate, bodies)
        each = [to_core(one, pricing.market.portfolio) for one in asked]
        return [(await handle(one, engine)).decision for one in each]

    return asyncio.run(run())


def changed(pricing, policy=None, prices=None):
    market = pricing.market
    policy = Policy.from_mapping(market.portfolio, policy)
    return replace(pricing, market=replace(market, policy=policy, prices=prices or market.prices))


EXPERIMENT = {"experiment": {"share": 0.5, "width": 0.01, "salt": "spring"}}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"policy": {"demand_choice": False}},
        {"policy": EXPERIMENT},
        {"prices": ShadowPrices(principal=0.03, expected_loss=0.1)},
    ],
)
@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_every_answer_is_the_services_own(
    pricing, portfolio, applicants, tmp_path, changes, suffix
):
    pricing = changed(pricing, **changes)
    frame, path = applicants(APPLICANTS[suffix]), tmp_path / f"book{suffix}"
    write = frame.to_csv if suffix == ".csv" else frame.to_parquet
    write(path, index=False)
    (block,) = Book(path, portfolio, "applicant").blocks(len(frame))
    found = part(pickle.loads(pickle.dumps(pricing)), block, "applicant")
    assert found.rejects == []
    rows = found.offers.to_pylist()
    assert [row["applicant"] for row in rows] == frame["applicant"].tolist()
    kinds = set()
    decisions = served(pricing, requests(frame, portfolio))
    for place, (row, decision) in enumerate(zip(rows, decisions, strict=True)):
        kinds.add(row["decision"])
        assert row["row"] == place
        assert row["reasons"] == [reason.code for reason in decision.reasons]
        assert (row["propensity"], row["arm"]) == (decision.propensity, decision.arm)
        assert row["pair"] == pricing.versions["pair"]
        if decision.offers:
            for name in COLUMNS.names[2:13]:
                expected = getattr(decision.offers[0], name)
                if isinstance(expected, float):
                    expected = pytest.approx(expected, rel=1e-12)
                assert row[name] == expected
        else:
            assert row["principal"] is None
    assert kinds == {"offers", "decline"}


def test_a_worker_with_another_engine_answers_nobody(pricing, portfolio, applicants, tmp_path):
    applicants(2).to_parquet(tmp_path / "book.parquet", index=False)
    (block,) = Book(tmp_path / "book.parquet", portfolio).blocks(2)
    other = replace(pricing, versions={**pricing.versions, "engine": "0.0.9"})
    with pytest.raises(ClusterError, match=r"worker has engine .*, this command 0\.0\.9"):
        part(other, block)


def test_money_may_be_decimal_and_an_applicant_may_be_there_twice(
    pricing, portfolio, applicants, tmp_path
):
    frame = applicants(4).assign(applicant="twice")
    frame.to_parquet(tmp_path / "plain.parquet", index=False)
    money = ("annual_income", "requested_principal")
    exact = frame.assign(**{name: frame[name].map(lambda v: Decimal(f"{v:.2f}")) for name in money})
    exact.to_parquet(tmp_path / "exact.parquet", index=False)
    found = []
    for name in ("plain", "exact"):
        (block,) = Book(tmp_path / f"{name}.parquet", portfolio, "applicant").blocks(4)
        found.append(part(pricing, block, "applicant"))
    assert found[1].rejects == []
    assert found[1].offers.equals(found[0].offers)
    assert found[1].offers["row"].to_pylist() == [0, 1, 2, 3]


def test_a_row_that_the_service_refuses_is_set_aside_in_its_words(
    pricing, portfolio, applicants, tmp_path
):
    frame = applicants(7).astype({"fico": object, "requested_term_months": object})
    frame.loc[1, "fico"] = "high"
    frame.loc[2, ["fico", "home"]] = [900, "tent"]
    frame.loc[3, "requested_term_months"] = 37
    frame = frame.astype({"annual_income": object})
    frame.loc[4, "annual_income"] = None
    frame.loc[5, "annual_income"] = "65_000"
    frame.to_csv(tmp_path / "book.csv", index=False)
    (block,) = Book(tmp_path / "book.csv", portfolio, "applicant").blocks(7)
    found = part(pricing, block, "applicant")
    assert found.offers["row"].to_pylist() == [0, 6]
    said = {}
    for row, key, field, problem in found.rejects:
        assert key == f"a0-{row}"
        said.setdefault(row, []).append((field, problem))
    bodies = requests(frame.astype(object).where(frame.notna(), None), portfolio)
    for row, problems in said.items():
        with pytest.raises(InvalidApplicationError) as refused:
            served(pricing, [bodies[row]])
        assert problems == [(p.field, p.problem) for p in refused.value.problems]
    assert sorted(said) == [1, 2, 3, 4, 5]


def test_a_block_of_nothing_but_rejects_has_no_answers(pricing, portfolio, applicants, tmp_path):
    applicants(3).assign(fico=0).to_parquet(tmp_path / "book.parquet", index=False)
    (block,) = Book(tmp_path / "book.parquet", portfolio).blocks(10)
    found = part(pricing, block)
    assert found.offers.schema == COLUMNS
    assert len(found.offers) == 0
    assert [(row, key) for row, key, *_ in found.rejects] == [(0, None), (1, None), (2, None)]
