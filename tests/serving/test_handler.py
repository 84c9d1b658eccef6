import asyncio
import gc
import logging
import re
import weakref
from dataclasses import replace

import numpy as np
import pytest

from finntelligence.basis import BasisColumn
from finntelligence.decision import decide
from finntelligence.errors import ModelUnavailableError
from finntelligence.features import application_columns, design_matrix
from finntelligence.list_price import at_list_price, list_price_optimum
from finntelligence.offers import application
from finntelligence.optimiser import optimum
from finntelligence.policy import Policy
from serving.handler import handle, in_process, log_decision
from serving.json_log import start_log


@pytest.fixture
def applicant(portfolio, example):
    return application(portfolio, **example)


async def unavailable(rows):
    raise ModelUnavailableError("the model does not answer")


def test_the_handler_decides_as_the_core_does(applicant, engine, market):
    row = design_matrix(market.portfolio, application_columns(applicant))
    risk, acceptance = market.risk.coefficients(row), market.acceptance.coefficients(row)
    found = optimum(applicant, market, risk[0], acceptance[0])
    expected = decide(applicant, market, (risk[0], acceptance[0]), engine.versions, found)
    answer = asyncio.run(handle(applicant, engine))
    assert answer.decision == expected
    assert answer.decision.offers


def test_an_answer_tells_the_coefficients_that_it_was_decided_on(applicant, engine, market):
    row = design_matrix(market.portfolio, application_columns(applicant))
    assert asyncio.run(handle(applicant, engine)).heads == {
        "risk": tuple(market.risk.coefficients(row)[0].tolist()),
        "acceptance": tuple(market.acceptance.coefficients(row)[0].tolist()),
    }


def test_each_decision_has_an_id_of_its_own(applicant, engine):
    answers = [asyncio.run(handle(applicant, engine)) for _ in range(50)]
    assert len({answer.decision_id for answer in answers}) == 50
    assert len({answer.decision.offers for answer in answers}) == 1


def test_an_id_tells_the_pair_that_decided(applicant, engine):
    decision_id = asyncio.run(handle(applicant, engine)).decision_id
    assert re.fullmatch(engine.versions["pair"] + "-[0-9a-f]{32}", decision_id)


def test_both_models_are_asked_at_the_same_time_about_the_same_row(applicant, engine_for, market):
    asked = []

    def scorer(model, mine, other):
        async def score(rows):
            asked.append(rows)
            mine.set()
            await asyncio.wait_for(other.wait(), 5)
            return model.coefficients(rows)

        return score

    async def both():
        first, second = asyncio.Event(), asyncio.Event()
        engine = engine_for(
            market,
            score_risk=scorer(market.risk, first, second),
            score_acceptance=scorer(market.acceptance, second, first),
        )
        return await handle(applicant, engine)

    asyncio.run(both())
    assert len(asked) == 2
    assert asked[0].shape[0] == 1
    np.testing.assert_array_equal(asked[0], asked[1])


class Asked:
    """Answers with the risk model's contributions, and keeps what it was asked."""

    def __init__(self, market):
        self.risk, self.rows = market.risk, []

    async def __call__(self, rows):
        self.rows.append(rows)
        return self.risk.contributions(rows)


def test_the_risk_model_explains_only_a_decline_or_what_is_asked_to_be_explained(
    applicant, declined, engine_for, market
):
    explain = Asked(market)
    engine = engine_for(market, explain_risk=explain)
    assert asyncio.run(handle(applicant, engine)).decision.explanation is None
    assert explain.rows == []
    answer = asyncio.run(handle(applicant, engine, explain=True))
    assert answer.decision.explanation is not None
    asyncio.run(handle(declined, engine))
    rows = [design_matrix(market.portfolio, application_columns(a)) for a in (applicant, declined)]
    np.testing.assert_array_equal(np.concatenate(explain.rows), np.concatenate(rows))


def test_to_be_explained_changes_no_offer(applicant, engine):
    plain, explained = (
        asyncio.run(handle(applicant, engine, explain=explain)).decision
        for explain in (False, True)
    )
    assert replace(explained, explanation=None) == plain


def test_a_decline_is_told_by_the_risk_models_own_factors(portfolio, example, engine_for, market):
    strict = replace(market, policy=Policy.from_mapping(portfolio, {"pd_cutoff": 0.0001}))
    larger = application(portfolio, **(example | {"requested_principal": 15_000.0}))
    decision = asyncio.run(handle(larger, engine_for(strict))).decision
    assert [reason.code for reason in decision.reasons] == ["REQUESTED_PRINCIPAL"]


@pytest.mark.parametrize("explain", [True, False])
def test_no_decline_leaves_without_its_reasons(declined, engine_for, market, explain):
    engine = engine_for(market, explain_risk=unavailable)
    with pytest.raises(ModelUnavailableError):
        asyncio.run(handle(declined, engine, explain=explain))


def test_an_offer_that_is_not_to_be_explained_needs_no_explanation(applicant, engine_for, market):
    engine = engine_for(market, explain_risk=unavailable)
    assert asyncio.run(handle(applicant, engine)).decision.offers
    with pytest.raises(ModelUnavailableError):
        asyncio.run(handle(applicant, engine, explain=True))


@pytest.mark.parametrize("scorer", ["score_risk", "score_acceptance"])
def test_nobody_is_decided_on_by_one_model_alone(applicant, engine_for, market, scorer):
    engine = engine_for(market, **{scorer: unavailable})
    with pytest.raises(ModelUnavailableError):
        asyncio.run(handle(applicant, engine))


@pytest.fixture
def declined(portfolio, example):
    """An applicant who asks for more a month than the policy lets them owe."""
    example["features"]["annual_income"] = 18_000
    return application(portfolio, **(example | {"requested_principal": 40_000.0}))


def test_a_declined_applicant_who_asks_as_the_counter_offer_says_gets_that_offer(declined, engine):
    decision = asyncio.run(handle(declined, engine)).decision
    counter = decision.counter_offer
    assert decision.offers == ()
    assert counter.requested_principal < declined.requested_principal
    instead = replace(
        declined,
        requested_principal=counter.requested_principal,
        requested_term_months=counter.requested_term_months,
    )
    assert asyncio.run(handle(instead, engine)).decision.offers[0] == counter.offer


def test_who_gets_offers_gets_no_counter_offer(applicant, engine):
    assert asyncio.run(handle(applicant, engine)).decision.counter_offer is None


def test_who_would_be_declined_whatever_they_ask_for_gets_no_counter_offer(
    portfolio, example, engine
):
    example["features"]["annual_income"] = 0
    decision = asyncio.run(handle(application(portfolio, **example), engine)).decision
    assert decision.reasons
    assert decision.counter_offer is None


def test_nobody_is_declined_when_a_model_goes_before_the_counter_offer(
    declined, engine_for, market
):
    calls = []

    async def once(rows):
        calls.append(rows)
        if len(calls) > 1:
            raise ModelUnavailableError("the model does not answer")
        return market.risk.coefficients(rows)

    with pytest.raises(ModelUnavailableError):
        asyncio.run(handle(declined, engine_for(market, score_risk=once)))
    assert len(calls) == 2


def test_many_applicants_at_once_each_get_their_own_answer(portfolio, example, engine):
    asked = [
        application(portfolio, **(example | {"requested_principal": 1000.0 * (1 + i)}))
        for i in range(30)
    ]

    async def together():
        return await asyncio.gather(*(handle(a, engine) for a in asked))

    alone = [asyncio.run(handle(a, engine)).decision for a in asked]
    assert [answer.decision for answer in asyncio.run(together())] == alone


def test_a_model_in_this_process_is_scored_as_it_is(market):
    rows = np.zeros((2, len(market.risk.features)))
    scored = asyncio.run(in_process(market.risk.coefficients)(rows))
    np.testing.assert_array_equal(scored, market.risk.coefficients(rows))


def test_the_log_tells_the_decision_and_nothing_of_the_applicant(
    portfolio, example, engine_for, market, caplog
):
    example["features"] |= {"annual_income": 68123, "fico": 709, "utilisation": 48.77}
    example["requested_principal"] = 12345
    with caplog.at_level(logging.INFO):
        answer = asyncio.run(handle(application(portfolio, **example), engine_for(market)))
        log_decision(answer)
    (line,) = [record.getMessage() for record in caplog.records]
    assert answer.decision_id in line
    rest = line.replace(answer.decision_id, "")
    assert f"{len(answer.decision.offers)} offers" in rest
    for value in ("68123", "709", "48.77", "12345", "mortgage", "debt_consolidation"):
        assert value not in rest


def test_the_log_of_a_decline_tells_its_reasons(portfolio, example, engine_for, market, caplog):
    example["features"]["annual_income"] = 0
    with caplog.at_level(logging.INFO):
        answer = asyncio.run(handle(application(portfolio, **example), engine_for(market)))
        log_decision(answer)
    assert not answer.decision.offers
    (line,) = [record.getMessage() for record in caplog.records]
    for reason in answer.decision.reasons:
        assert reason.code in line


def test_the_log_of_a_decline_only_counts_what_it_tells_of_the_applicant(
    portfolio, example, engine_for, market, caplog
):
    strict = replace(market, policy=Policy.from_mapping(portfolio, {"pd_cutoff": 0.0001}))
    debt = BasisColumn(feature="dti", kind="z", low=0, high=100)
    model = replace(market.risk, basis=(debt,), linear=np.array([[-3.0, 0.05], [0.02, 0.0]]))
    example["features"]["dti"] = 39
    indebted = replace(strict, risk=model)
    with caplog.at_level(logging.INFO):
        answer = asyncio.run(handle(application(portfolio, **example), engine_for(indebted)))
        log_decision(answer)
    factors = [reason.code for reason in answer.decision.reasons if reason.is_factor]
    assert "FIELD:dti" in factors
    (line,) = [record.getMessage() for record in caplog.records]
    assert f"reasons none and {len(factors)} factors" in line
    for name in (*factors, *(field.name for field in portfolio.fields), "REQUESTED", "FIELD"):
        assert name not in line.replace(answer.decision_id, "")


@pytest.fixture
def quiet_log():
    """The doors' logger as it is before a service starts, and as it was afterwards."""
    log = logging.getLogger("serving")
    kept = log.handlers, log.level, log.propagate
    log.handlers, log.propagate = [], True
    yield log
    log.handlers, log.level, log.propagate = kept


def test_a_started_log_prints_each_decision_once_however_often_it_is_started(
    applicant, engine_for, market, quiet_log, capsys
):
    start_log()
    start_log()
    answer = asyncio.run(handle(applicant, engine_for(market)))
    log_decision(answer)
    assert capsys.readouterr().err.count(answer.decision_id) == 1


@pytest.fixture
def degrading(portfolio, market):
    return replace(
        market, policy=Policy.from_mapping(portfolio, {"degrade": {"acceptance": "list_price"}})
    )


def test_without_the_acceptance_model_a_policy_that_degrades_offers_list_prices(
    applicant, degrading, engine_for
):
    engine = engine_for(degrading, score_acceptance=unavailable)
    answer = asyncio.run(handle(applicant, engine, explain=True))
    decision = answer.decision
    assert (decision.degraded, decision.explanation, decision.arm) == (True, None, None)
    risk = degrading.risk.coefficients(
        design_matrix(degrading.portfolio, application_columns(applicant))
    )[0]
    most = degrading.policy.menu_size
    found = list_price_optimum(applicant, at_list_price(degrading), risk, most)
    assert [offer.quoted_rate for offer in decision.offers] == [o.quoted_rate for o in found.offers]
    assert list(answer.heads) == ["risk"]


def test_a_policy_that_degrades_changes_nothing_while_both_models_answer(
    applicant, degrading, engine_for, engine
):
    answer = asyncio.run(handle(applicant, engine_for(degrading)))
    assert not answer.decision.degraded
    assert answer.decision.offers == asyncio.run(handle(applicant, engine)).decision.offers


def test_a_degraded_decline_names_its_rule_and_has_no_counter_offer(
    applicant, portfolio, degrading, engine_for
):
    changes = {"degrade": {"acceptance": "list_price"}, "apr_cap": 0.01}
    strict = replace(degrading, policy=Policy.from_mapping(portfolio, changes))
    engine = engine_for(strict, score_acceptance=unavailable)
    decision = asyncio.run(handle(applicant, engine)).decision
    assert (decision.offers, decision.counter_offer, decision.degraded) == ((), None, True)
    assert decision.reasons[0].code == "APR_CAP"


@pytest.mark.parametrize("missing", [["score_risk"], ["score_risk", "score_acceptance"]])
def test_without_the_risk_model_nothing_is_offered_whatever_the_policy_says(
    applicant, degrading, engine_for, missing
):
    engine = engine_for(degrading, **dict.fromkeys(missing, unavailable))
    with pytest.raises(ModelUnavailableError):
        asyncio.run(handle(applicant, engine))


def test_a_defect_of_the_acceptance_model_is_no_reason_to_degrade(applicant, degrading, engine_for):
    async def defective(rows):
        raise ZeroDivisionError

    engine = engine_for(degrading, score_acceptance=defective)
    with pytest.raises(ZeroDivisionError):
        asyncio.run(handle(applicant, engine))


def test_a_failed_risk_model_is_told_at_once_while_acceptance_hangs(
    applicant, degrading, engine_for
):
    async def hanging(rows):
        await asyncio.Event().wait()

    async def told():
        engine = engine_for(degrading, score_risk=unavailable, score_acceptance=hanging)
        async with asyncio.timeout(5):
            await handle(applicant, engine)

    with pytest.raises(ModelUnavailableError):
        asyncio.run(told())


def test_an_acceptance_model_that_hangs_holds_up_one_degraded_answer_at_a_time(
    applicant, degrading, engine_for, market
):
    async def played():
        does, asked = "fail", []

        async def acceptance(rows):
            if does == "fail":
                raise ModelUnavailableError("the model does not answer")
            asked.append(rows)
            await may.wait()
            return market.acceptance.coefficients(rows)

        may = asyncio.Event()
        engine = engine_for(degrading, score_acceptance=acceptance)
        first = await handle(applicant, engine)
        does = "hang"
        waits = asyncio.create_task(handle(applicant, engine))
        async with asyncio.timeout(5):
            others = await asyncio.gather(*(handle(applicant, engine) for _ in range(20)))
        assert not waits.done()
        assert len(asked) == 1
        may.set()
        back = await waits, await handle(applicant, engine)
        return [each.decision.degraded for each in (first, *others, *back)]

    assert asyncio.run(played()) == [*[True] * 21, False, False]


def test_an_engine_that_is_replaced_is_freed_at_once(applicant, engine_for, market):
    engine = engine_for(market)
    asyncio.run(handle(applicant, engine))
    gone = weakref.ref(engine.optimum)
    gc.disable()  # which looks for cycles seldom (`runners.heap`)
    try:
        del engine
        assert gone() is None
    finally:
        gc.enable()
