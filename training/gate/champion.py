"""What is in production, to be compared with what would replace it."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace

from mlflow.entities.model_registry import ModelVersion

from finntelligence.errors import ModelMismatchError
from finntelligence.portfolio import Capability, Portfolio
from training.gate.aliases import digest_of, in_production, named, numbers
from training.gate.pair import OtherDeclarationError, Pair, registered_pair
from training.stages import Paths
from training.tracking import client

__all__ = ["Champion"]

log = logging.getLogger(__name__)

Versions = Mapping[Capability, ModelVersion]


@dataclass(frozen=True, slots=True, kw_only=True)
class Champion:
    """What is in production, and the pair itself where it can be compared with a challenger.

    `caveat` is what the verdicts say of it: why it cannot, or what makes the comparison unfair.
    """

    versions: Versions | None = None
    name: str | None = None
    pair: Pair | None = None
    said: str = "there is no champion yet"
    caveat: str = ""

    @classmethod
    def of(cls, paths: Paths, portfolio: Portfolio, challenger: Pair, ours: Versions) -> "Champion":
        """Read what is in production.

        Raises:
            ModelMismatchError: when it cannot be read, which must not lower the bar.
        """
        versions = in_production(paths, tuple(challenger.models))
        if versions is None:
            return cls()
        name = named(versions)
        known = cls(versions=versions, name=name, said=f"the champion is {name}")
        if name == challenger.name:
            return known
        try:
            digests = {model: digest_of(version) for model, version in versions.items()}
            pair = registered_pair(versions, portfolio, digests)
        except OtherDeclarationError as error:
            said = f"the champion {name} cannot be compared: {error}"
            log.warning("promote %s: %s", portfolio.name, said)
            return replace(known, said=said, caveat=said)
        except ModelMismatchError as error:
            raise ModelMismatchError(
                f"the champion {name} ({', '.join(numbers(versions).values())}) cannot be read: "
                f"{error}; restore its file in the registry's store, or leave it: "
                f"`finnt rollback {portfolio.name}`"
            ) from error
        return replace(known, pair=pair, caveat=_of_other_data(versions, ours))


def _of_other_data(champion: Versions, ours: Versions) -> str:
    """Say so where the champion learned from other data, hence perhaps from held-out rows."""
    learned = [
        {client().get_run(str(each.run_id)).data.tags.get("data_md5") for each in versions.values()}
        for versions in (champion, ours)
    ]
    same = learned[0] == learned[1]
    return "" if same else "it learned from other data, perhaps from some of these rows"
