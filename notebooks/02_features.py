# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     notebook_metadata_filter: kernelspec,-jupytext.text_representation.jupytext_version
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 02 Features
#
# From an applicant to numbers: one encoding (`finntelligence.features`) serves a single row and a
# million, training and the service. This notebook looks at what the encoding makes of a book, and
# at the three screens that a feature passes before it may do anything: it must be known in time,
# it must not be a prohibited basis, and it may modify the price slope only if it stays put.

# %%
import tempfile
from dataclasses import asdict
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from finntelligence.errors import InvalidDeclarationError
from finntelligence.features import application_columns, design_matrix, feature_names, source_of
from finntelligence.fields import Kind, Role
from finntelligence.offers import application
from finntelligence.portfolio import Portfolio
from finntelligence.proxies import proxy_strength
from training.exploration import opened, prepared
from training.fitting.basis import basis_columns, slope_modifiers
from training.fitting.drift import drift
from training.fitting.hyperparameters import FitParams
from training.fitting.price_response import columns_of
from training.stages import read_params
from training.tables import read_table

source = opened("kz2008")
book = source.portfolio
print(source)

# %% [markdown]
# ## Who may see what
#
# A field's role is declared, and the loader holds the declaration to it: a field known only after
# the decision is a `leak`, and a book that calls one a feature is refused.

# %%
said = [(str(field.role), field.name, str(field.kind), field.meaning) for field in book.fields]
pd.DataFrame(sorted(said), columns=["role", "field", "kind", "meaning"]).style.hide()

# %% [markdown]
# The law is in the declaration too: what Regulation B (12 CFR 1002) keeps out of an evaluation
# cannot be declared a feature, under any usual name.

# %%
sex = {"type": "category", "values": ["f", "m"], "role": "feature", "meaning": "Sex"}
sex["reason"] = "Sex of the applicant"
declaration = book.declaration
try:
    Portfolio.from_mapping({**declaration, "fields": {**declaration["fields"], "gender": sex}})
except InvalidDeclarationError as refusal:
    print(refusal)

# %% [markdown]
# ## The design matrix
#
# Numbers keep their unit, a category has a flag for each value, absent stays absent (NaN). Here is
# the declaration's example applicant as the models see one.

# %%
asked = application(book, **book.example)
row = design_matrix(book, application_columns(asked))
pd.DataFrame(row.T, index=feature_names(book), columns=["example"])

# %% [markdown]
# ## What steadies and what drifts
#
# The population stability index compares the first with the last periods of the training part.
# A feature at or above the limit may still tell people apart, but it may not modify the price
# slope: a slope learned from a trait that moves with time is a slope of time.

# %%
scratch = tempfile.TemporaryDirectory(prefix="finnt-")
paths = prepared(source, Path(scratch.name))
train = read_table(paths.processed / "train" / "quotes.parquet")
settings = read_params("acceptance", FitParams, paths.root)
matrix = design_matrix(book, columns_of(book, train))
moved = drift(matrix, train["period"].to_numpy(), feature_names(book))
index = pd.Series(moved).sort_values()

fig, ax = plt.subplots(figsize=(8, 0.8 + 0.25 * len(index)), layout="constrained")
steady = index < settings.drift_limit
ax.barh(index.index, np.maximum(index, 1e-4), color=np.where(steady, "#0072b2", "#d55e00"))
ax.axvline(settings.drift_limit, color="black", ls="--")
ax.set(xscale="log", xlabel="population stability index, first to last periods", title=book.name)
plt.show()

# %% [markdown]
# ## What the linear parts are made of
#
# A winsorised z-score and its square for a number, a flag for a category's value, and a flag for
# "absent" where an optional number is. The last column says which may modify the price slope:
# steady ones that are known for everybody. Who leaves a field empty changes with the form, so an
# absence flag never may.

# %%
columns = basis_columns(book, matrix)
drifting = [name for name, value in moved.items() if value >= settings.drift_limit]
modifiers = slope_modifiers(columns, book, drifting)
made = [(c.feature, c.kind, "yes" if j in modifiers else "") for j, c in enumerate(columns)]
table = pd.DataFrame(made, columns=["column", "made of it", "may modify the slope"])
table.groupby("column", sort=False).agg({"made of it": ", ".join, "may modify the slope": "max"})

# %% [markdown]
# Even these modify it only where the book has events enough (`acceptance.minimum_events`); below
# that the slope is one constant.

# %%
events = int(train["accepted"].sum())
found = "the slope varies" if events >= settings.minimum_events else "one constant slope"
print(f"{events:,} acceptances to learn from, {settings.minimum_events:,} needed: {found}")

# %% [markdown]
# ## What gives a group away
#
# A feature can stand in for a characteristic that no model may see. The area under the ROC curve of
# each column alone, as a test of membership, says how well: .5 is not at all. Suspicion reports and
# refuses nothing; it is for people to judge.

# %%
field = next(f for f in book.fields if f.role is Role.PROTECTED and f.kind is Kind.CATEGORY)
member = (train[field.name] == field.values[-1]).to_numpy()
named = dict(zip(feature_names(book), matrix.T, strict=True))
proxies = pd.DataFrame(map(asdict, proxy_strength(named, member))).dropna(subset="auc")[::-1]
reach = [proxies["auc"] - proxies["low"], proxies["high"] - proxies["auc"]]
fig, ax = plt.subplots(figsize=(8, 0.8 + 0.25 * len(proxies)), layout="constrained")
ax.errorbar(proxies["auc"], proxies["column"], xerr=reach, fmt="o", capsize=3, color="#0072b2")
ax.axvline(0.5, color="black", lw=0.8)
ax.set(xlabel=f"AUC for {field.name} = {field.values[-1]}, 95 %", title="Proxies")
plt.show()
print("suspected:", ", ".join(proxies.loc[proxies["suspected"].eq(True), "column"]) or "none")

# %% [markdown]
# Reasons and fairness speak of fields, not of columns; `source_of` leads from one to the other.

# %%
fields = sorted({source_of(name) for name in feature_names(book)})
print(f"{len(feature_names(book))} columns of {len(fields)} fields: {', '.join(fields)}")
