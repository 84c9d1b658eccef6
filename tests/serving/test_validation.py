import pytest

from finntelligence import offers
from finntelligence.errors import InvalidApplicationError
from serving.validation import json_object, validated
from serving.wire import BadRequestError, OfferRequest
from serving.wire_decisions import OutcomeRequest

WHOLE = {"requested_principal": 1, "requested_term_months": 2, "features": {}}
WRONG = [
    ({"features": {}, "requested_principal": 1}, "requested_term_months: is required"),
    ({**WHOLE, "shoe_size": 43}, "shoe_size: is unknown; known: requested_principal, "),
    ({**WHOLE, "features": []}, "features: must be an object of field names and values"),
    ({**WHOLE, "explain": "yes"}, "explain: must be true or false"),
]


def told(error, ask):
    with pytest.raises(error) as caught:
        ask()
    return str(caught.value)


@pytest.mark.parametrize(("content", "words"), WRONG)
def test_a_wrong_request_is_told_by_field(content, words):
    said = told(InvalidApplicationError, lambda: validated(OfferRequest, content))
    assert said.startswith(words)


def test_what_is_told_is_bounded():
    content = {**WHOLE, "y" * 300: 1, **{f"x{i}": 1 for i in range(50)}}
    said = told(InvalidApplicationError, lambda: validated(OfferRequest, content))
    assert said.count("is unknown") == offers.MOST_PROBLEMS
    assert "y" * (offers.MOST_CHARACTERS + 1) not in said


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff"])
def test_what_is_no_json_object_is_told_so(body):
    assert told(BadRequestError, lambda: json_object(body)).startswith("the body must be ")


@pytest.mark.parametrize("day", ["2027-1-2", "20270102", "2027-W01-1", "2027-02-30", 5, None, "x"])
def test_a_day_is_written_in_one_way(day):
    wrong = {"outcome": "accepted", "on": day}
    assert told(InvalidApplicationError, lambda: validated(OutcomeRequest, wrong)) == (
        "on: must be a day, YYYY-MM-DD"
    )


def test_an_outcome_is_one_of_four():
    wrong = {"outcome": "stolen", "on": "2027-01-02"}
    assert told(InvalidApplicationError, lambda: validated(OutcomeRequest, wrong)) == (
        "outcome: must be one of 'accepted', 'declined_by_customer', 'defaulted' or 'prepaid'"
    )
