"""Every error this engine raises on purpose, in one tree.

FinntelligenceError
  InvalidApplicationError    the caller's: change the application, then ask again
  InvalidDeclarationError    the operator's: a declared portfolio, policy or setting is impossible
  InvalidDataError           the data scientist's: a file is not what its loader reads
  ModelMismatchError         the operator's: published models are missing or do not fit
  ModelUnavailableError      ours: the same request may succeed on retry

A decline is a decision, never an error. The doors translate these to their protocol's codes in
`serving.wire`; nothing here knows of HTTP or gRPC.
"""

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = [
    "FieldProblem",
    "FinntelligenceError",
    "InvalidApplicationError",
    "InvalidDataError",
    "InvalidDeclarationError",
    "ModelMismatchError",
    "ModelUnavailableError",
]


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """One thing wrong: the field's path and what would be right.

    >>> print(FieldProblem("features.fico", "must be at least 300"))
    features.fico: must be at least 300
    """

    field: str
    problem: str

    def __str__(self) -> str:
        return f"{self.field}: {self.problem}"


class FinntelligenceError(Exception):
    """Base of every error raised on purpose, so that one `except` catches them all.

    >>> try:
    ...     raise ModelUnavailableError("the risk model did not answer")
    ... except FinntelligenceError as error:
    ...     print(error)
    the risk model did not answer
    """


class InvalidApplicationError(FinntelligenceError):
    """The application cannot be scored; `problems` names each field and what would be right.

    >>> str(InvalidApplicationError([FieldProblem("features.fico", "must be at least 300")]))
    'features.fico: must be at least 300'
    """

    def __init__(self, problems: Sequence[FieldProblem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(map(str, self.problems)))


class InvalidDeclarationError(FinntelligenceError):
    """A portfolio, policy or setting is impossible; the message starts with the key's path.

    >>> from finntelligence.declaration import Section
    >>> Section({"tick": 0}, "policy").number("tick", 0.0001, 0.01)
    Traceback (most recent call last):
        ...
    finntelligence.errors.InvalidDeclarationError: policy.tick: must be from 0.0001 to 0.01, is 0
    """


class InvalidDataError(FinntelligenceError):
    """A data file is not what its loader reads; the message says what was expected.

    >>> raise InvalidDataError("loans.csv: lacks the column fico")
    Traceback (most recent call last):
        ...
    finntelligence.errors.InvalidDataError: loans.csv: lacks the column fico
    """


class ModelMismatchError(FinntelligenceError):
    """Published models are missing, or do not fit this engine or each other.

    >>> from finntelligence.basis import BasisColumn
    >>> BasisColumn(feature="fico", kind="cubic")
    Traceback (most recent call last):
        ...
    finntelligence.errors.ModelMismatchError: basis of fico: unknown kind 'cubic'
    """


class ModelUnavailableError(FinntelligenceError):
    """A model did not answer in time; the same request may succeed on retry.

    >>> issubclass(ModelUnavailableError, InvalidApplicationError)  # not the caller's to mend
    False
    """
