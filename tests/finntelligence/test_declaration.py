import copy
import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from finntelligence.declaration import Section, content_digest, merged
from finntelligence.errors import InvalidDeclarationError

LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
FINITE = LEAVES.filter(lambda v: not isinstance(v, float) or math.isfinite(v))
TREES = st.recursive(
    FINITE,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
MAPPINGS = st.dictionaries(st.text(), TREES, max_size=5)


def shuffled(value):
    """The same value with the keys of every mapping in the opposite order."""
    if isinstance(value, dict):
        return {key: shuffled(inner) for key, inner in reversed(value.items())}
    return [shuffled(v) for v in value] if isinstance(value, list) else value


def refusal(read, content):
    with pytest.raises(InvalidDeclarationError) as caught:
        read(Section(content, "book"))
    return str(caught.value)


NOT_NUMBERS = [True, "0.1", None, [0.1], {"a": 1}]
BAD_NUMBERS = [-0.01, 1.01, math.nan, math.inf, -math.inf]


@pytest.mark.parametrize("value", NOT_NUMBERS + BAD_NUMBERS)
def test_a_number_that_is_none_or_out_of_bounds_is_refused_by_path(value):
    assert refusal(lambda s: s.number("rate", 0, 1), {"rate": value}).startswith("book.rate: ")


@given(value=st.floats(0, 1) | st.integers(0, 1))
def test_every_number_within_the_bounds_is_read_as_it_is(value):
    read = Section({"rate": value}, "book").number("rate", 0, 1)
    assert read == value
    assert type(read) is float


@pytest.mark.parametrize("value", [*NOT_NUMBERS, *BAD_NUMBERS, 0.5])
def test_an_integer_is_a_whole_number_within_the_bounds(value):
    assert refusal(lambda s: s.integer("n", 1, 9), {"n": value}).startswith("book.n: ")
    assert Section({"n": 3.0}, "book").integer("n", 1, 9) == 3


@pytest.mark.parametrize("value", [1, True, None, "", "  ", ["a"]])
def test_text_is_never_empty_and_never_guessed_from_another_type(value):
    assert refusal(lambda s: s.text("title"), {"title": value}).startswith("book.title: ")


@pytest.mark.parametrize("value", ["blue", 1, None])
def test_a_choice_outside_the_choices_is_refused_and_the_choices_named(value):
    message = refusal(lambda s: s.choice("colour", ("red", "green")), {"colour": value})
    assert message.startswith("book.colour: ")
    assert not isinstance(value, str) or "red, green" in message


@pytest.mark.parametrize("value", [0, 1, "yes", []])
def test_a_flag_is_true_or_false_and_nothing_like_it(value):
    assert refusal(lambda s: s.flag("on", True), {"on": value}).startswith("book.on: ")


@pytest.mark.parametrize("value", [[], "a", [1], ["a", "a"], ["a", True], None, {"a": 1}])
def test_a_list_of_texts_has_distinct_texts_only(value):
    assert refusal(lambda s: s.texts("names"), {"names": value}).startswith("book.names: ")


@pytest.mark.parametrize("value", [[], 1, "1", None])
def test_a_list_of_numbers_is_never_empty(value):
    assert refusal(lambda s: s.numbers("cuts"), {"cuts": value}).startswith("book.cuts: ")


@pytest.mark.parametrize("value", NOT_NUMBERS)
def test_a_wrong_element_of_a_list_is_named_by_its_position(value):
    assert refusal(lambda s: s.numbers("cuts"), {"cuts": [1, value]}).startswith("book.cuts.1: ")


@pytest.mark.parametrize("value", [1, "a", [1], None])
def test_a_section_must_be_a_mapping(value):
    assert refusal(lambda s: s.section("price"), {"price": value}).startswith("book.price: ")
    assert refusal(lambda s: list(s.sections()), {"price": value}).startswith("book.price: ")


def test_the_path_of_a_nested_key_is_whole():
    deep = {"price": {"list": {"rate": "x"}}}
    message = refusal(lambda s: s.section("price").section("list").number("rate"), deep)
    assert message == "book.price.list.rate: must be a number, is str"


@pytest.mark.parametrize("getter", ["text", "number", "texts", "numbers", "section", "raw"])
@pytest.mark.parametrize("content", [{}, {"key": None}])
def test_a_key_that_must_be_there_is_named_when_missing(getter, content):
    assert refusal(lambda s: getattr(s, getter)("key"), content) == "book.key: is missing"


@pytest.mark.parametrize("content", [{}, {"key": None}])
def test_an_optional_key_may_be_absent_or_null(content):
    section = Section(content, "book")
    assert section.text("key", default="a") == "a"
    assert section.choice("key", ("a", "b"), default="b") == "b"
    assert section.number("key", default=0.5) == 0.5
    assert section.flag("key", default=True) is True
    assert section.optional_number("key", 0, 1) is None
    section.close()


def test_a_key_nobody_read_is_refused_and_the_known_ones_listed():
    section = Section({"b": 1, "a": 2, "surplus": 3}, "book")
    section.number("b")
    section.number("a")
    with pytest.raises(InvalidDeclarationError, match=r"^book\.surplus: unknown key; known: a, b$"):
        section.close()


def test_keys_that_were_read_are_known_whichever_way_they_were_read():
    section = Section({"a": {"x": 1}, "b": {}}, "book")
    assert dict(section.items()) == {"a": {"x": 1}, "b": {}}
    section.close()
    by_section = Section({"a": {"x": 1}}, "book")
    assert [(key, inner.path) for key, inner in by_section.sections()] == [("a", "book.a")]
    by_section.close()


def test_a_whole_number_too_large_for_a_float_is_refused_by_path():
    assert refusal(lambda s: s.number("n", 0, 1), {"n": 10**400}).startswith("book.n: ")


@given(base=MAPPINGS)
def test_no_changes_leave_a_mapping_as_it_is(base):
    assert merged(base, {}) == base


@given(base=MAPPINGS, changes=MAPPINGS)
def test_laying_changes_over_twice_is_laying_them_over_once(base, changes):
    once = merged(base, changes)
    assert merged(once, changes) == once


@given(base=MAPPINGS, changes=MAPPINGS)
def test_merging_changes_neither_argument(base, changes):
    before = copy.deepcopy((base, changes))
    merged(base, changes)
    assert (base, changes) == before


@given(base=MAPPINGS, changes=MAPPINGS)
def test_a_key_that_no_change_names_stays(base, changes):
    result = merged(base, changes)
    assert {k: result[k] for k in base if k not in changes} == {
        k: base[k] for k in base if k not in changes
    }
    assert set(result) == set(base) | set(changes)


def test_a_list_is_replaced_whole_and_null_is_a_value():
    base = {"terms": [24, 36], "cap": 0.36, "menu": {"size": 3, "order": "profit"}}
    changes = {"terms": [12], "cap": None, "menu": {"size": 1}}
    assert merged(base, changes) == {
        "terms": [12],
        "cap": None,
        "menu": {"size": 1, "order": "profit"},
    }


@given(content=TREES)
def test_the_digest_does_not_depend_on_the_order_of_keys(content):
    assert content_digest(shuffled(content)) == content_digest(content)


@given(content=MAPPINGS, key=st.text(), value=TREES)
def test_any_change_of_a_value_changes_the_digest(content, key, value):
    assume(key not in content or content[key] != value)
    assert content_digest({**content, key: value}) != content_digest(content)


@given(content=TREES)
def test_a_value_read_back_from_its_canonical_json_has_the_same_digest(content, through_json):
    assert content_digest(through_json(content)) == content_digest(content)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_json_cannot_say_has_no_digest(value):
    with pytest.raises(ValueError, match="JSON compliant"):
        content_digest({"a": [value]})
