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
# # 05 Acceptance model
#
# Will the customer take this offer, and how does that move with its price? Everything the engine
# earns hangs on that slope, and no hold-out score can tell whether it is right: a model may rank
# customers well and still be wrong about prices. So the slope is held against two judges: an
# experiment, in which nature drew the prices, and a simulator, in which the truth is known.

# %%
import tempfile
from dataclasses import asdict
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython.display import Image

from finntelligence.portfolio import Capability
from finntelligence.rates import Price
from training.evidence.elasticity import semi_elasticities
from training.evidence.figures import draw_elasticities, draw_price_curves
from training.evidence.price_curves import Prices, observed_prices, price_curves, violations
from training.evidence.subject import Subject
from training.exploration import WORLD, along_price, opened, prepared, price_slope, simulated
from training.fitting.price_response import FitParams, PriceResponseModel
from training.fitting.rivals import PlainClassifier
from training.stages import load_policy, read_params
from training.tables import read_table

source = opened("kz2008")
book = source.portfolio
print(source)

# %% [markdown]
# ## Fit
#
# $$\operatorname{logit} p = a(x) - s(x) \cdot (\text{price} - \text{benchmark}) - \ldots$$
#
# with a slope $s$ that is never negative. With few acceptances to learn from it is one constant for
# all; from `acceptance.minimum_events` on it varies with the applicant, and a guard compares the
# slope that trees imply with the one that a plain fit finds.

# %%
scratch = tempfile.TemporaryDirectory(prefix="finnt-")
here = Path(scratch.name)
paths = prepared(source, here)
settings = read_params("acceptance", FitParams, here)
train = read_table(paths.processed / "train" / "quotes.parquet")
model = PriceResponseModel(book, Capability.ACCEPTANCE, **asdict(settings))
fit = model.fit(train, train["accepted"]).evidence_
model.artefact_.save(paths.model("acceptance"))
subject = Subject.read(paths, Capability.ACCEPTANCE, book)
slope = price_slope(fit)
print(f"{fit['rows']:,} offers, {fit['events']:,} taken")
print(f"{fit['randomised_share']:.0%} at a drawn price")
print(f"{fit['rounds']} rounds of trees kept")
pd.Series(slope).to_frame("logit for one price unit more").T.style.format(precision=4)

# %% [markdown]
# ## The price response beside the drawn prices
#
# Points are what held-out customers did at prices drawn at random, with 95 % intervals; the line is
# what the model says of them. The band shows how customers differ, not how sure the model is.

# %%
prices = Prices.quotable(load_policy(book, here))
picture = here / "price.png"
curves = price_curves(subject, prices, sample=300, seed=7)
draw_price_curves(curves, observed_prices(subject), f"{book.name}: acceptance", picture)
Image(picture)

# %%
wrong = violations(subject.probability, subject, subject.holdout.head(300), prices)
print(f"{wrong['violations']} rises of acceptance along {wrong['ticks']:,} rates, 300 applicants")

# %% [markdown]
# ## Elasticity, by experiment and by model
#
# The same regression twice: of what customers did on the drawn price, with a dummy for each class
# and period, and of what the model predicted for the same offers. The first is the causal effect
# with its interval; the second is the model's belief about that very figure. First on held-out
# offers alone, which are few; then on all history, which includes what the model learned from.

# %%
every = pd.concat([subject.holdout, subject.train], ignore_index=True)
held, history = (
    semi_elasticities(frame, {"model": frame["predicted"].to_numpy()})
    for frame in (subject.holdout, every)
)
found = {"held-out": held["all"], **{f"history, {name}": row for name, row in history.items()}}
picture = here / "elasticity.png"
draw_elasticities(found, f"{book.name}: one price unit more", picture)
Image(picture)

# %% [markdown]
# In the unit that economists use, d ln P / d ln rate, at the mean drawn rate:

# %%
rate = every.loc[every["is_randomised"], "quoted_rate"].mean() / Price.UNIT
told = {name: {**row["randomised"], "model": row["model"]} for name, row in found.items()}
(rate * pd.DataFrame(told).T.drop(columns="slope")).style.format(precision=2)

# %% [markdown]
# On the real book demand is inelastic: an elasticity between 0 and -1 says that a lower rate wins
# too few customers to pay for itself by volume alone. Karlan and Zinman found the same below the
# standard rate, and a steeper response above it, where this book has few offers; the policy's price
# range ends at the standard rate for that reason.

# %% [markdown]
# ## The oracle of W1
#
# The simulator knows what it hides. In its world W1 staff set most prices, and they sense how keen
# a customer is; the log does not show what they sense. A fit that takes prices as they come reads
# "the keen were charged more" as "a price does little". Here are a small book, fitted the same way,
# and the usual plain classifier beside the truth, all of the same newest customers:

# %%
toy = simulated()
print(toy)
paths = prepared(toy, here / "w1")
train = read_table(paths.processed / "train" / "quotes.parquet")
model = PriceResponseModel(toy.portfolio, Capability.ACCEPTANCE, **asdict(settings))
fit = model.fit(train, train["accepted"]).evidence_
model.artefact_.save(paths.model("acceptance"))
judged = Subject.read(paths, Capability.ACCEPTANCE, toy.portfolio)
plain = PlainClassifier(toy.portfolio, Capability.ACCEPTANCE).fit(train, train["accepted"])
others = {"plain classifier": plain.probability}
along = along_price(judged, np.linspace(-5, 5, 21), others, world=WORLD)

# %%
fig, ax = plt.subplots(figsize=(7, 4), layout="constrained")
ax.plot(along["truth"], color="#009e73", lw=4, alpha=0.5, label="truth")
ax.plot(along["model"], color="#0072b2", ls="--", label="model")
ax.plot(along["plain classifier"], color="#6f6f6f", ls=":", label="plain classifier")
ax.set(xlabel="points above list", ylabel="mean acceptance, newest customers", title=WORLD)
ax.legend()
plt.show()
along.drop(columns="truth").sub(along["truth"], axis=0).abs().max().rename("furthest from truth")

# %% [markdown]
# What staff sensed is in the fit as `control`, the distance of a discretionary price from the list:
# fitted, reported, and dropped when quoting, for a quote of ours carries no such hint.

# %%
pd.DataFrame({name: fit[name] for name in ("estimates", "standard_errors")}).style.format(
    precision=3
)
