import pytest

from finntelligence.errors import InvalidDataError
from training.gate.sign_off import SignOff


@pytest.mark.parametrize("blank", ["by", "reason"])
@pytest.mark.parametrize("text", ["", "  "])
def test_a_name_and_a_reason_are_needed(blank, text):
    given = {"by": "A. Name", "reason": "explained by the term"}
    with pytest.raises(InvalidDataError, match=rf"sign-off\.{blank}: must be given, is blank"):
        SignOff(**(given | {blank: text}))
