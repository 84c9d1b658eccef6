import pickle
from pathlib import Path

import numpy as np
import pytest
from _bentoml_impl.serde import ALL_SERDE, Payload, PickleSerde
from bentoml.exceptions import InvalidArgument
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from runners.arrays import ArraySerde, read_arrays_only

NUMBERS = arrays.arrays(
    st.sampled_from([np.float64, np.float32, np.int64, np.bool_]),
    arrays.array_shapes(min_dims=1, max_dims=3, min_side=0),
)


class Touching:
    """What runs somebody's code in whoever reads it as a pickle."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def sent(content):
    """Return content as it arrives at the other end."""
    payload = ArraySerde().serialize_value(content)
    return Payload((b"".join(payload.data),), payload.metadata)


@given(NUMBERS)
def test_an_array_arrives_as_it_was_sent(rows):
    arrived = ArraySerde().deserialize_value(sent({"rows": rows}))["rows"]
    assert (arrived.dtype, arrived.shape) == (rows.dtype, rows.shape)
    np.testing.assert_array_equal(arrived, rows)


def test_what_an_ordinary_reader_would_run_is_refused_unrun(tmp_path):
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    with pytest.raises(InvalidArgument, match="arrays only"):
        ArraySerde().deserialize_value(sent({"rows": Touching(ours)}))
    PickleSerde().deserialize_value(sent({"rows": Touching(theirs)}))
    assert (ours.exists(), theirs.exists()) == (False, True)


@pytest.mark.parametrize("lengths", ["", "4", "-1,7", "999999", "x", "1,2,3"])
@pytest.mark.parametrize("body", [b"", b"cos\nsystem\n.", b"\x80\x05", pickle.dumps(print)])
def test_what_is_not_whole_is_refused_and_names_nothing_of_the_body(body, lengths):
    with pytest.raises(InvalidArgument) as caught:
        ArraySerde().deserialize_value(Payload((body,), {"buffer-lengths": lengths}))
    assert "system" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_a_process_that_reads_arrays_only_has_no_other_reader_of_pickles(monkeypatch):
    monkeypatch.setitem(ALL_SERDE, PickleSerde.media_type, PickleSerde)
    read_arrays_only()
    assert ALL_SERDE[PickleSerde.media_type] is ArraySerde
