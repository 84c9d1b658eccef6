import gzip
import hashlib
import logging
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from dvc.repo import Repo

from finntelligence.errors import InvalidDataError, InvalidDeclarationError
from tests import own_book
from tests.lending_club import compact, made_loans
from training.ingest import (
    LOADERS,
    add_source,
    forget_source,
    ingest,
    ingested_portfolios,
    load,
    main,
)
from training.tables import load_portfolio, read_table, validated_quotes

ROOT = Path(__file__).parents[2]

# pygtrie, below DVC, warns of its own future.
pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning")


@pytest.fixture
def root(tmp_path):
    """A project's root without DVC: declarations and lists only."""
    root = tmp_path / "project"
    shutil.copytree(ROOT / "portfolios", root / "portfolios")
    (root / "data").mkdir()
    for name in ("sources.yaml", "portfolios.yaml"):
        shutil.copy(ROOT / "data" / name, root / "data" / name)
    lists = "ingested: []\npresent: [simulated]\npriced: [simulated]\nrisk_only: []\n"
    (root / "data" / "portfolios.yaml").write_text(lists)
    return root


@pytest.fixture
def project(root):
    """The same under git and DVC."""
    subprocess.run(["git", "init", "--quiet", str(root)], check=True)
    Repo.init(str(root)).close()
    return root


@pytest.fixture
def other(tmp_path, offers, as_stata):
    """Another valid source."""
    path = tmp_path / "other.dta"
    path.write_bytes(as_stata(offers.head(60)))
    return path


def state(folder):
    """Return every file's content."""
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def raw(project):
    return project / "data" / "raw" / "kz2008"


def pointer_md5(path):
    return yaml.safe_load(path.with_name(f"{path.name}.dvc").read_text())["outs"][0]["md5"]


def assert_tracked(path):
    """The file is there, DVC's pointer is to this content, and git ignores the file."""
    assert pointer_md5(path) == hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    assert (path.parent / ".gitignore").read_text().split() == [f"/{path.name}"]


def test_every_loader_has_a_declaration_and_a_listed_source():
    sources = yaml.safe_load((ROOT / "data" / "sources.yaml").read_text())
    for name in LOADERS:
        assert (ROOT / "portfolios" / f"{name}.yaml").is_file()
        assert name in sources


def test_every_listed_source_says_where_from_and_which_bytes():
    sources = yaml.safe_load((ROOT / "data" / "sources.yaml").read_text())
    for source in (sources[name] for name in LOADERS):  # other books are a lender's own
        assert source["title"]
        assert source["how"]
        assert source["licence"]
        assert source["url"].startswith("https://")
        for file in source["files"]:
            assert re.fullmatch("[0-9a-f]{64}", file["sha256"])
            assert file["rows"] > 0
            assert file["extent"]


def test_an_unlisted_file_is_taken_with_a_warning(dta, root, caplog):
    loaded = load("kz2008", dta, root)
    assert loaded.published is None
    assert loaded.sha256 in caplog.text
    assert "is not one of the published files" in caplog.text


def test_a_listed_file_is_recognised_under_any_name(dta, root, caplog):
    path = root / "data" / "sources.yaml"
    sources = yaml.safe_load(path.read_text())
    sources["kz2008"]["files"][0]["sha256"] = hashlib.sha256(dta.read_bytes()).hexdigest()
    path.write_text(yaml.safe_dump(sources))
    with caplog.at_level(logging.INFO):
        loaded = load("kz2008", dta, root)
    assert loaded.published.startswith("113240-V1.zip of https://doi.org/10.3886/E113240V1, CC BY")
    assert "offers.dta is the published 113240-V1.zip" in caplog.text
    assert "is not one of" not in caplog.text


def test_a_book_without_loader_is_refused_with_those_that_have_one(dta, root):
    with pytest.raises(InvalidDeclarationError, match=r"'simulated' has no loader; .*kz2008"):
        load("simulated", dta, root)


def test_adding_puts_the_file_under_dvc_and_lists_the_book(dta, project):
    added = add_source("kz2008", dta, project)
    assert added.outcome == "added"
    assert added.path == Path("data/raw/kz2008/offers.dta")
    assert (added.quotes, added.loans) == (120, 40)
    assert str(added).startswith("kz2008: added data/raw/kz2008/offers.dta (not a published")
    assert (project / added.path).read_bytes() == dta.read_bytes()
    assert_tracked(project / added.path)
    assert sorted(p.name for p in raw(project).iterdir()) == [
        ".gitignore",
        "offers.dta",
        "offers.dta.dvc",
    ]
    text = (project / "data" / "portfolios.yaml").read_text()
    assert text.startswith("# ")
    both = ["simulated", "kz2008"]
    assert yaml.safe_load(text) == {
        "ingested": ["kz2008"],
        "present": both,
        "priced": both,
        "risk_only": [],
    }
    with Repo(str(project)) as repo:
        assert repo.status() == {}


@pytest.fixture
def own(project, tmp_path):
    """A lender's own book, declared and laid out, and its folder of files."""
    (project / "portfolios" / "sierra.yaml").write_text(yaml.safe_dump(own_book.declaration()))
    path = project / "data" / "sources.yaml"
    sources = yaml.safe_load(path.read_text()) | {"sierra": own_book.source()}
    path.write_text(yaml.safe_dump(sources))
    own_book.written(tmp_path / "export", quotes=60)
    return tmp_path / "export"


def test_a_lenders_own_folder_is_added_ingested_and_forgotten(own, project, caplog):
    before = state(project / "data")
    added = add_source("sierra", own, project)
    assert (added.outcome, added.path) == ("added", Path("data/raw/sierra/export"))
    assert "the lender's own files" in str(added)
    assert "is not one of" not in caplog.text
    assert state(project / added.path) == state(own)
    assert pointer_md5(project / added.path).endswith(".dir")
    assert add_source("sierra", own, project).outcome == "unchanged"
    ingest("sierra", project)
    quotes = read_table(project / "data" / "interim" / "sierra" / "quotes.parquet")
    assert len(quotes) == added.quotes == 60
    shutil.rmtree(project / "data" / "interim")
    forget_source("sierra", project)
    lists = Path("portfolios.yaml")
    after = state(project / "data")
    assert yaml.safe_load(after.pop(lists)) == yaml.safe_load(before.pop(lists))
    assert after == before


@pytest.mark.parametrize("name", ["", ".", "..", "sierra/..", "nobody"])
def test_what_is_no_books_name_takes_nothing_out(own, project, name):
    add_source("sierra", own, project)
    before = state(project / "data")
    with pytest.raises(InvalidDataError, match="was not added; added: sierra"):
        forget_source(name, project)
    assert state(project / "data") == before


@pytest.mark.parametrize("moment", ["before", "after"])
def test_an_interrupt_leaves_a_lenders_own_folder_as_it_was(own, project, monkeypatch, moment):
    add_source("sierra", own, project)
    own_book.written(own, quotes=50)
    before = state(project / "data")
    real_add = Repo.add

    def interrupted(self, target):
        if moment == "after":
            real_add(self, target)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Repo, "add", interrupted)
        with pytest.raises(KeyboardInterrupt):
            add_source("sierra", own, project)
    assert state(project / "data") == before
    assert add_source("sierra", own, project).quotes == 50


def test_a_book_that_was_never_added_cannot_be_forgotten(dta, project, monkeypatch):
    add_source("kz2008", dta, project)
    monkeypatch.chdir(project)
    with pytest.raises(SystemExit, match="'lending_club': was not added; added: kz2008"):
        main(["lending_club", "--forget"])


@pytest.fixture
def csv(tmp_path):
    """A book without offers."""
    path = tmp_path / "loans.csv"
    compact(made_loans()).to_csv(path, index=False)
    return path


def test_a_book_without_offers_is_added_to_those_that_price_nothing(csv, dta, project):
    added = add_source("lending_club", csv, project)
    assert (added.quotes, added.loans) == (0, 240)
    add_source("kz2008", dta, project)
    assert yaml.safe_load((project / "data" / "portfolios.yaml").read_text()) == {
        "ingested": ["kz2008", "lending_club"],
        "present": ["simulated", "kz2008", "lending_club"],
        "priced": ["simulated", "kz2008"],
        "risk_only": ["lending_club"],
    }


def test_a_book_without_offers_gets_an_empty_table_of_them(csv, project, caplog):
    add_source("lending_club", csv, project)
    with caplog.at_level(logging.INFO):
        ingest("lending_club", project)
    folder = project / "data" / "interim" / "lending_club"
    quotes, loans = (read_table(folder / f"{name}.parquet") for name in ("quotes", "loans"))
    assert (len(quotes), len(loans)) == (0, 240)
    share = 100 * loans["defaulted"].mean()
    assert caplog.messages[-1] == f"lending_club: {share:.1f} % defaulted"
    validated_quotes(load_portfolio("lending_club", project), quotes)


def test_the_shipped_lists_are_those_that_adding_writes():
    """The pipeline reads every list, so none may be missing before a book is added."""
    lists = yaml.safe_load((ROOT / "data" / "portfolios.yaml").read_text())
    assert list(lists) == ["ingested", "present", "priced", "risk_only"]
    assert lists["present"] == ["simulated", *lists["ingested"]]
    assert sorted(lists["present"]) == sorted(lists["priced"] + lists["risk_only"])


def test_adding_the_same_file_again_changes_nothing_and_says_so(dta, project, tmp_path):
    add_source("kz2008", dta, project)
    before = state(project / "data")
    again = add_source("kz2008", dta, project)
    assert again.outcome == "unchanged"
    assert "nothing to do" in str(again)
    renamed = tmp_path / "renamed.dta"
    shutil.copy(dta, renamed)
    assert add_source("kz2008", renamed, project).path == again.path
    assert add_source("kz2008", project / again.path, project).outcome == "unchanged"
    assert state(project / "data") == before


@pytest.mark.parametrize("name", ["offers.dta", "other.dta"])
def test_another_file_replaces_the_former_one(dta, other, project, name):
    add_source("kz2008", dta, project)
    (other.parent / "elsewhere").mkdir()
    source = other.rename(other.parent / "elsewhere" / name)
    added = add_source("kz2008", source, project)
    assert added.outcome == "replaced"
    assert added.quotes == 60
    assert sorted(p.name for p in raw(project).iterdir()) == [".gitignore", name, f"{name}.dvc"]
    assert (raw(project) / name).read_bytes() == source.read_bytes()
    assert_tracked(raw(project) / name)
    assert ingested_portfolios(project) == ("kz2008",)


def test_a_file_put_there_by_hand_is_taken_under_dvc(dta, project):
    raw(project).mkdir(parents=True)
    placed = shutil.copy(dta, raw(project) / "offers.dta")
    assert add_source("kz2008", Path(placed), project).outcome == "added"
    assert_tracked(raw(project) / "offers.dta")


def test_an_invalid_file_changes_nothing(dta, project, tmp_path):
    add_source("kz2008", dta, project)
    before = state(project)
    bad = tmp_path / "bad.dta.gz"
    bad.write_bytes(gzip.compress(dta.read_bytes())[:-50])
    with pytest.raises(InvalidDataError, match="truncated or broken"):
        add_source("kz2008", bad, project)
    assert state(project) == before


@pytest.mark.parametrize("held", [False, True])
@pytest.mark.parametrize("moment", ["before", "after"])
def test_an_interrupt_leaves_everything_as_it_was(dta, other, project, monkeypatch, held, moment):
    if held:
        add_source("kz2008", dta, project)
    before = state(project / "data")
    real_add = Repo.add

    def interrupted(self, target):
        if moment == "after":
            real_add(self, target)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Repo, "add", interrupted)
        with pytest.raises(KeyboardInterrupt):
            add_source("kz2008", other, project)
    assert state(project / "data") == before
    assert add_source("kz2008", other, project).outcome == ("replaced" if held else "added")
    assert_tracked(raw(project) / "other.dta")


def test_an_addition_killed_before_its_end_is_completed_by_repeating_it(dta, other, project):
    add_source("kz2008", dta, project)
    with Repo(str(project)) as repo:
        repo.add(shutil.copy(other, raw(project) / "other.dta"))
    with pytest.raises(InvalidDataError, match=r"holds 2 sources \(offers\.dta, other\.dta\)"):
        ingest("kz2008", project)
    add_source("kz2008", other, project)
    assert_tracked(raw(project) / "other.dta")
    assert not list(raw(project).glob("offers*"))


def test_a_file_that_changes_while_it_is_read_is_refused(dta, other, project, monkeypatch):
    def copy_of_another(_source, target):
        Path(target).write_bytes(other.read_bytes())

    with monkeypatch.context() as patch:
        patch.setattr("training.books.raw.shutil.copyfile", copy_of_another)
        with pytest.raises(InvalidDataError, match="changed while it was being read"):
            add_source("kz2008", dta, project)
    assert not raw(project).exists()


def test_a_root_without_dvc_is_refused_before_anything_is_copied(dta, root):
    with pytest.raises(InvalidDeclarationError, match="run `dvc init`"):
        add_source("kz2008", dta, root)
    assert not raw(root).exists()


def test_a_name_that_dvc_or_we_would_overlook_is_refused(dta, project):
    hidden = dta.rename(dta.with_name(".hidden"))
    with pytest.raises(InvalidDataError, match="neither hidden nor"):
        add_source("kz2008", hidden, project)


def test_the_stage_writes_both_tables(dta, project, monkeypatch, caplog):
    add_source("kz2008", dta, project)
    monkeypatch.chdir(project)
    with caplog.at_level(logging.INFO):
        main(["kz2008"])
    folder = Path("data/interim/kz2008")
    assert len(read_table(folder / "quotes.parquet")) == 120
    assert len(read_table(folder / "loans.parquet")) == 40
    assert sorted(p.name for p in folder.iterdir()) == ["loans.parquet", "quotes.parquet"]
    assert "kz2008: wrote 120 quotes to data/interim/kz2008/quotes.parquet" in caplog.text
    assert "33.3 % accepted, 50.0 % defaulted" in caplog.text


def test_the_stage_ends_with_one_message_and_a_failure(root, monkeypatch):
    monkeypatch.chdir(root)
    with pytest.raises(SystemExit, match=r"holds no source; .*`finnt data add kz2008 FILE`"):
        main(["kz2008"])


def test_a_source_that_was_not_pulled_is_named(dta, project):
    added = add_source("kz2008", dta, project)
    (project / added.path).unlink()
    with pytest.raises(InvalidDataError, match=r"offers\.dta: is known to DVC.*`dvc pull`"):
        ingest("kz2008", project)


def test_no_list_means_no_real_book_and_a_broken_one_is_refused(tmp_path, root):
    assert ingested_portfolios(tmp_path) == ()
    (root / "data" / "portfolios.yaml").write_text("ingested: kz2008\n")
    with pytest.raises(InvalidDeclarationError, match="must hold `ingested`, a list"):
        ingested_portfolios(root)


@pytest.mark.parametrize("shape", ["compact", "full"])
def test_a_real_file_without_offers_is_recognised_by_its_origin(
    lending_club_files, root, shape, caplog
):
    path = lending_club_files[shape]
    assert load("lending_club", path, root).published.startswith(f"{path.name} of https://")
    assert "is not one of" not in caplog.text


def test_the_real_extract_is_recognised_added_and_ingested(kz_file, project, caplog):
    with caplog.at_level(logging.INFO):
        added = add_source("kz2008", kz_file, project)
        ingest("kz2008", project)
    assert added.published.startswith("kz_demandelasts_aer08_waves12.dta.gz")
    assert (added.quotes, added.loans) == (24_557, 1_840)
    assert "7.5 % accepted, 11.8 % defaulted" in caplog.text
    assert_tracked(project / added.path)
