"""Small models, saved as training saves them."""

import json

import numpy as np
import xgboost as xgb

from finntelligence.explain import BASE, OFFER_GROUPS
from finntelligence.features import feature_names, source_of
from finntelligence.heads import Head
from finntelligence.response import SPEC_ATTRIBUTE, PriceResponse


def one_head(model, portfolio):
    """Return a model of one head with trees, its approved applicants all alike."""
    features = feature_names(portfolio)
    groups = {BASE, *OFFER_GROUPS, *(source_of(feature) for feature in features)}
    return PriceResponse(
        model=model,
        portfolio=portfolio,
        features=features,
        basis=(),
        heads=(Head(name="intercept", phi="one", tree=True),),
        linear=np.zeros((1, 1)),
        calibration=(0.0, 1.0),
        income_fill=4000.0,
        evidence={"reference": dict.fromkeys(groups, 0.0)},
    )


def saved(folder, name, model, portfolio, **changes):
    """Save a model of one head and one tree; return the file."""
    response = one_head(model, portfolio)
    rows = xgb.DMatrix(np.zeros((4, len(response.features))), label=np.zeros(4))
    booster = xgb.train({"base_score": 0.5}, rows, num_boost_round=1)
    booster.set_attr(**{SPEC_ATTRIBUTE: json.dumps(response.to_mapping() | changes)})
    path = folder / f"{name}.ubj"
    booster.save_model(path)
    return path
