"""A small Stata file with the columns of Karlan and Zinman's, and a small trained book."""

import io
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from threadpoolctl import threadpool_limits

from finntelligence.portfolio import Capability
from training.fitting.price_response import FitParams
from training.simulate import simulate
from training.stages import Paths, read_params
from training.tables import load_portfolio, write_table

ROOT = Path(__file__).parents[2]
THIRD_PARTY_WARNINGS = (
    "ignore:The ``noload`` loader strategy is deprecated",  # MLflow's use of SQLAlchemy
    "ignore:Operation with range is deprecated",  # MLflow's use of pandas
    "ignore:.*Any type hint is inferred as AnyType",  # MLflow's own type hints
    "ignore:GitWildMatchPattern:DeprecationWarning",  # BentoML's use of pathspec
)

STANDARD = {"LOW": 7.75, "MEDIUM": 9.75, "HIGH": 11.75}


def kz_offers(rows=120):
    """Return made-up offers; every third is taken up, and every other loan goes bad."""
    i = np.arange(rows)
    risk = np.array(["LOW", "MEDIUM", "HIGH"])[i % 3]
    taken = i % 3 == 0
    frame = pd.DataFrame(
        {
            "wave": (1 + i % 2).astype("int8"),
            "risk": risk,
            "itcscore": np.where(i % 5 == 0, 0, 500 + i).astype("int16"),
            "itczero": (i % 5 == 0).astype("int8"),
            "appscore": np.where(i % 7 == 0, 0, 30).astype("float32"),
            "appscore0": (i % 7 == 0).astype("float32"),
            "dormancy": (i % 20).astype("int8"),
            "trcount": np.where(i % 11 == 0, np.nan, 2.0),
            "lastterm": np.array([4, 1, 5, 9, 12])[i % 5].astype("int8"),
            "lastamount": 500.0 + 10 * i,
            "grossincome": np.where(i % 2 == 0, np.nan, 3.5),
            "edhi": (i % 2).astype("int8"),
            "rural": (i % 4 == 0).astype("int8"),
            "female": (i % 2).astype("int8"),
            "married": np.where(i % 11 == 0, np.nan, i % 2),
            "age": np.where(i % 13 == 0, 0, 40).astype("float32"),
            "dependants": np.where(i % 11 == 0, np.nan, 1.0),
            "province": np.where(i % 9 == 0, "Limpopo Province", "Gauteng"),
            "termshown": np.where(risk == "HIGH", np.nan, 6).astype("float32"),
            "offer4": np.array([STANDARD[r] for r in risk]) - 0.5 * (i % 4),
            "tookup": taken.astype("int8"),
        }
    )
    loansize = np.where(taken, 1000, 0)
    past_due = np.where(i % 6 == 0, 251.0, 250.0)  # a quarter exactly is not yet bad
    return frame.assign(
        final4=frame["offer4"] - 0.25,
        term=np.where(taken, 4, 0).astype("float32"),
        loansize=loansize.astype("int16"),
        lnloansize=np.where(taken, 6.9, np.nan).astype("float32"),
        pstdue_average=np.where(taken, past_due, np.nan).astype("float32"),
        grossinterest=np.where(taken, 300, 0).astype("float32"),
        applied=taken.astype("int8"),
        rejected=np.zeros(rows, dtype="float32"),
    )


def stata_bytes(frame, version=118):
    """Return the frame as a Stata file."""
    stream = io.BytesIO()
    frame.to_stata(stream, version=version, write_index=False)
    return stream.getvalue()


@pytest.fixture
def offers():
    return kz_offers()


@pytest.fixture
def as_stata():
    return stata_bytes


@pytest.fixture
def dta(tmp_path, offers):
    path = tmp_path / "offers.dta"
    path.write_bytes(stata_bytes(offers))
    return path


@pytest.fixture(scope="session")
def kz():
    return load_portfolio("kz2008", ROOT)


@pytest.fixture(scope="session")
def lender():
    return load_portfolio("lending_club", ROOT)


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Threads of linear algebra that wait for each other crawl on a busy machine."""
    with threadpool_limits(1, user_api="blas"):
        yield


@pytest.fixture(scope="session")
def simulated():
    return load_portfolio("simulated", ROOT)


@pytest.fixture(scope="session")
def fit_params():
    """The project's own of acceptance, but for the events from which the slope varies."""
    return replace(read_params("acceptance", FitParams, ROOT), minimum_events=1_000)


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A project whose small simulated book went through every stage up to `evaluate`, once."""
    # MLflow takes seconds to import, and the tests of the data need none of it
    from training import evaluate, prepare, tracking
    from training.train import train

    root = tmp_path_factory.mktemp("trained")
    shutil.copytree(ROOT / "portfolios", root / "portfolios")
    shutil.copy(ROOT / "policy.yaml", root)
    shutil.copytree(ROOT / "data", root / "data", ignore=lambda *_: {"interim", "processed", "raw"})
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["evaluate"] |= {"bootstrap": 40, "decisions": 20, "screened": 300, "priced": 50}
    params["evaluate"] |= {"curved": 50, "explained": 200, "permuted": 500, "learned": 1000}
    params["judge"] = params.get("judge", {}) | {"replicates": 20}
    (root / "params.yaml").write_text(yaml.safe_dump(params))
    book = simulate("W1", quotes=8_000, seed=5)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{root / 'empty.db'}")
        tracking.client().search_experiments()
        shutil.copy("empty.db", "mlflow.db")
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{root / 'mlflow.db'}")
        for name in ("quotes", "loans"):
            write_table(getattr(book, name), Paths("simulated").interim / f"{name}.parquet")
        prepare.main("simulated")
        for model in sorted(Capability):
            train(model, "simulated")
        evaluate.main("simulated")
    return root


@pytest.fixture
def project(trained, tmp_path, monkeypatch):
    """A copy of `trained` to work in, with its own tracking server and its own model store."""
    from bentoml._internal.configuration.containers import BentoMLContainer
    from bentoml._internal.models import ModelStore

    root, store = tmp_path / "project", tmp_path / "models"
    shutil.copytree(trained, root)
    store.mkdir()
    monkeypatch.chdir(root)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{root / 'mlflow.db'}")
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "dvc"))
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    BentoMLContainer.model_store.set(ModelStore(str(store)))
    yield root
    BentoMLContainer.model_store.reset()


@pytest.fixture
def empty_server(project, monkeypatch):
    """Another machine's tracking server, which has never seen a run."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{project / 'empty.db'}")


def pytest_collection_modifyitems(items):
    """Exempt by name what MLflow and BentoML do under the hood, where these tests use them."""
    for item in items:
        here = item.path.is_relative_to(Path(__file__).parent)
        if here and {"trained", "project"} & set(getattr(item, "fixturenames", ())):
            for warning in THIRD_PARTY_WARNINGS:
                item.add_marker(pytest.mark.filterwarnings(warning))
