from dataclasses import replace

from training.documents.analyses import PARTS, analyses


def test_a_table_of_scores_stands_for_every_part_that_was_judged(about):
    figures = about.evaluation["acceptance"]
    first, price = analyses(about, "acceptance", figures)
    judged = [title for part, title in PARTS.items() if "rows" in figures.get(part, {})]
    assert [table.header[0] for table in first.tables] == judged
    assert first.tables[0].header[1:] == ["this model", "logit", "plain classifier"]
    assert "Wrong turns: 0." in price.texts[0]


def test_every_picture_says_whose_it_is(about):
    first, _ = analyses(about, "risk", about.evaluation["risk"])
    assert first.pictures
    assert all(picture.caption.startswith("risk: ") for picture in first.pictures)


def test_without_figures_one_sentence_says_so(about):
    (only,) = analyses(replace(about, pictures={}), "risk", {})
    assert (only.texts, only.tables) == (["None on this machine."], ())


def test_without_an_experiment_the_price_is_said_not_to_be_confirmed(about):
    figures = about.evaluation["risk"]
    price = figures["price"] | {"semi_elasticity": {"all": {"absent": "no randomised price"}}}
    _, said = analyses(about, "risk", figures | {"price": price})
    assert said.tables == []
    assert "No experiment on held-out rows can confirm it." in said.texts
