"""What several test folders need."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("FINNT_TEST_DATA", ROOT.parent / "shared" / "data"))
KZ = "kz_demandelasts_aer08_waves12.dta.gz"
LENDING_CLUB = {
    "compact": "lending_club_90k.csv.gz",
    "full": "lending_club_full_schema_1000.csv.gz",
}


def pytest_collection_modifyitems(config, items):
    """Hand out the longest files first where processes share them, so that all end together."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: not item.path.is_relative_to(ROOT / "tests" / "e2e"))


def present(path):
    """Return the path of a real file, or say that there is none."""
    if not path.is_file():
        pytest.skip(f"no real data at {path}; FINNT_TEST_DATA may name the file or its folder")
    return path


@pytest.fixture(scope="session")
def kz_file():
    """The two-wave extract of Karlan and Zinman's file, if it lies beside the project."""
    return present(DATA / KZ if DATA.is_dir() else DATA)


@pytest.fixture(scope="session")
def lending_club_files():
    """Lending Club's loans in both published shapes, if they lie beside the project."""
    folder = DATA if DATA.is_dir() else DATA.parent
    return {shape: present(folder / name) for shape, name in LENDING_CLUB.items()}
