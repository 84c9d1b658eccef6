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
# # 01 Exploration and cleaning
#
# Two real books, two kinds of knowledge. `kz2008` holds loan **offers** whose interest rates were
# drawn at random, so it can say what a price does. `lending_club` holds **loans** whose rates the
# lender set by its own grade, so it can say who defaults, and not much about prices.
#
# Where an original file is not at hand the simulated book stands in, and the first output says so.
# [data/README.md](../data/README.md) tells where to get the originals.

# %%
import matplotlib.pyplot as plt
import numpy as np

from finntelligence.fields import Kind
from training.exploration import balance, classes, completeness, draw_shares, opened, shares
from training.stages import start_log

start_log()  # so that a loader says below what it cleans
offers, loans = opened("kz2008"), opened("lending_club")
print(offers, loans, sep="\n\n")

# %% [markdown]
# ## What cleaning did
#
# The lines above the two titles are the loaders' own account. They do three things and nothing
# else: an optional value outside its declared bounds becomes absent (an age of 0), a row that lacks
# a required value is left out and counted, and a file that would lose too many rows is refused.
# Nothing is imputed: the models know what to do with an absent value.
#
# Bounds, units and roles come from the book's declaration in `portfolios/`. A `feature` may teach a
# model; `protected` and `group` fields exist for fairness tests alone.

# %%
quotes, book = offers.tables.quotes, offers.portfolio
complete = completeness(book, quotes)
complete.style.format(precision=2, na_rep="").format("{:.1%}", subset="absent")

# %%
absent = quotes.groupby("period")[complete.index.tolist()].agg(lambda column: column.isna().mean())
absent = absent.loc[:, (absent > 0).any()]
fig, ax = plt.subplots(figsize=(8, 3), layout="constrained")
if not absent.empty:
    absent.T.plot.barh(ax=ax, width=0.8)
ax.set(xlabel="share absent", title=f"{book.name}: what is absent, by period")
plt.show()

# %% [markdown]
# Absence has a history. In the real file a whole mailer wave lacks incomes, so "income unknown"
# means "mailed early", which is no trait of a client. Notebook 02 shows how that is kept from
# bending the price slope.

# %% [markdown]
# ## The experiment
#
# Everything the acceptance model says about prices rests on one claim: within a class and a period
# the price was drawn, not chosen. The claim can be looked at. First the prices themselves: the line
# is the mean list price of the class.

# %%
drawn = quotes[quotes["is_randomised"]].assign(of_class=classes(book, quotes))
groups = list(drawn.groupby("of_class", observed=True))
fig, axes = plt.subplots(1, len(groups), figsize=(11, 2.8), sharex=True, layout="constrained")
for ax, (name, part) in zip(np.atleast_1d(axes), groups, strict=True):
    ax.hist(100 * part["quoted_rate"], bins=40, color="#0072b2")
    ax.axvline(100 * part["list_rate"].mean(), color="#d55e00")
    ax.set(title=f"{name}: {len(part):,} offers", xlabel="quoted rate, points")
plt.show()

# %% [markdown]
# Then the test. If the draw was fair, nothing known about a client tells which price the client
# got, so the z of each feature's correlation with the price is near standard normal: about one in
# twenty lies outside the grey band by chance.

# %%
fair = balance(book, quotes)
fig, ax = plt.subplots(figsize=(8, 0.8 + 0.26 * len(fair)), layout="constrained")
ax.plot(fair["z"], fair.index, "o", color="#0072b2")
ax.axvspan(-1.96, 1.96, color="#e5e5e5", zorder=0)
ax.axvline(0, color="black", lw=0.8)
ax.set(xlabel="z of the correlation with the drawn price", title="Does a client know the price?")
plt.show()
beyond = (fair["z"].abs() > 1.96).mean()
print(f"{beyond:.0%} beyond 1.96; root mean square of z is {np.sqrt((fair['z'] ** 2).mean()):.2f}")

# %% [markdown]
# The density of each drawn price, its `propensity`, is what off-policy evaluation divides by. In
# `kz2008` it is an estimate (a histogram within class and wave); in the simulated book it is known.

# %%
fig, ax = plt.subplots(figsize=(8, 3), layout="constrained")
for name, part in groups:
    known = part.dropna(subset="propensity")
    ax.plot(100 * known["quoted_rate"], known["propensity"], ".", ms=3, label=str(name))
ax.set(xlabel="quoted rate, points", ylabel="density per unit of rate")
ax.legend(title="class", markerscale=4)
plt.show()

# %% [markdown]
# ## Take-up along the price
#
# On the left all offers together, on the right class by class. Only the right one is an experiment:
# who is offered which range depends on the class, so the pooled curve mixes what a price does with
# whom it was offered to.

# %%
fig, (left, right) = plt.subplots(1, 2, figsize=(11, 3.6), sharey=True, layout="constrained")
draw_shares(left, shares(drawn, "accepted", "quoted_rate", bins=8), color="#6f6f6f")
for name, part in groups:
    draw_shares(right, shares(part, "accepted", "quoted_rate", bins=5), fmt="o-", label=str(name))
left.set(title="pooled", xlabel="quoted rate", ylabel="share accepted, 95 %")
right.set(title="by class", xlabel="quoted rate")
right.legend()
plt.show()

# %% [markdown]
# ## Loans
#
# Now the other book. The compact Lending Club file has no rate column: the loader solves it from
# the instalment, and leaves out loans whose rate comes out where Lending Club never lent.

# %%
booked, lender = loans.tables.loans, loans.portfolio
numbers = [field.name for field in lender.features if field.kind is not Kind.CATEGORY][:5]
fig, axes = plt.subplots(2, 3, figsize=(11, 5.5), sharey=True, layout="constrained")
for ax, name in zip(axes.flat, ["quoted_rate", *numbers], strict=True):
    draw_shares(ax, shares(booked, "defaulted", name), ms=4)
    field = lender.field(name)
    ax.set(title=name, xlabel=field.unit if field else "fraction a year")
axes[0, 0].set_ylabel("share defaulted")
axes[1, 0].set_ylabel("share defaulted")
plt.show()

# %% [markdown]
# Default climbs with the rate more steeply than with anything else, and still the first panel says
# nothing about what a rate *does*: the lender charged more to those it expected to default. A model
# that read the panel as an effect would refuse to lower any price. Notebook 03 shows what is done
# about that.
