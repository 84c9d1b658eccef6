"""What several test folders need."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def kz_file():
    """The two-wave extract of Karlan and Zinman's file, if it lies beside the project."""
    default = ROOT.parent / "shared" / "data" / "kz_demandelasts_aer08_waves12.dta.gz"
    path = Path(os.environ.get("FINNT_TEST_DATA", default))
    if path.is_dir():
        path = path / default.name
    if not path.is_file():
        pytest.skip(f"no real data at {path}; FINNT_TEST_DATA may name the file or its folder")
    return path
