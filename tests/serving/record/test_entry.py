"""What is recorded is read back as it was."""

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finntelligence.declaration import canonical_json
from serving.record.entry import Entry, Outcome, OutcomeKind, micros, moment

MOMENTS = st.datetimes(datetime(1970, 1, 2), datetime(2200, 1, 1)).map(
    lambda at: at.replace(tzinfo=UTC)
)


@given(MOMENTS)
def test_a_moment_is_brought_back_to_the_microsecond(at):
    assert moment(micros(at)) == at


@given(st.sampled_from(OutcomeKind), st.dates(), st.none() | st.integers(0, 11))
def test_an_outcome_is_brought_back_from_its_json(kind, on, offer):
    outcome = Outcome(decision_id="d", kind=kind, on=on, offer=offer)
    assert Outcome.from_content(json.loads(canonical_json(outcome.to_content()))) == outcome


@given(MOMENTS, st.floats(0, 1e6))
def test_an_entry_is_brought_back_from_its_json(at, latency_ms):
    made = sample(at=at, latency_ms=latency_ms)
    assert Entry.from_content(json.loads(canonical_json(made.to_content()))) == made


def test_an_entry_without_a_time_zone_is_refused_and_another_zone_is_the_same_moment():
    with pytest.raises(ValueError, match="time zone"):
        sample(at=datetime(2026, 1, 1))
    east = datetime(2026, 1, 1, 5, tzinfo=timezone(timedelta(hours=5)))
    assert Entry.from_content(sample(at=east).to_content()).at == datetime(2026, 1, 1, tzinfo=UTC)


def sample(**changes):
    parts = {
        "decision_id": "d",
        "portfolio": "simulated",
        "channel": "cli",
        "request": {"a": [1, 2.5, "x"]},
        "heads": {"risk": [0.1]},
        "versions": {"pair": "p"},
        "documents": {},
        "answer": {"offers": []},
        "latency_ms": 1.0,
    }
    return Entry(**{**parts, **changes})
