"""The fields of a book's applicants: what each means, its bounds, and what it may be used for."""

import math
import re
from dataclasses import dataclass
from enum import StrEnum

from finntelligence.declaration import Section
from finntelligence.errors import InvalidDeclarationError

__all__ = ["RESERVED", "Field", "Kind", "Role", "Value", "prohibited_basis"]

Value = float | int | str | None
"""What a field of an application may hold: a number, a category's value, or None where absent."""

RESERVED = ("requested_principal", "requested_term_months")
"""Names that no field may have, for the request itself has them."""

_EVALUATION = "12 CFR 1002.6(b) keeps it out of evaluating applicants"
_NOT_EVEN_ASKED = f"{_EVALUATION} and 1002.5(b) out of what they are asked"
_AGE = (
    "12 CFR 1002.6(b)(2) admits it only in an empirically derived, sound system that never counts "
    "old age against an applicant, and this engine not at all"
)
_PROXY = "it is close to a basis prohibited by 12 CFR 1002.6(b), and this engine refuses it alike"
_PROHIBITED = (  # what a name tells of, why it is refused, and the words that tell it
    ("race or color", _NOT_EVEN_ASKED, "race races racial color colour"),
    ("religion", _NOT_EVEN_ASKED, "religion religious"),
    (
        "national origin",
        _NOT_EVEN_ASKED,
        "national_origin nationality ethnicity ethnic hispanic latino ancestry birthplace "
        "country_of_birth birth_country place_of_birth native_country",
    ),
    ("sex", _NOT_EVEN_ASKED, "sex gender genders female male"),
    ("childbearing", _EVALUATION, "pregnant pregnancy childbearing"),
    ("marital status", _EVALUATION, "marital married unmarried divorced widowed"),
    (
        "age",
        _AGE,
        "date_of_birth birth_date birthdate birthday birth_year year_of_birth dob elderly",
    ),
    ("public assistance", _EVALUATION, "public_assistance welfare food_stamps"),
    ("exercise of rights under the Consumer Credit Protection Act", _EVALUATION, "ccpa"),
    (
        "where somebody lives",
        _PROXY,
        "zip zipcode zip_code postcode postal_code postal census_tract neighbourhood neighborhood",
    ),
    (
        "what somebody is called",
        _PROXY,
        "first_name last_name full_name given_name family_name maiden_name surname salutation",
    ),
    ("language", _PROXY, "language mother_tongue"),
    ("an e-mail address", _PROXY, "email e_mail"),
)
_OF_A_PERSON = (  # words around a person's age or name, not around an account's
    "age name applicant applicants borrower borrowers client clients coapplicant coborrower co "
    "customer customers person persons years year months month days squared square log band "
    "bracket group over under at in of application"
)
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


class Kind(StrEnum):
    """What a value looks like.

    >>> [field.name for field in book.features if field.kind is Kind.CATEGORY]
    ['home', 'purpose']
    """

    NUMBER = "number"
    INTEGER = "integer"
    CATEGORY = "category"


class Role(StrEnum):
    """What a field may be used for.

    `feature`: models may see it. `protected` and `group`: fairness tests only.
    `jurisdiction`: says which law applies; caps may depend on it, models never see it.
    `leak`: known only after the decision, so nothing may use it.

    >>> [field.name for field in book.fields if field.role is Role.PROTECTED]
    ['group']
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
    adverse-action notice may name the field in plain words. `proxy_of` names the protected
    characteristic that the field stands in for, if it does: then it cannot be a feature.

    >>> entry = {"type": "integer", "role": "feature", "minimum": 300, "maximum": 850,
    ...     "unit": "points", "meaning": "Credit bureau score", "reason": "Credit score"}
    >>> fico = Field.read("fico", Section(entry, "fields.fico"))
    >>> fico.problem(299), fico.problem(705)
    ('must be a whole number from 300 to 850 points', None)
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
    proxy_of: str = ""

    @classmethod
    def read(cls, name: str, section: Section) -> "Field":
        """Read one entry of a declaration's `fields`.

        Raises:
            InvalidDeclarationError: naming the path of the first key that is wrong; a feature that
                tells of a prohibited basis is.
        """
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
            proxy_of=section.text("proxy_of", default=""),
        )
        if role is Role.FEATURE:
            _refuse_prohibited(field, section)
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


def prohibited_basis(name: str) -> tuple[str, str] | None:
    """Say which basis prohibited in credit decisions a field's name tells of and why it is refused.

    None where it tells of none. The bases are those of the Equal Credit Opportunity Act (12 CFR
    1002.2(z)); which proxies are close is this engine's own judgement. Names are read word by word.

    >>> prohibited_basis("is_married")[0], prohibited_basis("home_zip")[0]
    ('marital status', 'where somebody lives')
    >>> prohibited_basis("applicant_age")[0], prohibited_basis("age_of_oldest_account")
    ('age', None)
    """
    words = [word.lower() for word in _WORD.findall(name)]
    spelt = f"_{'_'.join(words)}_"
    if set(words) <= set(_OF_A_PERSON.split()):
        if "age" in words:
            return "age", _AGE
        if "name" in words:
            return "what somebody is called", _PROXY
    for basis, why, names in _PROHIBITED:
        if any(f"_{each}_" in spelt for each in names.split()):
            return basis, why
    return None


def _refuse_prohibited(field: Field, section: Section) -> None:
    right = "make the role protected or group, for fairness tests only"
    if field.proxy_of:
        said = f"must be absent from a feature, stands in for {field.proxy_of}"
        raise section.fail("proxy_of", f"{said}: {right}")
    found = prohibited_basis(field.name)
    if found is not None:
        basis, why = found
        said = f"must not be feature, because the name tells of {basis}: {why}"
        raise section.fail("role", f"{said}; {right}")
