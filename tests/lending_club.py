"""Made-up Lending Club loans, written in both of the published shapes."""

import numpy as np
import pandas as pd

from finntelligence import cashflow

STATES = ["AZ", "GA", "CA", "NY"]
PURPOSES = ["debt_consolidation", "car", "wedding", "renewable_energy"]
LENGTHS = ["< 1 year", "1 year", "5 years", "10+ years", None]
CODES = [1, 2, 6, 11, 0]  # of those lengths in the compact shape


def made_loans(rows=240, seed=3):
    """Return contracts and borrowers; the worse the grade, the more of them default."""
    draw, i = np.random.default_rng(seed), np.arange(rows)
    grade = draw.integers(1, 36, rows)  # 1 is A1
    principal = 25.0 * draw.integers(40, 1400, rows)
    term, rate = np.where(i % 3 == 0, 60, 36), np.round(0.055 + 0.0055 * grade, 4)
    return pd.DataFrame(
        {
            "grade": grade,
            "term": term,
            "rate": rate,
            "principal": principal,
            "instalment": cashflow.monthly_payment(principal, rate, term).round(2),
            "income": 1000.0 * draw.integers(20, 150, rows),
            "dti": draw.uniform(0, 30, rows).round(2),
            "balance": draw.integers(0, 40_000, rows),
            "utilisation": draw.uniform(0, 100, rows).round(1),
            "accounts": draw.integers(2, 30, rows),
            "delinquencies": i % 7 // 6 * 2,
            "records": i % 11 // 10,
            "length": i % len(LENGTHS),
            "purpose": np.array(PURPOSES)[i % len(PURPOSES)],
            "home": np.array(["RENT", "OWN", "MORTGAGE", "OTHER"])[i % 4],
            "bad": draw.uniform(size=rows) < 0.02 + 0.018 * grade,
        }
    )


def compact(loans):
    """Return them as the 19-column file has them, with the columns that nobody reads."""
    letter, digit = (loans["grade"] - 1) // 5, (loans["grade"] - 1) % 5 + 1
    return pd.DataFrame(
        {
            "status": np.where(loans["bad"], "Charged Off", "Fully Paid"),
            "loan_amnt": loans["principal"].astype(int),
            "term": loans["term"].astype(str) + " months",
            "annual_inc": loans["income"].astype(int),
            "dti": loans["dti"],
            "payment_inc_ratio": 1200 * loans["instalment"] / loans["income"],
            "revol_bal": loans["balance"].astype(float),
            "revol_util": loans["utilisation"],
            "purpose": loans["purpose"].replace("renewable_energy", "other"),
            "home_ownership": loans["home"],
            "delinq_2yrs_zero": (loans["delinquencies"] == 0).astype(int),
            "pub_rec_zero": (loans["records"] == 0).astype(int),
            "open_acc": loans["accounts"],
            "grade": 6 - letter + digit / 5,
            "outcome": np.where(loans["bad"], "default", "paid off"),
            "emp_length": np.array(CODES)[loans["length"]],
            "emp_len_": " > 1 Year",
        }
    )


def full(loans):
    """Return them as the 74-column file has them, with some that tell the outcome."""
    i = np.arange(len(loans))
    return pd.DataFrame(
        {
            "loan_amnt": loans["principal"] + 1000 * (i % 5 == 0),
            "funded_amnt": loans["principal"],
            "term": " " + loans["term"].astype(str) + " months",
            "int_rate": (100 * loans["rate"]).round(2),
            "installment": loans["instalment"],
            "sub_grade": ["ABCDEFG"[(g - 1) // 5] + str((g - 1) % 5 + 1) for g in loans["grade"]],
            "emp_length": np.array(LENGTHS, dtype=object)[loans["length"]],
            "home_ownership": loans["home"].replace("OTHER", "NONE"),
            "annual_inc": loans["income"],
            "issue_d": np.where(i % 2 == 0, "Dec-2011", "Jan-2012"),
            "loan_status": np.where(loans["bad"], "Charged Off", "Fully Paid"),
            "purpose": loans["purpose"],
            "addr_state": np.array(STATES)[i % len(STATES)],
            "dti": loans["dti"],
            "delinq_2yrs": loans["delinquencies"],
            "open_acc": loans["accounts"],
            "pub_rec": loans["records"],
            "revol_bal": loans["balance"],
            "revol_util": loans["utilisation"],
            "total_pymnt": np.where(loans["bad"], 0.3, 1.2) * loans["principal"],
            "recoveries": np.where(loans["bad"], 100.0, 0.0),
            "out_prncp": 0.0,
            "last_pymnt_d": "Jan-2015",
        }
    )
