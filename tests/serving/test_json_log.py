import asyncio
import gc
import io
import json
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from finntelligence.adverse_action import Reason
from finntelligence.decision import Decision
from serving.json_log import FIELDS, JsonLines, LogSettings, said_of, start_log

FACTOR = Reason("FIELD:fico", "The score is low", source="12 CFR 1002.9(b)(2), comment 5")
DECLINE = Decision(
    offers=(),
    reasons=(Reason("PTI", "Income is too low"), FACTOR),
    versions={"pair": "0a0a0a0a-0b0b0b0b"},
)


@pytest.fixture
def ours():
    """Return our logger, printing to a text, as if nobody had started it before."""
    logger = logging.getLogger("serving")
    kept = logger.handlers, logger.level, logger.propagate
    made = logging.getLogRecordFactory()
    stream = io.StringIO()
    logger.handlers = [logging.StreamHandler(stream)]
    logger.setLevel(logging.INFO)
    yield logging.getLogger("serving.made"), stream
    logger.handlers, logger.level, logger.propagate = kept
    logging.setLogRecordFactory(made)


def lines(stream):
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_json_line_names_the_decision_and_what_came_of_it(ours):
    log, stream = ours
    start_log(LogSettings(format="json"))
    log.info("decision %s", "ab-cd", extra=said_of("ab-cd", DECLINE) | {"channel": "http"})
    (line,) = lines(stream)
    assert line.pop("time").endswith("+00:00")
    assert line == {
        "level": "INFO",
        "logger": "serving.made",
        "message": "decision ab-cd",
        "decision_id": "ab-cd",
        "channel": "http",
        "outcome": "decline",
        "offers": 0,
        "reasons": ["PTI"],
        "factors": 1,
        "versions": {"pair": "0a0a0a0a-0b0b0b0b"},
    }


def test_plain_is_the_default_and_reads_as_before(ours, monkeypatch):
    monkeypatch.delenv("FINNT_LOG_FORMAT", raising=False)
    log, stream = ours
    start_log()
    log.info("decision %s", "ab-cd", extra=said_of("ab-cd", DECLINE))
    assert stream.getvalue().endswith(" [INFO] decision ab-cd\n")


def defect():
    try:
        raise KeyError("an income of 123456")
    except KeyError as error:
        raise ValueError("an income of 123456") from error


def test_an_error_says_where_and_of_what_type_and_not_its_message(ours):
    log, stream = ours
    start_log(LogSettings(format="json"))
    try:
        defect()
    except ValueError:
        log.exception("a defect")
    (line,) = lines(stream)
    assert (line["error"], line["level"]) == ("ValueError", "ERROR")
    assert "test_json_log" in line["at"][-1]
    assert "123456" not in stream.getvalue()


def test_plain_lines_say_of_an_error_its_types_and_places_and_no_more(ours):
    log, stream = ours
    start_log(LogSettings(format="plain"))
    try:
        defect()
    except ValueError:
        log.exception("a defect")
    told = stream.getvalue()
    assert told.index("KeyError at") < told.index("ValueError at")
    assert "test_json_log.py" in told
    assert "123456" not in told


OTHERS = ("asyncio", "uvicorn.error")


@pytest.mark.parametrize("form", ["plain", "json"])
def test_no_other_line_of_the_process_says_more_of_an_error(ours, form, monkeypatch):
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    others = {logger: logger.level for logger in map(logging.getLogger, OTHERS)}
    for other in others:  # whatever a library's own set-up left
        other.addHandler(handler)
        other.setLevel(logging.INFO)
        monkeypatch.setattr(other, "disabled", False)
    start_log(LogSettings(format=form))

    async def forgotten():
        asyncio.get_running_loop().create_task(failing())
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    async def failing():
        defect()

    try:
        asyncio.run(forgotten())
        gc.collect()
        try:
            defect()
        except ValueError:
            logging.getLogger("uvicorn.error").exception("Exception in ASGI application")
    finally:
        for other, level in others.items():
            other.removeHandler(handler)
            other.setLevel(level)
    told = stream.getvalue()
    assert "Task exception was never retrieved" in told
    assert "Exception in ASGI application" in told
    assert told.count("ValueError") >= 2
    assert "123456" not in told


@given(name=st.sampled_from(["features", "income", "request", "answer", "body"]))
def test_a_line_has_no_field_that_is_not_named(name):
    record = logging.LogRecord("serving", logging.INFO, "", 0, "said", (), None)
    setattr(record, name, 123456)
    assert name not in FIELDS
    assert "123456" not in JsonLines().format(record)


@given(text=st.text())
def test_every_message_is_one_line_of_json(text):
    record = logging.LogRecord("serving", logging.INFO, "", 0, "%s", (text,), None)
    line = JsonLines().format(record)
    assert "\n" not in line
    assert json.loads(line)["message"] == text


def test_as_json_every_line_of_the_process_is(ours):
    stream, root = io.StringIO(), logging.getLogger()
    handler = logging.StreamHandler(stream)
    root.addHandler(handler)
    formatters = [(each, each.formatter) for each in root.handlers]
    try:
        start_log(LogSettings(format="json"))
        logging.getLogger("somebody.else").warning("said")
    finally:
        for each, formatter in formatters:
            each.setFormatter(formatter)
        root.removeHandler(handler)
    assert lines(stream)[0]["logger"] == "somebody.else"


def test_an_unknown_format_is_refused():
    with pytest.raises(ValidationError, match="format"):
        LogSettings(format="xml")
