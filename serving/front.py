"""What stands before every front, in order: headers, plain errors, the gate, and turns."""

from typing import Any

from serving.gate import Gate, HttpGate
from serving.http_door import PlainErrors
from serving.security_headers import SecurityHeaders
from serving.settings import FrontSettings
from serving.turns import Turns

__all__ = ["stand_before"]


def stand_before(service: Any, gate: Gate, settings: FrontSettings) -> None:
    """Put them before a Bento service; whatever it already has stays outermost."""
    service.add_asgi_middleware(SecurityHeaders)
    service.add_asgi_middleware(PlainErrors)
    service.add_asgi_middleware(HttpGate, gate=gate)
    service.add_asgi_middleware(
        Turns,
        admission=gate.admission,
        most_bytes=settings.max_body_bytes,
        body_s=settings.body_s,
        timeout_s=settings.timeout_s,
    )
