"""Settings of what is served and of its two runners (FINNT_SERVED_..., FINNT_RUNNER_...)."""

from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

__all__ = ["Alias", "Arguments", "RunnerSettings"]

Alias = Literal["production", "staging"]


class Arguments(BaseSettings):
    """What `bentoml serve --arg` and `bentoml build --arg` accept.

    Parts that are started by themselves take no such words: the environment says it.
    """

    model_config = SettingsConfigDict(env_prefix="FINNT_SERVED_", extra="ignore")

    portfolio: str = Field(
        "simulated", min_length=1, max_length=100, description="The portfolio that is served."
    )
    alias: Alias = Field("production", description="Which of its published pairs.")


class RunnerSettings(BaseSettings):
    """How each runner is scaled and how it batches; every value has a safe default."""

    model_config = SettingsConfigDict(
        env_prefix="FINNT_RUNNER_",
        hide_input_in_errors=True,  # a refused secret is not printed
    )

    risk_workers: int = Field(1, ge=1, le=64, description="Processes of the risk runner.")
    acceptance_workers: int = Field(
        1, ge=1, le=64, description="Processes of the acceptance runner."
    )
    risk_replicas: int = Field(
        1, ge=1, le=16, description="Risk runners that `finnt serve --topology split` starts."
    )
    acceptance_replicas: int = Field(
        1, ge=1, le=16, description="Acceptance runners that it starts."
    )
    # BentoML refuses batches of one
    batch_rows: int = Field(512, ge=2, le=65536, description="Most rows in one adaptive batch.")
    batch_latency_ms: int = Field(
        1000, ge=10, le=60000, description="A batch that would take longer is refused with 503."
    )
    timeout_s: float = Field(10, gt=0, le=600, description="A call that takes longer is given up.")
    secret: SecretStr | None = Field(
        None,
        min_length=32,
        max_length=1024,
        description="What the front shows to the runners; they answer nobody else.",
    )
