"""Settings of the gRPC door, from the environment (FINNT_GRPC_...)."""

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

__all__ = ["GrpcSettings"]


class GrpcSettings(BaseSettings):
    """Where the gRPC door listens and what bounds it; every value has a safe default."""

    model_config = SettingsConfigDict(env_prefix="FINNT_GRPC_")

    enabled: bool = Field(True, description="Whether there is a gRPC door.")
    host: str = Field(
        "127.0.0.1",
        min_length=1,
        max_length=200,
        description="The address the door listens on, or unix:<path> of a socket.",
    )
    port: int = Field(
        50051, ge=0, le=65535, description="The port; 0 takes a free one, which the log names."
    )
    tls_cert_file: Path | None = Field(
        None, description="Certificate chain (PEM); with it the door speaks TLS only."
    )
    tls_key_file: Path | None = Field(None, description="The certificate's private key (PEM).")
    client_ca_file: Path | None = Field(
        None, description="Authorities (PEM) that must have signed a caller's certificate."
    )
    max_message_bytes: int = Field(
        65536, ge=1024, le=2**24, description="A larger message is refused."
    )
    max_concurrent: int = Field(
        256, ge=1, le=65536, description="Calls at once; more are refused with RESOURCE_EXHAUSTED."
    )
    timeout_s: float = Field(
        15, gt=0, le=600, description="A call takes this long at most, whatever its deadline."
    )
    grace_s: float = Field(
        10, ge=0, le=600, description="Calls in flight have this long to end when the door closes."
    )

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.tls_cert_file is None) != (self.tls_key_file is None):
            raise ValueError("tls_cert_file and tls_key_file go together")
        if self.client_ca_file is not None and self.tls_cert_file is None:
            raise ValueError("client_ca_file needs tls_cert_file and tls_key_file")
        return self

    @property
    def address(self) -> str:
        """What gRPC binds to."""
        if self.host.startswith("unix:"):
            return self.host
        bare = self.host.strip("[]")
        return f"[{bare}]:{self.port}" if ":" in bare else f"{bare}:{self.port}"
