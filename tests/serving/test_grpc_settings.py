import pytest
from pydantic import ValidationError

from serving.grpc_settings import GrpcSettings


def test_the_door_listens_on_loopback_unless_told_otherwise():
    assert GrpcSettings().address == "127.0.0.1:50051"


@pytest.mark.parametrize("host", ["::1", "[::1]"])
def test_an_address_of_the_sixth_version_stands_in_brackets(host):
    assert GrpcSettings(host=host).address == "[::1]:50051"


def test_every_setting_is_read_from_the_environment(monkeypatch):
    monkeypatch.setenv("FINNT_GRPC_HOST", "unix:/run/offers")
    monkeypatch.setenv("FINNT_GRPC_ENABLED", "false")
    assert GrpcSettings().address == "unix:/run/offers"
    assert not GrpcSettings().enabled


@pytest.mark.parametrize(
    "half",
    [{"tls_cert_file": "a"}, {"tls_key_file": "a"}, {"client_ca_file": "a"}],
    ids=str,
)
def test_half_of_tls_is_refused(half):
    with pytest.raises(ValidationError, match="tls_cert_file"):
        GrpcSettings(**half)


@pytest.mark.parametrize(
    "wrong",
    [{"port": -1}, {"port": 65536}, {"host": ""}, {"max_message_bytes": 10}, {"max_concurrent": 0}],
    ids=str,
)
def test_an_impossible_setting_is_refused(wrong):
    with pytest.raises(ValidationError):
        GrpcSettings(**wrong)
