import math
from dataclasses import asdict

import numpy as np
import pytest

from finntelligence.errors import InvalidDeclarationError
from finntelligence.shadow_prices import FORMAT, MOST, NO_PRICES, ShadowPrices

PRICES = ShadowPrices(principal=0.02, expected_loss=0.3, apr=0.1)


def test_a_loan_is_charged_for_what_it_uses_of_each_limit():
    found = PRICES.charge(np.array([1000.0, 2000.0]), np.array([0.1, 0.2]), np.array([0.0, 100.0]))
    np.testing.assert_allclose(found, [1000 * 0.03, 2000 * 0.04 + 30])
    assert NO_PRICES.charge(1000, 0.2, 50) == 0


def test_dearer_capital_charges_every_unit_lent_so_much_more():
    dearer = PRICES.dearer(0.04)
    for loan in ((1000, 0.1, 50), (7000, 0.3, 900)):
        assert dearer.charge(*loan) - PRICES.charge(*loan) == pytest.approx(0.04 * loan[0])
    assert dearer.dearer(-0.04) == PRICES


def test_prices_survive_their_file():
    content = {"format": FORMAT, "prices": asdict(PRICES), "campaign": {"anything": 1}}
    assert ShadowPrices.from_mapping(content) == PRICES


def test_only_equal_prices_have_one_digest():
    assert PRICES.digest == ShadowPrices(**asdict(PRICES)).digest
    assert PRICES.digest != NO_PRICES.digest


@pytest.mark.parametrize(
    "wrong",
    [{"principal": math.nan}, {"principal": -2 * MOST}, {"expected_loss": -0.1}, {"apr": -0.1}],
)
def test_an_impossible_price_is_refused_by_name(wrong):
    (name,) = wrong
    with pytest.raises(InvalidDeclarationError, match=f"prices.{name}"):
        ShadowPrices(**wrong)


@pytest.mark.parametrize(
    ("content", "fact"),
    [
        ([], "must be a mapping"),
        ({"format": "other/1", "prices": {}}, "format"),
        ({"format": FORMAT}, "prices: is missing"),
        ({"format": FORMAT, "prices": {"capital": 1}}, "prices.capital: unknown key"),
        ({"format": FORMAT, "prices": {"principal": "dear"}}, "must be a number"),
    ],
)
def test_a_file_that_holds_no_prices_is_refused_by_its_path(content, fact):
    with pytest.raises(InvalidDeclarationError, match=fact):
        ShadowPrices.from_mapping(content)
