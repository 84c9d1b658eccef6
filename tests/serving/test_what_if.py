import pytest

ASSUMED = {"cost_of_funds": 0.08, "lgd": 0.5, "shadow_price": 0.02}


@pytest.fixture
def client(client_for, any_engine):
    return client_for(any_engine)


@pytest.fixture
def asked(any_portfolio):
    return dict(any_portfolio.example)


def curve(client, body):
    response = client.post("/v1/curve", json=body)
    assert response.status_code == 200, response.text
    return response.json()


def refused(client, body):
    response = client.post("/v1/curve", json=body)
    assert response.status_code == 422
    return {each["field"] for each in response.json()["errors"]}


def test_without_assumptions_the_menu_is_the_decisions(client, asked):
    decided = client.post("/v1/offers", json=asked).json()
    assert curve(client, asked)["offers"] == decided["offers"]


def test_nothing_that_is_asked_what_if_is_recorded(client, asked, record):
    curve(client, {**asked, "assume": ASSUMED})
    assert record.entries == []


def test_the_assumptions_in_force_are_told_the_policys_own_included(client, asked, any_engine):
    policy = any_engine.market.policy.economics
    found = curve(client, {**asked, "assume": {"lgd": 0.5}})["assumed"]
    assert found == {"cost_of_funds": policy.cost_of_funds, "lgd": 0.5, "shadow_price": 0.0}
    assert curve(client, {**asked, "assume": ASSUMED})["assumed"] == ASSUMED


def test_terms_are_valued_as_a_quote_of_them_and_their_payments_sum_up(client, asked):
    terms = {"term_months": asked["requested_term_months"], "quoted_rate": 0.09}
    found = curve(client, {**asked, **terms})
    quoted = client.post("/v1/quote", json={**asked, **terms, "principal": found["principal"]})
    assert found["quote"] == quoted.json()
    assert len(found["schedule"]) == terms["term_months"]
    assert found["schedule"][-1]["balance"] == 0


def test_a_term_without_a_rate_is_valued_at_the_engines_own_price(client, asked):
    term = asked["requested_term_months"]
    found = curve(client, {**asked, "term_months": term})
    (own,) = [each for each in found["curves"] if each["term_months"] == term]
    assert found["quote"]["quoted_rate"] == own["quoted_rate"][own["best"]]
    assert found["quote"]["permitted"]


def test_curves_are_of_the_permitted_amount_nearest_to_the_one_asked_about(client, asked):
    amounts = curve(client, asked)["amounts"]
    for amount in amounts:
        assert curve(client, {**asked, "principal": amount + 0.4})["principal"] == amount


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"assume": {"lgd": 2}}, "assume.lgd"),
        ({"assume": {"lgd": "much"}}, "assume.lgd"),
        ({"assume": {"luck": 1}}, "assume.luck"),
        ({"quoted_rate": 0.1}, "term_months"),
        ({"principal": 0}, "principal"),
        ({"term_months": 4, "quoted_rate": -1}, "quoted_rate"),
        ({"requested_principal": -1}, "requested_principal"),
    ],
)
def test_what_is_wrong_is_named(client, asked, change, field):
    assert field in refused(client, {**asked, **change})
