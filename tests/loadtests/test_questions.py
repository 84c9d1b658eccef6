import pytest

from loadtests.questions import Judge, Question, differences, read, write

ANSWER = {
    "decision_id": "p-1",
    "outcome": "offers",
    "offers": [{"apr": 0.1, "monthly_payment": 470.73}],
    "versions": {"pair": "p", "alias": "production"},
}
ASKED = Question({"requested_principal": 1000}, ANSWER)


def test_what_is_written_is_read(tmp_path):
    path = tmp_path / "new" / "mix.jsonl"
    write([ASKED, ASKED], path)
    assert read(path) == [ASKED, ASKED]


def test_an_id_and_an_alias_of_its_own_are_no_difference():
    other = {"decision_id": "p-2", "versions": {"pair": "p", "alias": "staging"}}
    assert differences(ANSWER | other, ANSWER) == []


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"offers": []}, ["offers"]),
        ({"offers": [{"apr": 0.1, "monthly_payment": 470.74}]}, ["offers"]),
        ({"outcome": "decline"}, ["outcome"]),
        ({"versions": {"pair": "q"}}, ["versions"]),
        ({"versions": {}}, ["versions"]),
        ({"decision_id": "q-2"}, ["decision_id"]),
        ({"decision_id": None}, ["decision_id"]),
        ({"unheard_of": 1}, ["unheard_of"]),
    ],
)
def test_every_part_that_is_not_as_expected_is_named(change, named):
    assert differences(ANSWER | change, ANSWER) == named


def test_a_part_that_is_missing_is_named():
    assert differences({"decision_id": "p-2", "versions": {"pair": "p"}}, ANSWER) == [
        "offers",
        "outcome",
    ]


def test_two_answers_with_one_id_are_wrong():
    judge = Judge()
    assert judge.wrong(ANSWER, ASKED) is None
    assert "an earlier decision" in judge.wrong(ANSWER, ASKED)
    assert judge.wrong(ANSWER | {"decision_id": "p-2"}, ASKED) is None
