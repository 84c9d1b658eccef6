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
# # 03 Risk model
#
# Will this loan default, and how does that move with its terms? The form is
#
# $$\operatorname{logit} p = a(x) + b \cdot \text{price} + c \cdot \text{payment over income} +
# d \cdot \log \text{term} + e \cdot \log \text{principal}$$
#
# A ridge logit gives $a$ a linear part in the applicant's features; XGBoost's trees are added if
# they earn their place on rows that the logit has not seen. The price may only raise the risk,
# never lower it, for anybody.

# %%
import tempfile
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from finntelligence.portfolio import Capability
from training.evidence.attribution import attribution
from training.evidence.importance import dependence, summary
from training.evidence.price_curves import Prices, violations
from training.evidence.reliability import reliability
from training.evidence.rivalry import compared, rivals
from training.evidence.scores import scores
from training.evidence.subject import Subject
from training.exploration import along_price, draw_shares, opened, prepared, price_slope
from training.fitting.price_response import FitParams, PriceResponseModel
from training.stages import read_params
from training.tables import read_table

source = opened("lending_club")
book = source.portfolio
print(source)

# %% [markdown]
# ## Split, fit
#
# Stage `prepare` holds rows out, the newest where the book has dates worth the name. To stay quick
# the notebook takes 30,000 loans at random; `make pipeline` takes them all.

# %%
scratch = tempfile.TemporaryDirectory(prefix="finnt-")
paths = prepared(source, Path(scratch.name), loans=30_000)
settings = read_params("risk", FitParams, paths.root)
train = read_table(paths.processed / "train" / "loans.parquet")
model = PriceResponseModel(book, Capability.RISK, **asdict(settings))
fit = model.fit(train, train["defaulted"]).evidence_
model.artefact_.save(paths.model("risk"))
subject = Subject.read(paths, Capability.RISK, book)
print(f"{fit['rows']:,} loans, {fit['events']:,} defaults, {fit['rounds']} rounds of trees kept")

# %% [markdown]
# Whether trees are kept is decided by a fifth of the training rows: the gain in log-loss must
# exceed two of its standard errors.

# %%
pd.Series(fit["holdout"]).to_frame("early stopping")

# %% [markdown]
# ## Is it right?
#
# All that follows is on held-out loans, which shaped nothing. Intervals are 95 % bootstrap
# percentiles over applicants. `gain` is the log-loss of a constant less the model's; a calibration
# slope of 1 and intercept of 0 would be perfect.

# %%
resampling = SimpleNamespace(bootstrap=100, seed=7)
held = subject.holdout
constant = float(subject.train["outcome"].mean())
found = scores(held["outcome"].to_numpy(), held["predicted"].to_numpy(), constant, resampling)
figures = {name: each for name, each in found.items() if isinstance(each, dict)}
pd.DataFrame(figures).T.style.format(precision=4)

# %%
curve = pd.DataFrame(reliability(held, "predicted", bins=10)).set_index("value")
fig, ax = plt.subplots(figsize=(5, 4), layout="constrained")
draw_shares(ax, curve, "observed", color="#d55e00", label="observed, 95 %")
ax.plot(curve.index, curve["predicted"], color="#0072b2", label="predicted")
ax.set(xlabel="predicted probability of default", ylabel="share defaulted", title=book.name)
ax.legend()
plt.show()

# %% [markdown]
# ## Beside plainer models
#
# Fitted on the same rows, asked the same questions: a monotone XGBoost classifier over applicant
# and offer, the same without the rate, and a hand-made logit. Above 0 the engine's model is better.
#
# The classifier that sees the rate has an unfair edge *here*: the lender set the rate by what it
# knew, so the rate carries knowledge. At quoting time the rate is ours to choose and carries none.

# %%
others = rivals(subject, settings, seed=7)
gains = {name: compared(subject, rival, resampling) for name, rival in others.items()}
gains = pd.DataFrame({name: each["holdout"]["model_gains"] for name, each in gains.items()}).T
fig, ax = plt.subplots(figsize=(8, 2.2), layout="constrained")
reach = [gains["value"] - gains["low"], gains["high"] - gains["value"]]
ax.errorbar(gains["value"], gains.index, xerr=reach, fmt="o", capsize=3, color="#0072b2")
ax.axvline(0, color="black", lw=0.8)
ax.set(xlabel="rival's log-loss less the model's, 95 %", title="Gain over plainer models")
plt.show()

# %% [markdown]
# ## What the price does
#
# In a book without price experiments the effect of the rate on default cannot be told from the
# lender's own judgement, so it is not estimated freely: the slope has a prior, declared with the
# book, and the data may move it no further than their own precision allows. For Lending Club the
# declaration holds it tight, because a free slope comes out three times the prior and means nothing
# ([data/README.md](../data/README.md) says why).

# %%
pd.DataFrame({"prior": fit["price_slope_prior"], "used, 95 %": price_slope(fit)}).style.format(
    precision=4, na_rep=""
)

# %% [markdown]
# On the left different people at the rates they got; on the right the same people at other rates.
# The left is steep because riskier people were charged more. Only the right is what a price does,
# and all that the engine reckons with when it lowers one.

# %%
by_rate = pd.DataFrame(reliability(held, "quoted_rate", bins=10)).set_index("value")
moved = along_price(subject, np.linspace(-4, 4, 9))
fig, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6), sharey=True, layout="constrained")
draw_shares(left, by_rate, "observed", color="#d55e00", label="observed, 95 %")
left.plot(by_rate.index, by_rate["predicted"], color="#0072b2", label="predicted")
right.plot(moved.index, moved["model"], color="#0072b2", label="predicted")
left.set(xlabel="rate of the loan", ylabel="probability of default", title="other people")
right.set(xlabel="points above the list price", title="the same people")
left.legend()
plt.show()

# %%
prices = Prices.seen(subject.train)
wrong = violations(subject.probability, subject, held.head(300), prices)
print(
    f"{wrong['violations']} falls of the risk along {wrong['ticks']:,} rising rates, 300 applicants"
)

# %% [markdown]
# ## What it looks at
#
# Exact Shapley values of the logit, of trees and linear parts together; notebook 04 takes one
# applicant apart. Below, the four fields that move the logit most, along their values.

# %%
rows = held.sample(min(1_000, len(held)), random_state=7)
parts = attribution(subject, rows)
print(f"parts add up to the model's own logit within {parts.additivity_error:.1e}")
ranked = pd.DataFrame(summary(parts)).set_index("input")
top = [name for name in ranked.index if name in parts.fields][:4]
fig, axes = plt.subplots(1, 4, figsize=(12, 3), sharey=True, layout="constrained")
for ax, name in zip(axes, top, strict=True):
    along = pd.DataFrame(dependence(rows[name], parts.fields[name]))
    labels = [v if isinstance(v, str) else f"{v:,.0f}" for v in along["value"]]
    ax.fill_between(along.index, along["low"], along["high"], alpha=0.2)
    ax.plot(along.index, along["mean"], ".-")
    ax.set_xticks(along.index, labels, rotation=60, ha="right", fontsize=7)
    ax.set_title(name)
axes[0].set_ylabel("contribution to the logit")
plt.show()

# %%
ranked.style.format(precision=3)
