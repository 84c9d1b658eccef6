"""A small Stata file with the columns of Karlan and Zinman's, made here."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from training.tables import load_portfolio

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
    return load_portfolio("kz2008", Path(__file__).parents[2])
