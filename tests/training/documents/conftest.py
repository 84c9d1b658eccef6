"""A trained pair to document: registered, with its evaluation, and never judged by a gate."""

import pytest

from training.documents.subject import documented
from training.stages import Paths, file_digest
from training.tracking import MODELS, client, ensured_run, registered_version


@pytest.fixture
def registered(project):
    """The id of a pair that this registry knows."""
    paths = Paths("simulated")
    name = "-".join(file_digest(paths.model(model))[:8] for model in MODELS)
    for model in MODELS:
        version = registered_version(paths, model, ensured_run(paths, model))
        client().set_model_version_tag(version.name, version.version, f"pair.{name}", "promoted")
    return name


@pytest.fixture
def about(registered):
    return documented("simulated")
