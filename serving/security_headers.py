"""What every HTTP answer tells browsers and caches, and what none tells of the server."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["SecurityHeaders"]

# pages say more in a policy of their own; what is no page may load and be framed by nothing
_SAID = (
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
    (b"cache-control", b"no-store"),  # offers are one applicant's
)
_UNSAID = (b"server", b"x-powered-by")


class SecurityHeaders:
    """ASGI middleware; a header that the answer has already is left as it is."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on, and complete each answer's headers."""

        async def complete(message: Message) -> None:
            if message["type"] == "http.response.start":
                kept = [pair for pair in message.get("headers", ()) if pair[0] not in _UNSAID]
                there = {name for name, _ in kept}
                message["headers"] = [*kept, *(pair for pair in _SAID if pair[0] not in there)]
            await send(message)

        await self._app(scope, receive, complete if scope["type"] == "http" else send)
