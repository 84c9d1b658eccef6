"""What stands before a front, and in which order."""

from serving.front import stand_before
from serving.gate import Gate
from serving.settings import FrontSettings


class Service:
    """Notes what is put before it, as BentoML's does: the first is outermost."""

    def __init__(self):
        self.middlewares = []

    def add_asgi_middleware(self, kind, **options):
        self.middlewares.append((kind.__name__, options))


def test_a_request_passes_the_gate_before_it_waits_for_its_turn(tmp_path):
    settings, service = FrontSettings(timeout_s=7, body_s=3, max_body_bytes=9999), Service()
    gate = Gate.open(tmp_path, 1)
    stand_before(service, gate, settings)
    names = [name for name, _ in service.middlewares]
    assert names == ["SecurityHeaders", "PlainErrors", "HttpGate", "Turns"]
    (turns,) = (options for name, options in service.middlewares if name == "Turns")
    assert turns == {
        "admission": gate.admission,
        "most_bytes": 9999,
        "body_s": 3,
        "timeout_s": 7,
    }
