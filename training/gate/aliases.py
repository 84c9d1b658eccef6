"""The registry's aliases of a pair: both models move together, and a half move is mended.

A version may stand in several pairs, so what became of a pair is a tag of its own on each version.
"""

import logging
from collections.abc import Mapping, Sequence

from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from finntelligence.errors import ModelMismatchError
from finntelligence.portfolio import Capability
from training.gate.history import PRODUCTION, PROMOTED, ROLLED_BACK, standing
from training.gate.pair import pair_of
from training.stages import Paths
from training.tracking import client, registered_name

__all__ = [
    "aliased",
    "aliased_pair",
    "digest_of",
    "in_production",
    "mark",
    "mark_everywhere",
    "marked",
    "named",
    "numbers",
    "point",
    "versions_of",
    "was_rolled_back",
]

log = logging.getLogger(__name__)

Versions = Mapping[Capability, ModelVersion]

_ABSENT = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")  # no such model; no such alias


def aliased(portfolio_name: str, model: Capability, alias: str) -> ModelVersion | None:
    """Return the version behind an alias, None where there is none."""
    name = registered_name(portfolio_name, model)
    try:
        return client().get_model_version_by_alias(name, alias)
    except MlflowException as error:
        if error.error_code not in _ABSENT:
            raise
        return None


def aliased_pair(
    portfolio_name: str, models: Sequence[Capability], alias: str
) -> dict[Capability, ModelVersion] | None:
    """Return the versions behind an alias, None where a model has none."""
    found = {model: aliased(portfolio_name, model, alias) for model in models}
    there = {model: version for model, version in found.items() if version is not None}
    return there if len(there) == len(found) else None


def digest_of(version: ModelVersion) -> str:
    """Return the SHA-256 of the artefact that a version was made of."""
    digest: str = client().get_run(str(version.run_id)).data.tags["artefact_sha256"]
    return digest


def named(versions: Versions) -> str:
    """Return the id of the pair that versions make."""
    return pair_of({model: digest_of(version) for model, version in versions.items()})


def numbers(versions: Versions) -> dict[str, str]:
    """Return `name/number` of each version."""
    return {str(model): f"{each.name}/{each.version}" for model, each in versions.items()}


def mark(versions: Versions, pair: str, outcome: str) -> None:
    """Note on each version what became of a pair."""
    for each in versions.values():
        client().set_model_version_tag(each.name, each.version, f"pair.{pair}", outcome)


def mark_everywhere(versions: Versions, pair: str, outcome: str) -> None:
    """Note it on these versions, then on all that have a note of the pair: it was logged anew."""
    mark(versions, pair, outcome)
    for each in versions.values():
        for other in client().search_model_versions(f"name = '{each.name}'"):
            if f"pair.{pair}" in other.tags:
                client().set_model_version_tag(other.name, other.version, f"pair.{pair}", outcome)


def marked(versions: Versions, pair: str) -> str | None:
    """Return what became of a pair, None where its versions do not say the same."""
    fresh = (client().get_model_version(each.name, each.version) for each in versions.values())
    found = {each.tags.get(f"pair.{pair}") for each in fresh}
    return found.pop() if len(found) == 1 else None


def was_rolled_back(portfolio_name: str, models: Sequence[Capability], pair: str) -> bool:
    """Whether a person has taken a pair out of production."""
    return all(
        any(
            each.tags.get(f"pair.{pair}") == ROLLED_BACK
            for each in client().search_model_versions(
                f"name = '{registered_name(portfolio_name, model)}'"
            )
        )
        for model in models
    )


def point(versions: Versions, alias: str) -> None:
    """Set an alias on every version; if that is interrupted, the alias stays where it was."""
    server = client()
    before = {
        each.name: server.get_registered_model(each.name).aliases.get(alias)
        for each in versions.values()
    }
    try:
        for each in versions.values():
            server.set_registered_model_alias(each.name, alias, each.version)
    except BaseException:
        for name, number in before.items():
            if number is None:
                server.delete_registered_model_alias(name, alias)
            else:
                server.set_registered_model_alias(name, alias, str(number))
        raise


def in_production(
    paths: Paths, models: Sequence[Capability]
) -> dict[Capability, ModelVersion] | None:
    """Return the production pair, None where there is none yet.

    Aliases that never were promoted as one pair are what a kill between the two leaves: they go
    back to the pair that the history says is in force.

    Raises:
        ModelMismatchError: when the registry has lost a version of that pair.
    """
    found = aliased_pair(paths.portfolio, models, PRODUCTION)
    if found is not None and marked(found, named(found)) == PROMOTED:
        return found
    stack = standing(paths)
    if not stack:
        return None
    back = versions_of(stack[-1]["versions"])
    if marked(back, stack[-1]["pair"]) != PROMOTED:  # the history is another registry's
        return None
    log.warning(
        "%s: the production aliases were on no promoted pair; they are on %s again",
        *(paths.portfolio, stack[-1]["pair"]),
    )
    point(back, PRODUCTION)
    return back


def versions_of(recorded: Mapping[str, str]) -> dict[Capability, ModelVersion]:
    """Return the versions that `numbers` wrote down.

    Raises:
        ModelMismatchError: when the registry no longer has one.
    """
    found = {}
    for model, number in recorded.items():
        name, _, version = number.rpartition("/")
        try:
            found[Capability(model)] = client().get_model_version(name, version)
        except MlflowException as error:
            raise ModelMismatchError(f"the registry has no {number} any more") from error
    return found
