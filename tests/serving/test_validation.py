import json

import pytest

from finntelligence.errors import InvalidApplicationError
from serving.validation import json_object, validated
from serving.wire import BadRequestError, OfferRequest, parsed
from serving.wire_decisions import OutcomeRequest

WHOLE = {"requested_principal": 1, "requested_term_months": 2, "features": {}}
WRONG = [
    {},
    {**WHOLE, "shoe_size": 43},
    {**WHOLE, "features": []},
    {**WHOLE, "explain": "yes"},
    {**WHOLE, **{f"x{i}": 1 for i in range(50)}, "y" * 300: 1},
]


def told(error, ask):
    with pytest.raises(error) as caught:
        ask()
    return str(caught.value)


@pytest.mark.parametrize("content", WRONG, ids=range(len(WRONG)))
def test_a_wrong_request_is_told_in_the_http_doors_words(content):
    body = json.dumps(content).encode()
    expected = told(InvalidApplicationError, lambda: parsed(body))
    assert told(InvalidApplicationError, lambda: validated(OfferRequest, content)) == expected


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff"])
def test_what_is_no_json_object_is_told_in_the_http_doors_words(body):
    assert told(BadRequestError, lambda: json_object(body)) == told(
        BadRequestError, lambda: parsed(body)
    )


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
