"""A record's hash covers every value of it; its content by way of the content's digest."""

from hypothesis import given
from hypothesis import strategies as st

from serving.record.chain import GENESIS, START, Event, Head, link, row_hash, sha256

TEXTS = st.text(max_size=20)
EVENTS = st.builds(
    Event,
    kind=TEXTS,
    at_us=st.integers(0, 2**62),
    content=TEXTS,
    decision_id=st.none() | TEXTS,
    slot=st.none() | TEXTS,
    before_us=st.none() | st.integers(0, 2**62),
)


@given(EVENTS)
def test_a_chain_begins_at_one_behind_nothing(event):
    row = link("w", START, event)
    assert (row["seq"], row["previous"]) == (1, GENESIS)


@given(EVENTS, st.integers(1, 2**40), st.data())
def test_no_value_of_a_record_can_change_without_its_hash(event, seq, data):
    row = link("w", Head(seq, sha256("before")), event)
    assert row_hash(row) == row["hash"]
    name = data.draw(st.sampled_from(sorted(set(row) - {"hash", "content"})))
    other = "another" if row[name] is None or isinstance(row[name], str) else row[name] + 1
    assert row_hash({**row, name: f"{other}."}) != row["hash"]


@given(EVENTS)
def test_a_record_without_its_content_keeps_its_hash(event):
    row = link("w", START, event)
    assert row_hash({**row, "content": None}) == row["hash"]
    assert row["content_digest"] == sha256(event.content)
