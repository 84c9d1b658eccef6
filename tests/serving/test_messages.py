from datetime import UTC, datetime

from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

from serving.messages import from_message, to_message
from serving.stubs import offers_pb2 as pb
from serving.wire import OfferResponse

finite = st.floats(allow_nan=False)
values = st.one_of(finite, st.text(), st.none())
requests = st.fixed_dictionaries(
    {"features": st.dictionaries(st.text(), values), "explain": st.booleans()},
    optional={
        "requested_principal": finite,
        "requested_term_months": st.integers(-(2**31), 2**31 - 1),
    },
)


@given(requests)
def test_content_survives_the_way_there_and_back(content):
    message = to_message(pb.OptimiseOffersRequest, content)
    assert from_message(pb.OptimiseOffersRequest.FromString(message.SerializeToString())) == content


def test_an_answer_survives_the_way_there_and_back(client, example):
    for change in ({}, {"explain": True}, {"features": {**example["features"], "fico": 300}}):
        answer = OfferResponse.model_validate(
            client.post("/v1/offers", json={**example, **change}).json()
        )
        message = to_message(pb.OptimiseOffersResponse, answer.model_dump())
        assert OfferResponse.model_validate(from_message(message, whole=True)) == answer


def test_every_field_of_an_answer_has_its_place_in_the_message(client, example):
    content = client.post("/v1/offers", json={**example, "explain": True}).json()

    def placed(content, kind):
        assert set(content) <= {field.name for field in kind.fields}
        for field in kind.fields:
            inner = content.get(field.name)
            if isinstance(inner, dict) and not field.message_type.GetOptions().map_entry:
                placed(inner, field.message_type)
            for each in inner if isinstance(inner, list) else ():
                placed(each, field.message_type)

    placed(content, pb.OptimiseOffersResponse.DESCRIPTOR)


def test_what_is_absent_has_no_key_and_zero_is_not_absent():
    assert from_message(pb.QuoteOfferRequest(principal=0)) == {"features": {}, "principal": 0}


def test_a_time_is_a_time():
    at = datetime(2027, 1, 15, 8, tzinfo=UTC)
    message = to_message(pb.DecisionRecord, {"at": at})
    assert isinstance(message, Message)
    assert from_message(message)["at"] == "2027-01-15T08:00:00Z"


def test_a_word_of_an_enumeration_is_the_words_of_json_and_an_unknown_one_its_number():
    said = to_message(pb.RecordOutcomeRequest, {"outcome": "declined_by_customer"})
    assert said.outcome == pb.CUSTOMER_OUTCOME_DECLINED_BY_CUSTOMER
    assert from_message(said)["outcome"] == "declined_by_customer"
    assert from_message(pb.RecordOutcomeRequest(outcome=77))["outcome"] == "77"
    assert "outcome" not in from_message(pb.RecordOutcomeRequest())
