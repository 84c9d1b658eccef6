import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure

from finntelligence.fields import Role
from finntelligence.portfolio import Capability
from finntelligence.rates import Price
from training import exploration
from training.books import kz2008
from training.evidence.subject import Subject
from training.exploration import (
    WORLD,
    along_price,
    balance,
    classes,
    completeness,
    draw_shares,
    opened,
    original,
    prepared,
    price_slope,
    shares,
)
from training.fitting.price_response import quoted_terms
from training.simulator.truth import truth_at
from training.simulator.worlds import Terms
from training.stages import Paths
from training.tables import read_table

ROOT = Path(__file__).parents[2]
PUBLISHED = "kz_demandelasts_aer08_waves12.dta"


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A project's root with declarations and lists only, whose user has said nothing."""
    monkeypatch.delenv("FINNT_SOURCES", raising=False)
    root = tmp_path / "project"
    shutil.copytree(ROOT / "portfolios", root / "portfolios")
    (root / "data").mkdir()
    shutil.copy(ROOT / "data" / "sources.yaml", root / "data")
    for name in ("params.yaml", "policy.yaml"):
        shutil.copy(ROOT / name, root)
    return root


@pytest.fixture(scope="module")
def book():
    return exploration.simulated(quotes=4_000)


@pytest.fixture(scope="module", params=Capability)
def subject(request, trained, simulated):
    return Subject.read(Paths("simulated", trained), request.param, simulated)


def test_an_original_is_looked_for_where_the_user_says_and_nowhere_else(
    root, dta, tmp_path, monkeypatch
):
    said, beside = tmp_path / "mine", tmp_path / "shared" / "data"
    for folder in (said, beside):
        folder.mkdir(parents=True)
    shutil.copy(dta, beside / PUBLISHED)
    assert original("kz2008", root) == beside / PUBLISHED
    monkeypatch.setenv("FINNT_SOURCES", str(said))
    assert original("kz2008", root) is None
    shutil.copy(dta, said / PUBLISHED)
    assert original("kz2008", root) == said / PUBLISHED


def test_a_file_added_to_the_project_is_an_original_under_any_name(root, dta):
    raw = root / "data" / "raw" / "kz2008"
    raw.mkdir(parents=True)
    (raw / "offers.dta.dvc").write_text("outs: []\n")
    assert original("kz2008", root) is None
    shutil.copy(dta, raw / "offers.dta")
    assert original("kz2008", root) == raw / "offers.dta"


def test_a_real_book_is_opened_from_its_original(root, dta, monkeypatch):
    monkeypatch.setenv("FINNT_SOURCES", str(dta.parent))
    dta.rename(dta.with_name(PUBLISHED))
    source = opened("kz2008", root)
    assert source.is_real
    assert source.portfolio.name == "kz2008"
    assert len(source.tables.quotes) == 120
    assert str(source).startswith("REAL book: Karlan")


def test_a_book_that_is_not_at_hand_is_simulated_and_says_so(root):
    source = opened("kz2008", root)
    assert not source.is_real
    assert source.portfolio.name == "simulated"
    assert str(source).startswith("SIMULATED")
    assert "no original of kz2008 is at hand: FINNT_SOURCES" in str(source)


def test_preparing_writes_to_its_folder_alone(root, book, tmp_path, monkeypatch):
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    before = sorted(root.rglob("*"))
    paths = prepared(book, tmp_path / "scratch", root=root)
    assert Path.cwd() == here
    assert list(here.iterdir()) == []
    assert sorted(root.rglob("*")) == before
    parts = [read_table(paths.processed / part / "quotes.parquet") for part in ("train", "holdout")]
    assert sum(map(len, parts)) == len(book.tables.quotes)


def test_preparing_keeps_as_many_loans_as_it_is_told(root, book, tmp_path):
    paths = prepared(book, tmp_path / "scratch", loans=300, root=root)
    kept = read_table(paths.interim / "loans.parquet")
    assert len(kept) == 300
    assert set(kept["quote_id"]) <= set(book.tables.loans["quote_id"])


def test_completeness_has_a_row_for_every_declared_field_but_the_leaks(kz, offers, dta):
    quotes = kz2008.tables(kz, dta).quotes
    found = completeness(kz, quotes)
    assert set(found.index) == {f.name for f in kz.fields if f.role is not Role.LEAK}
    assert found.loc["bureau_score", "absent"] == pytest.approx((offers["itczero"] == 1).mean())
    assert found.loc["risk_class", ["absent", "distinct"]].tolist() == [0, 3]
    assert found.loc["age", ["lowest", "highest"]].tolist() == [40, 40]


@settings(max_examples=50, deadline=None, derandomize=True)
@given(
    values=st.lists(st.floats(-1e6, 1e6) | st.just(np.nan), min_size=1, max_size=60),
    seed=st.integers(0, 99),
)
def test_shares_count_every_known_row_once_and_lie_in_their_intervals(values, seed):
    frame = pd.DataFrame({"x": values})
    frame["won"] = np.random.default_rng(seed).random(len(frame)) < 0.3
    found = shares(frame, "won", "x", bins=4)
    if frame["x"].notna().any():
        known = frame[frame["x"].notna()]
        assert found["rows"].sum() == len(known)
        assert (found["share"] * found["rows"]).sum() == pytest.approx(known["won"].sum())
        slack = 1e-9
        assert (found["low"] <= found["share"] + slack).all()
        assert (found["share"] <= found["high"] + slack).all()
    else:
        assert found.empty


def test_a_category_has_a_row_for_each_value(book):
    quotes = book.tables.quotes
    found = shares(quotes, "accepted", "home")
    assert found["share"].to_dict() == quotes.groupby("home")["accepted"].mean().to_dict()


def test_shares_are_drawn_where_they_are(book):
    found = shares(book.tables.quotes, "accepted", "fico", bins=4)
    ax = Figure().subplots()
    draw_shares(ax, found, color="black")
    line, _, (bars,) = ax.containers[0]
    np.testing.assert_array_equal(line.get_xydata(), found["share"].reset_index())
    ends = np.array(bars.get_segments())[:, :, 1]
    np.testing.assert_allclose(ends, found[["low", "high"]])


def test_classes_are_the_list_prices_own_or_quarters(kz, book):
    offered = pd.DataFrame({"risk_class": ["HIGH", "LOW"]})
    assert list(classes(kz, offered)) == ["HIGH", "LOW"]
    counts = pd.Series(classes(book.portfolio, book.tables.quotes)).value_counts(normalize=True)
    assert len(counts) == 4
    assert counts.between(0.2, 0.3).all()


def test_no_feature_knows_a_price_that_was_drawn(book):
    found = balance(book.portfolio, book.tables.quotes)
    assert 0.5 < np.sqrt((found["z"] ** 2).mean()) < 1.5
    assert (found["z"].abs() < 4).all()


def test_a_feature_that_moved_the_price_is_found_out(book):
    quotes = book.tables.quotes
    told = quotes.assign(quoted_rate=quotes["quoted_rate"] + 0.002 * quotes["dti"])
    found = balance(book.portfolio, told)
    assert found.index[0] == "dti"
    assert found["z"].iloc[0] > 6


def test_a_book_without_drawn_prices_has_no_balance_to_show(book):
    chosen = book.tables.quotes.assign(is_randomised=False)
    assert balance(book.portfolio, chosen).empty


def test_a_slopes_interval_is_its_estimates(subject):
    fit = subject.artefact.response.evidence
    found = price_slope(fit)
    assert found["value"] == fit["estimates"]["gap"]
    reach = 1.96 * fit["standard_errors"]["gap"]
    assert found["high"] - found["value"] == pytest.approx(reach, rel=1e-4)
    assert found["low"] + found["high"] == pytest.approx(2 * found["value"])


def test_probabilities_move_one_way_along_the_price_in_model_and_truth(subject):
    found = along_price(subject, [-3, 0, 3], world=WORLD, applicants=200)
    sign = -1 if subject.model is Capability.ACCEPTANCE else 1
    assert (sign * found.diff().dropna() > 0).all(axis=None)


def test_the_truth_along_the_price_is_the_oracles_at_that_price(subject):
    rows = subject.holdout
    found = along_price(subject, [1.0], world=WORLD, applicants=len(rows))
    # the same customers at the same distance from their list price, asked of the oracle directly
    moved = rows.assign(quoted_rate=rows["list_rate"] + Price.UNIT)
    terms = quoted_terms(subject.portfolio, moved)
    truth = truth_at(
        WORLD,
        moved,
        Terms(
            principal=terms.principal,
            term_months=terms.term_months,
            nominal_rate=terms.nominal_rate,
        ),
    )
    expected = truth.p_accept if subject.model is Capability.ACCEPTANCE else truth.pd_lifetime
    assert found.loc[1.0, "truth"] == pytest.approx(expected.mean())


def test_a_rival_is_asked_the_same_question(subject):
    found = along_price(subject, [-2, 2], {"itself": subject.probability}, applicants=100)
    assert list(found) == ["model", "itself"]
    np.testing.assert_array_equal(found["model"], found["itself"])
