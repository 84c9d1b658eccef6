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
# # 04 Registration and explanation
#
# A model that cannot be found again, or cannot say why, is of no use to a lender. This notebook
# takes the pair of one book through the pipeline's own functions: MLflow run, registered version,
# BentoML model store; and then asks the stored model why.
#
# Tracking server, registry and model store live in a scratch folder that goes when the notebook's
# kernel goes. Nothing reaches the project's own.

# %%
import os
import tempfile
from pathlib import Path

import bentoml
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import shap

from finntelligence import __version__
from finntelligence.decision import decide
from finntelligence.explain import attribution as parts_of
from finntelligence.explain import cell_terms, effects, nearest_cell
from finntelligence.features import design_matrix
from finntelligence.market import Market
from finntelligence.optimiser import optimum
from finntelligence.portfolio import Capability
from training.evidence.attribution import attribution
from training.evidence.decisions import applications
from training.evidence.subject import Subject
from training.exploration import opened, prepared
from training.fitting.artefact import load_artefact
from training.fitting.price_response import columns_of
from training.stages import file_digest, load_policy
from training.tracking import client, ensured_run, registered_version
from training.train import train

scratch = tempfile.TemporaryDirectory(prefix="finnt-")
here = Path(scratch.name)
os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{here / 'mlflow.db'}"
os.environ["BENTOML_HOME"] = str(here / "bentoml")
os.environ["BENTOML_DO_NOT_TRACK"] = "True"
source = opened("kz2008")
book = source.portfolio
print(source)

# %% [markdown]
# ## Log and register
#
# `train` is the stage itself: it fits, saves the artefact and logs the run with its parameters,
# metrics, signature, environment, and the SHA-256 of artefact and data. To register the same run
# again makes no second version.

# %%
paths = prepared(source, here)
os.chdir(here)  # the stages work in the project they are run in, here the scratch one
versions = {}
for kind in sorted(Capability):
    train(kind, book.name)
    versions[kind] = registered_version(paths, kind, ensured_run(paths, kind))
    again = registered_version(paths, kind, ensured_run(paths, kind))
    assert again.version == versions[kind].version

pd.DataFrame(
    {kind: client().get_run(version.run_id).data.metrics for kind, version in versions.items()}
).style.format(precision=4, na_rep="")

# %%
tags = {k: client().get_run(v.run_id).data.tags for k, v in versions.items()}
told = [name for name in tags[Capability.RISK] if not name.startswith("mlflow.")]
pd.DataFrame(tags).loc[sorted(told)].style.set_properties(**{"text-align": "left"})

# %% [markdown]
# In a project the next step is `finnt promote`: the gate compares this pair with the one in
# production before anything is served. Here we go straight to the store.

# %% [markdown]
# ## Into the model store
#
# A tag names one version of one run and can mean nothing else; the digest says whether the file in
# the store is the file that was trained, to the byte.

# %%
stored = {}
for kind, version in versions.items():
    tag = f"{version.name}:v{version.version}-{version.run_id[:12]}"
    kept = bentoml.mlflow.import_model(tag, f"models:/{version.name}/{version.version}")
    file = next(Path(kept.path).rglob("model.ubj"))
    assert file_digest(file) == file_digest(paths.model(kind))
    stored[kind] = load_artefact(file, kind, book)
    print(f"{kept.tag}: the trained file, SHA-256 {file_digest(file)[:16]}...")

# %% [markdown]
# ## Why is the risk what it is?
#
# `attribution` splits each logit exactly: Shapley values of the trees, terms of the linear part,
# and what the offer itself adds. One dot is one held-out loan; red is a high value of a number, and
# categories and offer terms have one colour.

# %%
subject = Subject.read(paths, Capability.RISK, book)
rows = subject.holdout.sample(min(500, len(subject.holdout)), random_state=7)
parts = attribution(subject, rows)
inputs = {**parts.fields, **{f"offer: {name}": part for name, part in parts.offer.items()}}
values = np.stack(list(inputs.values()), axis=1)
shown = rows.reindex(columns=list(inputs), fill_value="").astype(object)
shown = shown.where(shown.notna(), "absent")
ranks = shown.apply(pd.to_numeric, errors="coerce").rank(pct=True).fillna(0.5)
explanation = shap.Explanation(
    values=values,
    base_values=np.full(len(rows), parts.base),
    data=ranks.to_numpy(),
    display_data=shown.to_numpy(),
    feature_names=list(inputs),
)
shap.plots.beeswarm(explanation, max_display=12, show=False)
plt.title(f"{book.name}: risk")
plt.show()
print(f"the parts add up to the model's own logit within {parts.additivity_error:.1e}")

# %% [markdown]
# The same for one loan: from the mean logit to its own.

# %%
riskiest = int(np.argmax(parts.logit))
shap.plots.waterfall(explanation[riskiest], max_display=10, show=False)
plt.show()

# %% [markdown]
# ## A decline, with its reasons
#
# The law asks for something else than a Shapley plot: the specific principal reasons, in words, at
# most four, from the part of the decision that failed (12 CFR 1002.9(b)(2)). The engine tells those
# factors that raise the risk above the mean *approved* applicant's. Here is the riskiest of the
# held-out applicants for whom the stored pair finds no offer.

# %%
market = Market(
    portfolio=book,
    policy=load_policy(book),
    risk=stored[Capability.RISK].response,
    acceptance=stored[Capability.ACCEPTANCE].response,
)
acceptance = Subject.read(paths, Capability.ACCEPTANCE, book)
asking = acceptance.holdout.sample(min(500, len(acceptance.holdout)), random_state=7)
matrix = design_matrix(book, columns_of(book, asking))
pairs = list(
    zip(*(stored[kind].coefficients(matrix) for kind in ("risk", "acceptance")), strict=True)
)
people = applications(book, asking)
optima = [optimum(who, market, *pair) for who, pair in zip(people, pairs, strict=True)]
declined = [place for place, found in enumerate(optima) if not found.offers]
print(f"offers for {1 - len(declined) / len(people):.0%} of {len(people)} held-out applicants")

# %%
place = max(declined, key=lambda each: pairs[each][0][0])
who, pair = people[place], pairs[place]
contributions = stored[Capability.RISK].contributions(matrix[place : place + 1])[0]
ids = {str(kind): f"{version.name}/{version.version}" for kind, version in versions.items()}
decision = decide(who, market, pair, {**ids, "engine": __version__}, optima[place], contributions)
for reason in decision.reasons:
    print(f"{reason.code}: {reason.text} [{reason.source}]")
if decision.counter_offer:
    print(decision.counter_offer)

# %% [markdown]
# And the picture behind the words: what each group adds to the logit of default against the mean
# approved applicant, at the lowest rate of the cell nearest to the request. A reason must push to
# the right.

# %%
cell = nearest_cell(who, market, pair, who.requested_principal, who.requested_term_months)
terms = cell_terms(who, market, cell, np.array([cell.first]))
pushed = effects(parts_of(market.risk, contributions, pair[0], terms), market.risk)
pushed = pd.Series({each.label: each.effect for each in pushed[:10]})[::-1]
fig, ax = plt.subplots(figsize=(9, 0.8 + 0.3 * len(pushed)), layout="constrained")
ax.barh(pushed.index, pushed, color=np.where(pushed > 0, "#d55e00", "#0072b2"))
ax.axvline(0, color="black", lw=0.8)
ax.set(xlabel="logit of default, against the mean approved applicant")
plt.show()
