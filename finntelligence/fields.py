"""The fields of a book's applicants: what each means, its bounds, and what it may be used for."""

import math
from dataclasses import dataclass
from enum import StrEnum

from finntelligence.declaration import Section
from finntelligence.errors import InvalidDeclarationError

__all__ = ["RESERVED", "Field", "Kind", "Role", "Value"]

Value = float | int | str | None


RESERVED = ("requested_principal", "requested_term_months")


class Kind(StrEnum):
    """What a value looks like."""

    NUMBER = "number"
    INTEGER = "integer"
    CATEGORY = "category"


class Role(StrEnum):
    """What a field may be used for.

    `feature`: models may see it. `protected` and `group`: fairness tests only.
    `jurisdiction`: says which law applies; caps may depend on it, models never see it.
    `leak`: known only after the decision, so nothing may use it.
    """

    FEATURE = "feature"
    PROTECTED = "protected"
    GROUP = "group"
    JURISDICTION = "jurisdiction"
    LEAK = "leak"


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One declared applicant field; bounds are inclusive and in `unit`.

    `scale` says whether the models' linear parts see a number or its logarithm; `reason` is how an
    adverse-action notice may name the field in plain words.
    """

    name: str
    kind: Kind
    role: Role
    unit: str
    meaning: str
    reason: str
    minimum: float
    maximum: float
    values: tuple[str, ...]
    required: bool
    scale: str

    @classmethod
    def read(cls, name: str, section: Section) -> "Field":
        """Read one entry of a declaration's `fields`."""
        kind = Kind(section.choice("type", tuple(Kind)))
        role = Role(section.choice("role", tuple(Role)))
        category = kind is Kind.CATEGORY
        scale = section.choice("scale", ("linear", "log"), default="linear")
        low = -math.inf if category else section.number("minimum")
        if scale == "log" and low < 0:
            raise section.fail("minimum", "must not be below 0 for a field on a log scale")
        if "=" in name or name in RESERVED:
            raise InvalidDeclarationError(f"{section.path}: is not a name that a field may have")
        field = cls(
            name=name,
            kind=kind,
            role=role,
            unit=section.text("unit", default=""),
            meaning=section.text("meaning"),
            reason=section.text("reason") if role is Role.FEATURE else "",
            minimum=low,
            maximum=math.inf if category else section.number("maximum", low),
            values=section.texts("values") if category else (),
            required=section.flag("required", default=True),
            scale=scale,
        )
        section.close()
        return field

    def problem(self, value: object) -> str | None:
        """Return what would be right instead of `value`, or None if it is fine."""
        if value is None:
            return f"is required: {self.expected()}" if self.required else None
        if self.kind is Kind.CATEGORY:
            return None if value in self.values else f"must be {self.expected()}"
        if isinstance(value, bool) or not isinstance(value, int | float):
            return f"must be {self.expected()}"
        if not self.minimum <= value <= self.maximum:  # NaN fails too
            return f"must be {self.expected()}"
        if self.kind is Kind.INTEGER and value != int(value):
            return f"must be {self.expected()}"
        return None

    def expected(self) -> str:
        """Say what the field accepts."""
        if self.kind is Kind.CATEGORY:
            return "one of " + ", ".join(self.values)
        noun = "a whole number" if self.kind is Kind.INTEGER else "a number"
        unit = f" {self.unit}" if self.unit else ""
        return f"{noun} from {self.minimum:.15g} to {self.maximum:.15g}{unit}"
