"""Which part of the pack speaks to which heading of the supervisory texts, and what is not there.

docs/decisions/0009-model-risk-headings.md says where each heading was checked.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from training.evidence.page import Section, Table

__all__ = ["AI_ACT", "US_GUIDANCE", "Heading", "mapped"]

NAMED = "named by the agencies' own pages, its number from transcriptions"
TRANSCRIBED = "from transcriptions: the text itself was not read"
ACT = "point of the Annex, from several copies of the text"

CARDS, GATE, LINEAGE = "cards", "Gate verdicts and promotion history", "Lineage"
POLICY, FAIRNESS, MONITORING = "Policy in words", "Fair lending", "Monitoring plan"
REPORT, ABOUT = "Evaluation report", "About this pack"


@dataclass(frozen=True, slots=True, kw_only=True)
class Heading:
    """A heading of a text, how it was checked, which parts speak to it, and what is missing."""

    number: str
    title: str
    checked: str
    parts: tuple[str, ...]
    missing: str = ""


US_GUIDANCE = (
    Heading(
        number="I",
        title="Introduction",
        checked=TRANSCRIBED,
        parts=(ABOUT,),
        missing="it speaks to supervisors; nothing to document",
    ),
    Heading(number="II", title="Purpose and Scope", checked=TRANSCRIBED, parts=(ABOUT, CARDS)),
    Heading(
        number="III",
        title="Overview of Model Risk and Model Risk Management",
        checked=TRANSCRIBED,
        parts=(CARDS, ABOUT),
        missing="the lender's own tier of materiality",
    ),
    Heading(
        number="IV",
        title="Model Development and Model Use",
        checked=NAMED,
        parts=(CARDS, LINEAGE, POLICY),
    ),
    Heading(
        number="V",
        title="Model Validation and Monitoring",
        checked=NAMED,
        parts=(REPORT, GATE, MONITORING),
        missing="validation by people independent of development",
    ),
    Heading(
        number="V,",
        title="Conceptual Soundness",
        checked=TRANSCRIBED,
        parts=(CARDS,),
    ),
    Heading(
        number="V,",
        title="Outcomes Analysis",
        checked=TRANSCRIBED,
        parts=(REPORT, GATE, FAIRNESS),
        missing="outcomes of decisions that the engine itself made",
    ),
    Heading(
        number="V,",
        title="Ongoing Model Monitoring",
        checked=TRANSCRIBED,
        parts=(MONITORING,),
        missing="a record that the plan is carried out",
    ),
    Heading(number="VI", title="Governance and Controls", checked=NAMED, parts=(GATE, POLICY)),
    Heading(
        number="VI,",
        title="Roles and Responsibilities",
        checked=TRANSCRIBED,
        parts=(GATE,),
        missing="the lender's roles; the gate records who signed off what",
    ),
    Heading(
        number="VI,",
        title="Model Inventory",
        checked=TRANSCRIBED,
        parts=(LINEAGE,),
        missing="the lender's other models",
    ),
    Heading(
        number="VI,",
        title="Documentation",
        checked=TRANSCRIBED,
        parts=(ABOUT, CARDS, LINEAGE),
    ),
    Heading(
        number="VII",
        title="Vendor and Other Third-Party Products",
        checked=NAMED,
        parts=(LINEAGE,),
        missing="the lender's assessment of this software; each run pins its libraries",
    ),
)
"""Revised Guidance on Model Risk Management, SR 26-2 / OCC Bulletin 2026-13, 17 April 2026."""

AI_ACT = (
    Heading(
        number="1",
        title="A general description of the AI system",
        checked=ACT,
        parts=(CARDS, ABOUT),
        missing="the provider's name; instructions for use are in the project's documents",
    ),
    Heading(
        number="2",
        title="A detailed description of the elements of the AI system and of the process for its "
        "development",
        checked=ACT,
        parts=(CARDS, LINEAGE, REPORT),
        missing="human oversight and cybersecurity measures of the lender's systems",
    ),
    Heading(
        number="3",
        title="Detailed information about the monitoring, functioning and control of the AI system",
        checked=ACT,
        parts=(MONITORING, POLICY, FAIRNESS),
    ),
    Heading(
        number="4",
        title="A description of the appropriateness of the performance metrics for the specific AI "
        "system",
        checked=ACT,
        parts=(CARDS,),
    ),
    Heading(
        number="5",
        title="A detailed description of the risk management system in accordance with Article 9",
        checked=ACT,
        parts=(GATE,),
        missing="the lender's risk management system; the gate is one measure of it",
    ),
    Heading(
        number="6",
        title="A description of relevant changes made by the provider to the system through its "
        "lifecycle",
        checked=ACT,
        parts=(GATE, LINEAGE),
    ),
    Heading(
        number="7",
        title="A list of the harmonised standards applied in full or in part",
        checked=ACT,
        parts=(),
        missing="none is claimed",
    ),
    Heading(
        number="8",
        title="A copy of the EU declaration of conformity referred to in Article 47",
        checked=ACT,
        parts=(),
        missing="the provider's to give",
    ),
    Heading(
        number="9",
        title="A detailed description of the system in place to evaluate the AI system performance "
        "in the post-market phase in accordance with Article 72",
        checked=ACT,
        parts=(MONITORING,),
        missing="a record that the plan is carried out",
    ),
)
"""Annex IV, technical documentation, of Regulation (EU) 2024/1689, as published in 2024."""


def mapped(links: Mapping[str, Sequence[Markup]]) -> Section:
    """Return both maps; `links` holds, by the name of a part, the links to it in the pack."""
    return Section(
        "Map to supervisory headings",
        texts=[
            "A map, not a claim of compliance. The guidance says of itself that it sets no "
            "enforceable standard; whether either text applies is for the lender to judge.",
            "The text of SR 26-2 was not at hand. Its four main subjects are named by OCC Bulletin "
            "2026-13's own page and the FDIC's release; numbers and other headings come from "
            "independent transcriptions, which agree where more than one speaks.",
            "It replaced SR 11-7 / OCC 2011-12, whose headings were: I Introduction; II Purpose "
            "and Scope; III Overview of Model Risk Management; IV Model Development, "
            "Implementation, and Use; V Model Validation; VI Governance, Policies, and Controls; "
            "VII Conclusion.",
            "The points of Annex IV are quoted without their sub-points, as published in 2024; the "
            "Official Journal itself and later amendments were not read.",
        ],
        tables=[
            _table("US guidance, SR 26-2 / OCC 2026-13", US_GUIDANCE, links),
            _table("AI Act, Annex IV", AI_ACT, links),
        ],
    )


def _table(title: str, headings: Sequence[Heading], links: Mapping[str, Sequence[Markup]]) -> Table:
    rows = []
    for heading in headings:
        found = [link for part in heading.parts for link in links.get(part, ())]
        name = f"{heading.number} {heading.title}"
        rows.append([name, Markup(", ").join(found) or "none", heading.missing, heading.checked])
    return Table([title, "parts of this pack", "not in this pack", "heading checked"], rows)
