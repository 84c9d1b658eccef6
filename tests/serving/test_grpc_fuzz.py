"""Whatever arrives, no gRPC method says INTERNAL or UNKNOWN, and the door keeps answering."""

import string

import grpc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serving.stubs import offers_pb2 as pb
from tests.serving.doors import KNOWN, Log, call, channel_to, grpc_door

FEW = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
OURS = grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN
METHODS = {
    "OptimiseOffers": pb.OptimiseOffersRequest,
    "QuoteOffer": pb.QuoteOfferRequest,
    "GetDecision": pb.GetDecisionRequest,
    "RecordOutcome": pb.RecordOutcomeRequest,
}
BROUGHT_ALONG = [
    "grpc.health.v1.Health/Check",
    "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
]

numbers = st.floats(width=64) | st.integers(-(10**6), 10**6).map(float)
whole = st.integers(-(2**31), 2**31 - 1)
texts = st.text(max_size=30)


@pytest.fixture(scope="module")
def made_requests(portfolio):
    """Return a strategy of messages: from nonsense to requests that are right."""
    example = portfolio.example
    names = st.sampled_from(sorted(example["features"])) | texts

    def value(each):
        if each is None:
            return {}
        return {"text" if isinstance(each, str) else "number": each}

    right = {name: value(each) for name, each in example["features"].items()}
    values = st.one_of(numbers, texts, st.none()).map(value)
    features = st.dictionaries(names, values, max_size=12).map(lambda some: {**right, **some})
    request = {
        "requested_principal": st.just(12_000.0) | numbers,
        "requested_term_months": st.just(36) | whole,
        "features": st.just(right) | features,
    }
    terms = {
        "principal": st.just(12_000.0) | numbers,
        "term_months": st.integers(1, 600) | whole,
        "quoted_rate": st.floats(0, 10) | numbers,
    }
    days = st.dates().map(str) | texts
    ids = st.just(KNOWN) | texts
    said = {"decision_id": ids, "outcome": st.integers(0, 4) | whole, "on": days, "offer": whole}
    fields = {
        "OptimiseOffers": {**request, "explain": st.booleans(), "applicant_id": st.text()},
        "QuoteOffer": {**request, **terms},
        "GetDecision": {"decision_id": ids},
        "RecordOutcome": said,
    }
    return {
        name: st.fixed_dictionaries({}, optional=each).map(lambda words, name=name: words)
        for name, each in fields.items()
    }


@pytest.fixture
def channel(engine, example, client):
    answer = client.post("/v1/offers", json=example).json()
    log = Log({**example, "explain": False}, answer)
    with grpc_door(engine, log=log) as door, channel_to(door) as opened:
        yield opened


def answered(channel, method, message):
    """Return what a call ends with."""
    try:
        call(channel, method, message)
    except grpc.RpcError as error:
        return error.code()
    return grpc.StatusCode.OK


@pytest.mark.parametrize("method", METHODS)
def test_bytes_of_any_kind_get_a_typed_answer(channel, method):
    @FEW
    @given(st.binary(max_size=200))
    def law(body):
        assert answered(channel, method, body) not in OURS

    law()


@pytest.mark.parametrize("method", METHODS)
def test_messages_of_any_content_get_a_typed_answer(channel, method, made_requests):
    @FEW
    @given(st.data())
    def law(data):
        words = data.draw(made_requests[method])
        assert answered(channel, method, METHODS[method](**words)) not in OURS

    law()


@pytest.mark.parametrize("method", BROUGHT_ALONG)
def test_health_and_reflection_answer_bytes_of_any_kind(channel, method):
    @FEW
    @given(st.binary(max_size=100))
    def law(body):
        code = grpc.StatusCode.OK
        try:
            list(channel.stream_stream(f"/{method}")(iter([body]), timeout=5))
        except grpc.RpcError as error:
            code = error.code()
        assert code not in OURS

    law()


def test_a_method_that_is_not_there_is_unimplemented(channel):
    for method in ("", "Offers", string.ascii_letters):
        assert answered(channel, method, b"") is grpc.StatusCode.UNIMPLEMENTED
