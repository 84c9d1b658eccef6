import grpc
import pytest

from serving.grpc_door import CannotListenError
from tests.serving.doors import (
    call,
    channel_to,
    failed,
    grpc_door,
    optimise,
)
from tests.serving.papers import papers_in

# --- where it listens, and to whom ---------------------------------------------------------------


def test_two_doors_share_a_port_only_if_both_say_so(engine, example):
    with grpc_door(engine, shared=True) as first:
        with grpc_door(engine, settings={"port": first.port}, shared=True) as second:
            assert second.port == first.port
        alone = grpc_door(engine, settings={"port": first.port})
        with pytest.raises(CannotListenError, match=str(first.port)), alone:
            pass
        with channel_to(first) as to:
            assert call(to, "OptimiseOffers", optimise(example))


def test_a_door_may_be_a_unix_socket(engine, example, tmp_path):
    address = f"unix:{tmp_path}/door"
    with grpc_door(engine, settings={"host": address}), grpc.insecure_channel(address) as to:
        assert call(to, "OptimiseOffers", optimise(example))


@pytest.fixture(scope="module")
def papers(tmp_path_factory):
    return papers_in(tmp_path_factory.mktemp("tls"))


def read(path):
    return path.read_bytes()


def secured(door, trusted, shown=None):
    key, certificate = map(read, shown) if shown else (None, None)
    credentials = grpc.ssl_channel_credentials(read(trusted[1]), key, certificate)
    return grpc.secure_channel(f"127.0.0.1:{door.port}", credentials)


def test_over_tls_the_service_proves_who_it_is(engine, example, papers):
    key, certificate = papers["service"]
    files = {"tls_key_file": key, "tls_cert_file": certificate}
    with grpc_door(engine, settings=files) as door:
        with secured(door, papers["authority"]) as to:
            assert call(to, "OptimiseOffers", optimise(example))
        with secured(door, papers["stranger"]) as to:
            assert failed(to, "OptimiseOffers", optimise(example))[0].name == "UNAVAILABLE"
        with channel_to(door) as to:
            assert failed(to, "OptimiseOffers", optimise(example))[0].name == "UNAVAILABLE"


def test_over_mutual_tls_the_caller_does_too(engine, example, papers):
    key, certificate = papers["service"]
    files = {"tls_key_file": key, "tls_cert_file": certificate}
    files["client_ca_file"] = papers["authority"][1]
    with grpc_door(engine, settings=files) as door:
        with secured(door, papers["authority"], papers["caller"]) as to:
            assert call(to, "OptimiseOffers", optimise(example))
        for shown in (None, papers["stranger"]):
            with secured(door, papers["authority"], shown) as to:
                assert failed(to, "OptimiseOffers", optimise(example))[0].name == "UNAVAILABLE"


def test_a_tls_file_that_is_not_there_is_said_at_the_start(engine, tmp_path):
    nowhere = tmp_path / "nowhere.pem"
    files = {"tls_key_file": nowhere, "tls_cert_file": nowhere}
    with pytest.raises(CannotListenError, match=r"nowhere\.pem"), grpc_door(engine, settings=files):
        pass
