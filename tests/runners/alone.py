"""A runner alone on a port of loopback, as BentoML serves one part of a service."""

import contextlib
import socket
import threading
import time

import bentoml
import numpy as np
import uvicorn

from runners.envelope import Sealed
from runners.guard import guard


def doubler(name="doubler"):
    """Return a service that answers twice each row."""

    @bentoml.service(name=name, metrics={"enabled": False})  # a process has them once
    class Doubler:
        @bentoml.api(batchable=True)
        def coefficients(self, rows: Sealed) -> np.ndarray:
            return rows * 2

    return Doubler


@contextlib.contextmanager
def alone(is_guarded=True, port=0):
    """Serve a runner while the context lasts; yield its address."""
    service = doubler()
    if is_guarded:
        guard(service)
    service.inject_config()
    app = service.to_asgi(is_main=False)
    with socket.create_server(("127.0.0.1", port)) as listening:
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        try:
            yield f"127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(10)
