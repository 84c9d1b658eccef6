import re

import grpc
import pytest

from finntelligence import errors
from finntelligence.errors import (
    FieldProblem,
    FinntelligenceError,
    InvalidApplicationError,
    ModelUnavailableError,
)
from serving import wire
from serving.grpc_problems import from_status, short, to_status
from serving.problems import (
    PROBLEMS,
    OverloadedError,
    UnexpectedAnswerError,
    error_of,
    kind_of,
    problem_of,
    retry_after_s,
)
from serving.record import errors as record_errors
from serving.record.errors import UnknownDecisionError


def descendants(kind):
    """Return every error of the core and of the record below a class."""
    below = [each for child in kind.__subclasses__() for each in (child, *descendants(child))]
    return [each for each in below if each.__module__ in (errors.__name__, record_errors.__name__)]


def made(kind):
    """Return an error of a kind."""
    if kind is InvalidApplicationError:
        return kind([FieldProblem("features.fico", "must be at least 300")])
    return kind("what went wrong")


@pytest.mark.parametrize("kind", PROBLEMS)
def test_an_error_survives_the_way_through_either_door(kind):
    error = made(kind)
    by_http = error_of(problem_of(error))
    code = grpc.StatusCode[kind_of(error).grpc]
    by_grpc, wait = from_status(to_status(code, problem_of(error), retry_after_s(error)))
    for each in (by_http, by_grpc):
        assert type(each) is kind
        assert str(each) == str(error)
    assert wait == retry_after_s(error)


@pytest.mark.parametrize("kind", descendants(FinntelligenceError))
def test_every_error_of_the_core_and_the_record_has_a_body_that_says_what_it_says(kind):
    error = made(kind)
    problem = problem_of(error)
    assert problem.status >= 400
    assert problem.detail == str(error)
    assert problem.type.startswith(wire.PROBLEM_TYPE)
    assert len(problem.type) > len(wire.PROBLEM_TYPE)


def test_a_problem_names_each_field_apart_from_the_sentence():
    error = InvalidApplicationError([FieldProblem("a", "is required"), FieldProblem("b", "is odd")])
    assert problem_of(error).model_dump()["errors"] == [
        {"field": "a", "problem": "is required"},
        {"field": "b", "problem": "is odd"},
    ]


def test_codes_are_unique_and_fit_for_both_doors():
    codes = [kind.code for kind in PROBLEMS.values()]
    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", code) for code in codes)


def test_a_status_of_the_caller_is_a_code_of_the_caller():
    ours = {"UNAVAILABLE", "DEADLINE_EXCEEDED", "UNIMPLEMENTED"}
    for kind in PROBLEMS.values():
        assert (kind.status >= 500) == (kind.grpc in ours)
        assert kind.grpc not in ("INTERNAL", "UNKNOWN")
        assert kind.again <= (kind.status in (429, 503))


def test_only_what_may_succeed_later_says_when():
    assert retry_after_s(ModelUnavailableError("gone")) > 0
    assert retry_after_s(OverloadedError("busy", retry_after_s=7)) == 7
    assert retry_after_s(UnknownDecisionError("which?")) is None
    assert retry_after_s(ValueError()) is None


def test_a_defect_is_internal_and_an_unknown_problem_unexpected():
    assert kind_of(ValueError()).grpc == "INTERNAL"
    problem = wire.Problem(type="", title="", status=418, detail="a teapot")
    assert type(error_of(problem)) is UnexpectedAnswerError


@pytest.mark.parametrize("details", [b"", b"\xff\xff", b"\x08\x03"])
def test_details_of_another_are_none_of_ours(details):
    assert from_status(details) is None


@pytest.mark.parametrize("text", ["", "short", "x" * 1500, "100 %", "\N{SNOWMAN}"])
def test_a_short_text_stays_whole(text):
    assert short(text) == text


@pytest.mark.parametrize("character", ["x", "%", "\N{SNOWMAN}", "\n"])
def test_a_long_text_is_cut_to_fit_once_it_is_encoded(character):
    cut = short(character * 5000)
    cost = 1 if character == "x" else 3 * len(character.encode())
    assert cut == character * (1500 // cost)


def test_a_problem_that_is_too_long_loses_its_last_fields():
    wrong = [FieldProblem("\N{PILE OF POO}" * 100, f"is unknown {i}") for i in range(20)]
    error = InvalidApplicationError(wrong)
    details = to_status(grpc.StatusCode.INVALID_ARGUMENT, problem_of(error), None)
    assert len(details) < 5000
    kept = from_status(details)[0].problems
    assert kept == error.problems[: len(kept)]
    assert len(kept) > 3
