import json
from dataclasses import replace

import pytest

from training.documents.model_card import SIMULATED, as_json, card, main, notices
from training.stages import Paths, read_json

HEADINGS = [
    "Model Details",
    "Intended Use",
    "Factors",
    "Metrics",
    "Evaluation Data",
    "Training Data",
    "Quantitative Analyses",
    "Ethical Considerations",
    "Caveats and Recommendations",
]
MODELS = ["risk", "acceptance"]


def told(sections):
    return json.dumps(as_json(sections))


@pytest.mark.parametrize("model", MODELS)
def test_a_card_has_the_nine_headings_of_the_paper_in_their_order(about, model):
    titles = [section.title for section in card(about, model) if section.level == 2]
    assert titles[: len(HEADINGS) - 2] == HEADINGS[:-2]
    assert [title for title in titles if title in HEADINGS] == HEADINGS


@pytest.mark.parametrize("model", MODELS)
def test_a_card_says_what_a_default_is_who_made_the_model_and_how_well_it_does(about, model):
    text = told(card(about, model))
    (found,) = (m for m in about.lineage.models if m.model == model)
    loss = about.evaluation[model]["holdout"]["log_loss"]
    assert about.portfolio.default.definition in text
    assert "Horizon: the contract's own term." in text
    assert found.version in text
    assert found.artefact_sha256 in text
    assert f"{loss['value']:.4f} [{loss['low']:.4f}, {loss['high']:.4f}]" in text
    for head in about.responses[model].heads:
        assert f'["{head.name}", "{head.phi}"' in text


def test_a_card_shows_the_groups_calibration_of_its_own_model_alone(about):
    tables = [table for section in card(about, "risk") for table in section.tables]
    (calibration,) = (table for table in tables if table.header[0] == "calibration")
    assert {row[0] for row in calibration.rows} == {"risk"}


def test_a_card_without_an_evaluation_has_every_heading_and_no_figure(about):
    bare = replace(about, evaluation={}, pictures={}, report=None)
    sections = card(bare, "risk")
    assert [s.title for s in sections if s.title in HEADINGS] == HEADINGS
    assert "None on this machine." in told(sections)
    assert any("evaluation of this pair is not" in text for text in notices(bare))


def test_a_head_that_was_never_tried_is_told_among_the_limits(about):
    response = about.responses["risk"]
    heads = (*response.heads[:-1], replace(response.heads[-1], supported=False))
    untried = replace(about, responses={"risk": replace(response, heads=heads)})
    text = told(card(untried, "risk"))
    assert f"Never varied in the data, so not offered: {heads[-1].name}." in text


def test_levels_shift_together(about):
    levels = [section.level for section in card(about, "risk")]
    assert [section.level for section in card(about, "risk", level=3)] == [n + 1 for n in levels]


def test_simulated_figures_are_labelled_and_an_unregistered_pair_is_said_to_be_unjudged(about):
    assert notices(about) == [SIMULATED]
    assert "no gate has judged it" in notices(replace(about, lineage=None))[-1]


def test_both_cards_are_written_as_html_and_as_json_with_the_same_content(registered, about):
    main("simulated")
    for model in MODELS:
        folder = Paths("simulated").build / "cards"
        content = read_json(folder / f"{model}.json")
        assert content["sections"] == as_json(card(about, model))
        html = (folder / f"{model}.html").read_text()
        assert html.count("<h2>") == sum(s["level"] == 2 for s in content["sections"])
        assert 'src="data:image/png;base64,' in html
        assert 'src="http' not in html
