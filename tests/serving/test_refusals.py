import socket

import pytest
import sqlalchemy as sa
from bentoml.exceptions import BentoMLException

from finntelligence.errors import ModelMismatchError
from serving.gate import Gate
from serving.grpc_settings import GrpcSettings
from serving.keys import add
from serving.record.settings import RecordSettings
from serving.refusals import in_one_line, refuse_shut
from serving.settings import FrontSettings


@pytest.fixture
def gate(tmp_path):
    """A gate to which there is a key."""
    add(tmp_path / "build" / "keys.json", "shop", ["offer"])
    return Gate.open(tmp_path, 1)


@pytest.fixture
def record(tmp_path):
    return RecordSettings().database("simulated", tmp_path)


def refused(gate, record, **grpc):
    """Return in which line the service refuses to start; None where it does not."""
    try:
        with in_one_line():
            refuse_shut(gate, GrpcSettings(**{"port": 0, **grpc}), record)
    except BentoMLException as error:
        (line,) = str(error).splitlines()
        return line
    return None


def test_what_can_serve_is_not_refused_and_has_a_record(gate, record):
    assert refused(gate, record) is None
    assert sa.inspect(sa.create_engine(record)).has_table("records")


def test_a_gate_without_keys_is_refused(tmp_path, record):
    assert "no API key is in force" in refused(Gate.open(tmp_path, 1), record)


def test_a_port_that_is_taken_is_named_with_how_to_choose_another(gate, record):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        told = refused(gate, record, port=port)
        assert str(port) in told
        assert "FINNT_GRPC_PORT" in told
        assert refused(gate, record, port=port, enabled=False) is None


def test_a_record_that_cannot_be_opened_is_refused(gate, tmp_path):
    (tmp_path / "build").mkdir(exist_ok=True)
    (tmp_path / "build" / "simulated").write_text("no folder")
    assert refused(gate, RecordSettings().database("simulated", tmp_path)) is not None


def test_an_error_of_ours_is_told_in_its_own_words():
    with pytest.raises(BentoMLException, match=r"^no such pair$"), in_one_line():
        raise ModelMismatchError("no such pair")


def test_an_impossible_setting_is_named_with_what_would_be_right():
    wrong = r"^a setting is impossible: FrontSettings\.workers: .*greater than or equal to 0$"
    with pytest.raises(BentoMLException, match=wrong), in_one_line():
        FrontSettings(workers=-1)


def test_a_defect_is_not_told_as_a_refusal():
    with pytest.raises(ZeroDivisionError), in_one_line():
        raise ZeroDivisionError
