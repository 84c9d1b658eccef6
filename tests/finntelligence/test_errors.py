import re
from dataclasses import FrozenInstanceError

import pytest

from finntelligence import errors
from finntelligence.errors import FieldProblem, FinntelligenceError, InvalidApplicationError

PUBLIC_ERRORS = [
    getattr(errors, name) for name in errors.__all__ if issubclass(getattr(errors, name), Exception)
]


@pytest.mark.parametrize("error", PUBLIC_ERRORS, ids=lambda e: e.__name__)
def test_every_error_raised_on_purpose_hangs_on_the_one_tree(error):
    assert issubclass(error, FinntelligenceError)


def test_the_tree_drawn_in_the_docstring_is_the_tree():
    drawn = re.findall(r"^( *)(\w+Error)\b", errors.__doc__, re.MULTILINE)
    assert {name for _, name in drawn} == {error.__name__ for error in PUBLIC_ERRORS}
    assert [name for indent, name in drawn if not indent] == ["FinntelligenceError"]
    below = {name for indent, name in drawn if indent}
    ours = (e for e in FinntelligenceError.__subclasses__() if e.__module__ == errors.__name__)
    assert below == {error.__name__ for error in ours}


def test_an_invalid_application_tells_every_problem_in_order():
    problems = [FieldProblem("features.fico", "is required"), FieldProblem("b", "is unknown")]
    error = InvalidApplicationError(problems)
    assert error.problems == tuple(problems)
    assert str(error) == "features.fico: is required; b: is unknown"


def test_an_error_keeps_its_problems_when_the_callers_list_changes():
    problems = [FieldProblem("a", "is required")]
    error = InvalidApplicationError(problems)
    problems.clear()
    assert len(error.problems) == 1


def test_a_field_problem_never_changes():
    problem = FieldProblem("a", "is required")
    with pytest.raises(FrozenInstanceError):
        problem.field = "b"
