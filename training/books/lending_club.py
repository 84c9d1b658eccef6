"""The loader of `lending_club`: resolved personal loans whose rates were set by risk, no offers.

Two published shapes are read, told apart by their columns: Lending Club's own file (74 columns)
and the compact one of "Practical Statistics for Data Scientists" (19 columns). One row is a loan.
"""

import gzip
import logging
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype

from finntelligence import cashflow
from finntelligence.errors import InvalidDataError, InvalidDeclarationError
from finntelligence.fields import Role
from finntelligence.portfolio import Capability, Portfolio
from training.books.canonical import check_fields, cleaned, permitted
from training.tables import Tables, validated_loans, validated_quotes

__all__ = ["tables"]

logger = logging.getLogger(__name__)

OUTCOMES = {"paid off": False, "default": True}
STATUSES = {"Fully Paid": False, "Charged Off": True, "Default": True}
RUNNING = ("Current", "In Grace Period", "Late (16-30 days)", "Late (31-120 days)", "Issued")
OUTSIDE_POLICY = "Does not meet the credit policy"  # then the status

SUB_GRADES = {f"{letter}{i}": 5 * k + i for k, letter in enumerate("ABCDEFG") for i in range(1, 6)}
RARE_PURPOSES = ["renewable_energy", "educational"]  # the compact file has them as other
RARE_HOMES = ["none", "any"]

# Lending Club lent at 5.31 to 30.99 %. Where a loan was funded only in part, the compact file has
# the instalment of that part and the amount applied for, which together give a lower rate.
RATES = (0.053, 0.31)
UNDATED = 1  # the period of every loan of the compact file, which has no date

# A few loans that lack a usable value are left out; were they more, the file would not be it.
HIGHEST_UNUSABLE = 0.05

# Known only after the loan was granted; by the file's own names and by the declaration's.
LEAKS = {
    *("loan_status", "status", "outcome", "pymnt_plan", "funded_amnt_inv", "last_credit_pull_d"),
    *("total_pymnt", "total_pymnt_inv", "total_rec_prncp", "total_rec_int", "total_rec_late_fee"),
    *("recoveries", "collection_recovery_fee", "out_prncp", "out_prncp_inv", "last_pymnt_d"),
    *("last_pymnt_amnt", "next_pymnt_d", "defaulted"),
    *("total_paid", "outstanding_principal", "last_payment", "recovered"),
}
SUPPLIED = (
    *("annual_income", "dti", "employment_years", "home", "purpose", "risk_grade", "delinquent"),
    *("public_record", "open_accounts", "revolving_balance", "utilisation", "state"),
)


def tables(portfolio: Portfolio, path: Path) -> Tables:
    """Return the loans of either published shape, and no quotes: the files hold no offers.

    Raises:
        InvalidDataError: if the file has neither shape.
        InvalidDeclarationError: if the portfolio wants what the file cannot give before a loan.
    """
    if Capability.ACCEPTANCE in portfolio.capabilities:
        raise InvalidDeclarationError(
            "portfolio.capabilities: must be [risk]; the file holds loans and no offers"
        )
    check_fields(portfolio, SUPPLIED, LEAKS, "the loan was granted")
    source, shape = _source(path)
    loans = _canonical(portfolio, shape.loans(source))
    no_quotes = loans.head(0).drop(columns="defaulted").assign(propensity=np.nan, accepted=False)
    return Tables(validated_quotes(portfolio, no_quotes), validated_loans(portfolio, loans))


@dataclass(frozen=True, slots=True)
class _Shape:
    """The columns that are read, and what makes loans of them."""

    texts: tuple[str, ...]
    numbers: tuple[str, ...]
    loans: Callable[[pd.DataFrame], pd.DataFrame]


def _source(path: Path) -> tuple[pd.DataFrame, _Shape]:
    named = set(_csv(path, nrows=0))
    shape = min(SHAPES, key=lambda shape: len({*shape.texts, *shape.numbers} - named))
    columns = (*shape.texts, *shape.numbers)
    missing = [name for name in columns if name not in named]
    if missing:
        raise InvalidDataError(
            f"{path}: is not a file of Lending Club's loans: missing column(s) {', '.join(missing)}"
        )
    source = _csv(path, usecols=columns)
    for name in columns:
        expected = "text" if name in shape.texts else "numbers"
        if is_numeric_dtype(source[name]) != (expected == "numbers"):
            raise InvalidDataError(f"{path}: column {name} must hold {expected}")
    return source, shape


def _csv(path: Path, **options: Any) -> pd.DataFrame:
    """Read comma-separated values, plain, gzipped or in a zip, told by bytes and not by name."""
    try:
        with path.open("rb") as stream:
            packed = {b"\x1f\x8b": "gzip", b"PK": "zip"}.get(stream.read(2))
        return pd.read_csv(path, compression=packed, low_memory=False, **options)
    except (EOFError, gzip.BadGzipFile, zlib.error, zipfile.BadZipFile) as error:
        raise InvalidDataError(f"{path}: is truncated or broken ({error}); get it again") from error
    except OSError as error:
        raise InvalidDataError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:  # pandas' own errors, and bytes that are no text
        raise InvalidDataError(f"{path}: holds no table of comma-separated values") from error


def _compact(source: pd.DataFrame) -> pd.DataFrame:
    loans, principal = _alike(source), source["loan_amnt"]
    instalment = source["payment_inc_ratio"] * source["annual_inc"] / 1200
    step = (source["grade"] * 5).round() - 1  # 0 is G1, 4 is G5, 30 is A1, 34 is A5
    return loans.assign(
        principal=principal,
        rate=_contract_rate(principal, instalment, loans["term_months"]),
        risk_grade=5 * (6 - step // 5) + step % 5 + 1,
        delinquent=_yes_no(1 - source["delinq_2yrs_zero"]),
        public_record=_yes_no(1 - source["pub_rec_zero"]),
        employment_years=source["emp_length"].where(source["emp_length"] > 0) - 1,  # 0: unknown
        state=np.nan,
        period=UNDATED,
        defaulted=_defaulted(source["outcome"], OUTCOMES),
    )


def _full(source: pd.DataFrame) -> pd.DataFrame:
    status = source["loan_status"]
    running, outside = status.isin(RUNNING), status.str.startswith(OUTSIDE_POLICY, na=False)
    logger.info(
        "lending_club: %d loans; left out %d still running, %d outside the lender's credit policy",
        *(len(source), running.sum(), outside.sum()),
    )
    source = source[~running & ~outside]
    issued = pd.to_datetime(source["issue_d"], format="%b-%Y", errors="coerce").dt
    years = source["emp_length"].str.extract(r"^(?:< 1|(\d+)\+?) years?$")[0].astype(float)
    return _alike(source).assign(
        principal=source["funded_amnt"],
        rate=(source["int_rate"] / 100).round(6),
        risk_grade=source["sub_grade"].map(SUB_GRADES),
        delinquent=_yes_no(source["delinq_2yrs"]),
        public_record=_yes_no(source["pub_rec"]),
        employment_years=years.mask(source["emp_length"] == "< 1 year", 0),
        state=source["addr_state"],
        period=100 * issued.year + issued.month,
        defaulted=_defaulted(source["loan_status"], STATUSES),
    )


def _alike(source: pd.DataFrame) -> pd.DataFrame:
    """Return what both shapes hold in the same way."""
    return pd.DataFrame(
        {
            "annual_income": source["annual_inc"],
            "dti": source["dti"],
            "home": source["home_ownership"].str.lower().replace(RARE_HOMES, "other"),
            "purpose": source["purpose"].replace(RARE_PURPOSES, "other"),
            "open_accounts": source["open_acc"],
            "revolving_balance": source["revol_bal"],
            "utilisation": source["revol_util"],
            "term_months": source["term"].str.extract(r"^\s*(\d+) months\s*$")[0].astype(float),
        }
    )


SHAPES = (
    _Shape(
        texts=("term", "purpose", "home_ownership", "outcome"),
        numbers=(
            *("loan_amnt", "payment_inc_ratio", "annual_inc", "dti", "grade", "emp_length"),
            *("delinq_2yrs_zero", "pub_rec_zero", "open_acc", "revol_bal", "revol_util"),
        ),
        loans=_compact,
    ),
    _Shape(
        texts=(
            *("term", "purpose", "home_ownership", "loan_status", "sub_grade", "emp_length"),
            *("issue_d", "addr_state"),
        ),
        numbers=(
            *("funded_amnt", "int_rate", "annual_inc", "dti", "delinq_2yrs", "pub_rec"),
            *("open_acc", "revol_bal", "revol_util"),
        ),
        loans=_full,
    ),
)


def _contract_rate(principal: pd.Series, instalment: pd.Series, term: pd.Series) -> pd.Series:
    """Solve the level-payment equation for the yearly rate; NaN where nothing is earned.

    Rates were quoted in hundredths of a point, so what the instalment's cents blur is rounded off.
    """
    rate = pd.Series(np.nan, index=principal.index)
    earning = (instalment * term > principal) & (principal > 0)
    paid = cashflow.apr(principal[earning], instalment[earning], term[earning])
    rate[earning] = paid.round(4)
    return rate


def _defaulted(outcome: pd.Series, meaning: dict[str, bool]) -> pd.Series:
    unknown = ~outcome.isin(list(meaning))
    if unknown.any():
        raise InvalidDataError(
            f"lending_club: column {outcome.name} must hold {', '.join(meaning)}; "
            f"row {unknown.idxmax()} (the first is 0) holds {outcome[unknown].iloc[0]!r}"
        )
    return outcome.map(meaning)


def _yes_no(count: pd.Series) -> pd.Series:
    return pd.Series(np.where(count > 0, "yes", "no"), index=count.index).where(count.notna())


def _canonical(portfolio: Portfolio, loans: pd.DataFrame) -> pd.DataFrame:
    """Return the canonical table's columns, of the loans that have every required value."""
    if loans.empty:
        raise InvalidDataError("lending_club: the file holds no resolved loan")
    fields = [field for field in portfolio.fields if field.role is not Role.LEAK]
    canonical = pd.DataFrame(
        {
            "quote_id": loans.index,
            **{field.name: cleaned("lending_club", field, loans[field.name]) for field in fields},
            "requested_principal": loans["principal"],
            "requested_term_months": loans["term_months"],
            "principal": loans["principal"],
            "term_months": loans["term_months"],
            "quoted_rate": loans["rate"],
            "list_rate": loans["rate"],  # no list is known
            "is_randomised": False,
            "period": loans["period"],
            "cost_of_funds": portfolio.economics["cost_of_funds"],
            "defaulted": loans["defaulted"],
        }
    )
    return canonical[_usable(portfolio, canonical)]


def _usable(portfolio: Portfolio, loans: pd.DataFrame) -> pd.Series:
    """Whether each loan has every required value; says which values were lacking."""
    fits = {f.name: permitted(f, loans[f.name]) for f in portfolio.features if f.required}
    fits["principal"] = loans["principal"] > 0
    fits["term_months"] = loans["term_months"] >= 1
    fits["quoted_rate"] = loans["quoted_rate"].between(*RATES)
    fits["period"] = loans["period"].notna()
    usable = pd.DataFrame(fits).all(axis=1)
    lacking = ", ".join(f"{name} {(~fit).sum()}" for name, fit in fits.items() if (~fit).any())
    if (~usable).sum() > HIGHEST_UNUSABLE * len(loans):
        raise InvalidDataError(
            f"lending_club: of {len(loans)} loans {(~usable).sum()} lack a usable value: {lacking}"
        )
    if lacking:
        logger.warning(
            "lending_club: left out %d of %d loans that lack a usable value: %s",
            *((~usable).sum(), len(loans), lacking),
        )
    return usable
