"""A person's name under a flag of the fairness screens."""

from dataclasses import dataclass

from finntelligence.errors import InvalidDataError

__all__ = ["SignOff"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SignOff:
    """Who answers for a flagged screen, why it may stand, and the `value` that it had.

    Raises:
        InvalidDataError: when either is blank.
    """

    by: str
    reason: str
    value: float | None = None

    def __post_init__(self) -> None:
        for name in ("by", "reason"):
            if not getattr(self, name).strip():
                raise InvalidDataError(f"sign-off.{name}: must be given, is blank")
