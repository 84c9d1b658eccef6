"""Settings of the front service, from the environment (FINNT_FRONT_... and its neighbours)."""

from typing import Literal, Self

from bentoml._internal.resource import CpuResource
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

__all__ = ["CoalesceSettings", "FrontSettings", "TopologySettings"]


_MOST_WORKERS = 64


class FrontSettings(BaseSettings):
    """How the front service is scaled and bounded; every value has a safe default."""

    model_config = SettingsConfigDict(env_prefix="FINNT_FRONT_")

    workers: int = Field(
        0,
        ge=0,
        le=_MOST_WORKERS,
        description="Processes of the front service; 0 is one for each core.",
    )
    timeout_s: float = Field(15, gt=0, le=600, description="A request that takes longer gets 504.")
    body_s: float = Field(
        5, gt=0, le=600, description="A body that takes longer to arrive gets 504."
    )
    model_timeout_s: float = Field(
        5, gt=0, le=600, description="A model that does not answer in this time is unavailable."
    )
    max_body_bytes: int = Field(
        65536, ge=1024, le=2**24, description="A larger request body is refused with 413."
    )
    reload_s: float = Field(
        1,
        ge=0,
        le=3600,
        description="Seconds between two looks for a newly published pair or policy; 0 looks no "
        "more.",
    )

    def chosen(self) -> Self:
        """Return them with a number of `workers`."""
        cores = CpuResource.from_system()  # as many as a container may use
        workers = self.workers or min(max(int(cores), 1), _MOST_WORKERS)
        return self.model_copy(update={"workers": workers})


class CoalesceSettings(BaseSettings):
    """How requests that ask a model at the same time share calls to it (`serving.coalesce`)."""

    model_config = SettingsConfigDict(env_prefix="FINNT_COALESCE_")

    enabled: bool = Field(True, description="Whether they do; if not, each makes its own call.")
    calls: int = Field(
        0,
        ge=0,
        le=256,
        description="Calls in flight to a model, or to both together; 0 is one for each process "
        "that answers.",
    )
    rows: int = Field(512, ge=1, le=65536, description="Most rows in one call.")
    waiting: int = Field(
        4096, ge=1, le=2**20, description="Rows that may wait for a call; more get 429."
    )


class TopologySettings(BaseSettings):
    """Where the models live."""

    model_config = SettingsConfigDict(env_prefix="FINNT_")

    topology: Literal["separate", "embedded"] = Field(
        "separate",
        description="Whether the models have runners of their own or live in the front's process.",
    )
