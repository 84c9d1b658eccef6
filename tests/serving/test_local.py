import socket

import pytest

from serving.local import CannotServeError, refuse_busy_port, serve

LOOPBACK = "127.0.0.1"


@pytest.fixture(params=[True, False], ids=["listening", "bound only"])
def busy(request):
    """A port that another socket holds."""
    with socket.socket() as holder:
        holder.bind((LOOPBACK, 0))
        if request.param:
            holder.listen()
        yield holder.getsockname()[1]


def test_a_port_in_use_is_refused_with_what_to_do(busy):
    with pytest.raises(CannotServeError) as caught:
        refuse_busy_port(LOOPBACK, busy)
    message = str(caught.value)
    assert f"{LOOPBACK}:{busy} is not free" in message
    assert "make serve PORT=" in message
    assert "\n" not in message


@pytest.mark.parametrize("host", ["::1", "[::1]"])
def test_a_port_of_the_sixth_version_is_looked_at_too(host):
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as server:
        port = server.getsockname()[1]
        with pytest.raises(CannotServeError, match="is not free"):
            refuse_busy_port(host, port)
    refuse_busy_port(host, 0)


def test_a_port_held_on_every_address_is_refused_too():
    with socket.socket() as holder:
        holder.bind(("0.0.0.0", 0))
        holder.listen()
        with pytest.raises(CannotServeError):
            refuse_busy_port(LOOPBACK, holder.getsockname()[1])


def test_a_free_port_is_fine_and_stays_free():
    with socket.socket() as holder:
        holder.bind((LOOPBACK, 0))
        port = holder.getsockname()[1]
    refuse_busy_port(LOOPBACK, port)
    with socket.socket() as again:
        again.bind((LOOPBACK, port))


def test_a_port_just_left_by_a_server_is_free():
    with socket.create_server((LOOPBACK, 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection((LOOPBACK, port)) as client:
            accepted, _ = server.accept()
            accepted.close()  # closing first leaves the server's side in TIME_WAIT
            assert client.recv(1) == b""
    refuse_busy_port(LOOPBACK, port)


def test_nothing_is_started_on_a_port_in_use(busy, tmp_path):
    announced = []
    with pytest.raises(CannotServeError):
        serve("simulated", LOOPBACK, busy, tmp_path, announced.append)
    assert announced == []
