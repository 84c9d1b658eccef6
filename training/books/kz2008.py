"""The loader of `kz2008`: direct-mail loan offers with randomised rates.

Karlan and Zinman, "Credit Elasticities in Less-Developed Economies", American Economic Review
98(3), 2008; doi 10.3886/E113240V1. One row of the file is one offer to a past client.
"""

import logging
from pathlib import Path

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype

from finntelligence.errors import InvalidDataError
from finntelligence.fields import Role
from finntelligence.portfolio import Portfolio
from training.books.canonical import check_fields, cleaned, permitted
from training.books.stata import read_stata
from training.tables import Tables, validated_loans, validated_quotes

__all__ = ["MEMBER", "tables"]

logger = logging.getLogger(__name__)

MEMBER = "kz_demandelasts_aer08.dta"

TEXTS = ("risk", "province")
KNOWN_BEFORE = (
    *("wave", "itcscore", "itczero", "appscore", "appscore0", "dormancy", "trcount", "lastterm"),
    *("lastamount", "grossincome", "edhi", "rural", "female", "married", "age", "dependants"),
    *("termshown", "offer4"),
)
OUTCOMES = ("tookup", "loansize", "term", "final4", "pstdue_average")

# Known only after the offer was answered; by the file's own names and by the declaration's.
LEAKS = {
    *("loansize", "lnloansize", "term", "final4", "grossinterest", "pstdue_average", "rejected"),
    *("applied", "tookup", "tookup_outside_only", "tookup_afterdead_enforced"),
    *("sales_grossincome", "sales_netincome", "loan_size", "past_due_average", "gross_interest"),
}

# Bad: the average amount past due over months 7 to 12 above a quarter of the loan. The file has no
# charge-off flag, so this is our definition.
BAD_SHARE = 0.25

# Rates are drawn within risk x wave. Half a point is wide enough that each bin holds offers.
PROPENSITY_BIN = 0.005

# A few offers that lack a required value are left out; were they more, the file would not be it.
HIGHEST_UNUSABLE = 0.01


def tables(portfolio: Portfolio, path: Path) -> Tables:
    """Return the canonical tables of the published Stata file, or of an extract by waves.

    Raises:
        InvalidDataError: if the file is not it.
        InvalidDeclarationError: if the portfolio wants what the file cannot give before an offer.
    """
    # whatever the declaration calls sales_..., the file knows from after the offer
    sales = {field.name for field in portfolio.fields if field.name.startswith("sales_")}
    check_fields(portfolio, SUPPLIED, LEAKS | sales, "the offer was answered")
    source = read_stata(path, MEMBER, (*TEXTS, *KNOWN_BEFORE, *OUTCOMES))
    for name in source:
        expected = "text" if name in TEXTS else "numbers"
        if is_numeric_dtype(source[name]) != (expected == "numbers"):
            raise InvalidDataError(f"{path}: column {name} must hold {expected}")
    quotes = _quotes(portfolio, source)
    valid_quotes = validated_quotes(portfolio, quotes)  # first, so that its message comes first
    loans = _loans(quotes, source.loc[quotes.index])
    return Tables(valid_quotes, validated_loans(portfolio, loans))


def _quotes(portfolio: Portfolio, source: pd.DataFrame) -> pd.DataFrame:
    terms = _terms_shown(source, portfolio.axes.terms)
    principal = source["lastamount"].round(2)  # cents; the file keeps single precision
    quotes = pd.DataFrame(
        {
            "quote_id": np.arange(len(source)),
            **_applicants(portfolio, source),
            "requested_principal": principal,
            "requested_term_months": terms,
            "principal": principal,
            "term_months": terms,
            "quoted_rate": _fraction(source["offer4"]),
            "list_rate": np.nan,
            "is_randomised": True,
            "propensity": np.nan,
            "accepted": source["tookup"],
            "period": source["wave"],
            "cost_of_funds": portfolio.economics["cost_of_funds"],
        }
    )
    usable = _usable(portfolio, quotes)
    quotes = quotes[usable] if 1 - usable.mean() <= HIGHEST_UNUSABLE else quotes
    if not usable[quotes.index].all():
        return quotes  # the contract then names the column and the row
    columns = {str(name): quotes[name].to_numpy() for name in quotes}
    rule = portfolio.price.list_rate
    return quotes.assign(
        list_rate=rule.rate(columns, quotes["term_months"], quotes["cost_of_funds"]),
        propensity=_propensity(source.loc[quotes.index]),
    )


def _loans(quotes: pd.DataFrame, source: pd.DataFrame) -> pd.DataFrame:
    """Return takers' loans at contract terms: after a second draw many paid less than offered."""
    borrowed = (source["tookup"] == 1) & (source["loansize"] > 0) & (source["term"] > 0)
    known = source["pstdue_average"].notna()
    logger.info(
        "kz2008: %d takers; left out %d without amount or term, %d without repayment record",
        (source["tookup"] == 1).sum(),
        ((source["tookup"] == 1) & ~borrowed).sum(),
        (borrowed & ~known).sum(),
    )
    taken = source[borrowed & known]
    if taken.empty:
        raise InvalidDataError("kz2008: no offer was taken up and has a repayment record")
    loans = quotes.loc[taken.index].drop(columns=["propensity", "accepted"])
    return loans.assign(
        principal=taken["loansize"],
        term_months=taken["term"],
        quoted_rate=_fraction(taken["final4"]),
        defaulted=taken["pstdue_average"] / taken["loansize"] > BAD_SHARE,
    )


def _applicants(portfolio: Portfolio, source: pd.DataFrame) -> dict[str, pd.Series]:
    fields = [field for field in portfolio.fields if field.role is not Role.LEAK]
    return {field.name: cleaned("kz2008", field, SUPPLIED[field.name](source)) for field in fields}


def _usable(portfolio: Portfolio, quotes: pd.DataFrame) -> pd.Series:
    """Whether each offer has every required value; says which values were lacking."""
    fits = {f.name: permitted(f, quotes[f.name]) for f in portfolio.features if f.required}
    fits["principal"] = quotes["principal"] > 0
    fits["quoted_rate"] = quotes["quoted_rate"].between(0, 1)
    fits["period"] = quotes["period"].notna()
    usable = pd.DataFrame(fits).all(axis=1)
    if not usable.all():
        lacking = ", ".join(f"{name} {(~fit).sum()}" for name, fit in fits.items() if (~fit).any())
        logger.warning("kz2008: %d offers lack a required value: %s", (~usable).sum(), lacking)
    return usable


def _terms_shown(source: pd.DataFrame, terms: tuple[int, ...]) -> np.ndarray:
    """Return the one maturity shown, or else the permitted one nearest the last (ties: shorter)."""
    last = source["lastterm"].fillna(0).to_numpy(dtype=float)
    permitted = np.array(terms)
    nearest = permitted[np.abs(last[:, None] - permitted).argmin(axis=1)]
    shown = source["termshown"].to_numpy(dtype=float)
    return np.where(np.isin(shown, permitted), shown, nearest)


def _propensity(source: pd.DataFrame) -> pd.Series:
    """Return the density of each offered rate per unit of rate, within risk x wave.

    A histogram: the share of the cell's offers in the rate's half-point bin over the bin's width.
    Every offer lies in its own bin, so the density is above 0.
    """
    cell = [source["risk"], source["wave"]]
    bins = np.floor(_fraction(source["offer4"]) / PROPENSITY_BIN + 1e-9)
    rates = source["offer4"]
    share = rates.groupby([*cell, bins]).transform("size") / rates.groupby(cell).transform("size")
    return share / PROPENSITY_BIN


def _fraction(points: pd.Series) -> pd.Series:
    """Return a rate in points as a fraction; the file keeps some in single precision."""
    return (points / 100).round(6)


def _yes_no(flags: pd.Series) -> pd.Series:
    return flags.map({0: "no", 1: "yes"}).astype("str")


def _province(source: pd.DataFrame) -> pd.Series:
    """Return the province; the file writes Limpopo Province where the declaration has Limpopo."""
    return source["province"].str.strip().str.replace(r"^Limpopo Province$", "Limpopo", regex=True)


SUPPLIED = {
    "risk_class": lambda source: source["risk"].str.strip(),
    "bureau_score": lambda source: source["itcscore"].where(source["itczero"] != 1),
    "internal_score": lambda source: source["appscore"].where(source["appscore0"] != 1),
    "months_dormant": lambda source: source["dormancy"],
    "prior_loans": lambda source: source["trcount"],
    "last_term_months": lambda source: source["lastterm"],
    "gross_monthly_income": lambda source: (source["grossincome"] * 1000).round(2),
    "educated": lambda source: _yes_no(source["edhi"]),
    "rural": lambda source: _yes_no(source["rural"]),
    "female": lambda source: _yes_no(source["female"]),
    "married": lambda source: _yes_no(source["married"]),
    "age": lambda source: source["age"],
    "dependants": lambda source: source["dependants"],
    "province": _province,
}
