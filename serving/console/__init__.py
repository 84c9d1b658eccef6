"""The console: a page on the public API, served as it is committed; nothing of it is computed."""

from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

__all__ = ["routes"]

_STATIC = Path(__file__).with_name("static")
_HEADERS = {
    # all from here, nothing inline, nothing framed, nothing sent elsewhere
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Cache-Control": "no-cache",  # kept, and asked about each time: a new version shows at once
}


class _Files(StaticFiles):
    def file_response(self, *args: Any, **words: Any) -> Response:
        response = super().file_response(*args, **words)
        response.headers.update(_HEADERS)
        return response


def routes() -> list[BaseRoute]:
    """Return the routes of the page and of what it loads."""
    return [Route("/console", _page), Mount("/console", _Files(directory=_STATIC))]


async def _page(_: Request) -> Response:
    return FileResponse(_STATIC / "index.html", headers=_HEADERS)
