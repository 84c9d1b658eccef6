"""Settings of the front service, from the environment (FINNT_FRONT_...)."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

__all__ = ["FrontSettings"]


class FrontSettings(BaseSettings):
    """How the front service is scaled and bounded; every value has a safe default."""

    model_config = SettingsConfigDict(env_prefix="FINNT_FRONT_")

    workers: int = Field(1, ge=1, le=64, description="Processes of the front service.")
    timeout_s: float = Field(15, gt=0, le=600, description="A request that takes longer gets 504.")
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
        description="Seconds between two looks for a newly published pair; 0 looks no more.",
    )
