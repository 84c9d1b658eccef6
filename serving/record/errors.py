"""What the decision record raises on purpose, below the core's one tree.

FinntelligenceError
  RecordUnavailableError     ours: nothing was answered; the same request may succeed on retry
  RecordSchemaError          the operator's: the database has another schema than this engine
  UnknownDecisionError       the caller's: there is no such decision
  OutcomeConflictError       the caller's: the outcome contradicts what is recorded
  IdempotencyConflictError   the caller's: the key was used for another request
"""

from finntelligence.errors import FinntelligenceError

__all__ = [
    "IdempotencyConflictError",
    "OutcomeConflictError",
    "RecordSchemaError",
    "RecordUnavailableError",
    "UnknownDecisionError",
]


class RecordUnavailableError(FinntelligenceError):
    """The decision could not be made durable in time; the same request may succeed on retry."""


class RecordSchemaError(FinntelligenceError):
    """The database has not the schema that this engine writes; the message names the command."""


class UnknownDecisionError(FinntelligenceError):
    """No decision is recorded under this id, or its content was removed after its retention."""


class OutcomeConflictError(FinntelligenceError):
    """An outcome contradicts what is recorded of the decision."""


class IdempotencyConflictError(FinntelligenceError):
    """An idempotency key came again with another request."""
