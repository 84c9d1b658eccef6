"""What travels about the models in force: where they come from, and what is known of them."""

from typing import Literal

from pydantic import BaseModel, Field

from serving.handler import Engine

__all__ = ["Gate", "Lineage", "ModelsResponse", "Plot", "SignOff", "Verdict", "from_core"]


class Lineage(BaseModel):
    """Where one model comes from."""

    version: str = Field(description="Its exact tag in the model store.")
    registered: str | None = Field(default=None, description="Its version in the registry.")
    run_id: str | None = Field(default=None, description="The run that trained it.")
    sha256: str = Field(description="Of the model's file.")
    git_commit: str | None = Field(default=None, description="Of the code that trained it.")
    data_sha256: dict[str, str] = Field(description="Of each table that it learned from.")


class Verdict(BaseModel):
    """What the gate said by one criterion."""

    criterion: str
    outcome: str = Field(description="passed, failed, flagged, signed off, ...")
    passed: bool
    figure: float | None = None
    interval: list[float] | None = None
    bound: str = Field(description="What the figure had to be.")
    why: str


class SignOff(BaseModel):
    """Who answers for a flag, and why."""

    by: str
    reason: str


class Gate(BaseModel):
    """What stood between this pair and production."""

    verdicts: list[Verdict]
    signed_off: dict[str, SignOff] = Field(description="By the flag that was signed for.")


class Plot(BaseModel):
    """Observed rates beside predicted ones, on rows the model never saw; lists of one length."""

    model: str
    kind: Literal["calibration", "price"]
    title: str
    value: list[float] = Field(
        description="The prediction; of `price`, points of the quoted rate above the list price."
    )
    predicted: list[float]
    observed: list[float]
    low: list[float] = Field(description="Lower end of the 95 % interval of what was observed.")
    high: list[float]
    rows: list[float]


class ModelsResponse(BaseModel):
    """The pair in force, where it comes from, what the gate said, and the evidence about it."""

    pair: str
    models: dict[str, Lineage]
    gate: Gate | None = Field(description="Null where it did not ship, or judged another pair.")
    plots: list[Plot]
    versions: dict[str, str] = Field(
        description="Exact ids of the pair, its models, policy and portfolio."
    )


def from_core(engine: Engine) -> ModelsResponse:
    """Return the body that tells of the engine's models."""
    known = {"models": {}, "gate": None, "plots": [], **engine.provenance}
    return ModelsResponse(pair=engine.versions["pair"], versions=dict(engine.versions), **known)
