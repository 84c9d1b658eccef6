"""Say what the image holds, as CycloneDX JSON: asked of the image itself, not of what it was to be.

    python deploy/sbom.py finntelligence:latest --engine docker --output build/sbom.json

Python, every Python distribution, and every Debian package that the base image came with. Some of
those are there in name alone: the build takes away what installs software, and other languages.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

# run inside: what is installed, in the words of those who installed it
ASK = """
import importlib.metadata, json, pathlib, platform
found = [
    [d.name, d.version, d.metadata.get("License-Expression")]
    for d in importlib.metadata.distributions()
]
status = pathlib.Path("/var/lib/dpkg/status")
print(json.dumps({
    "python": platform.python_version(),
    "distributions": sorted(found),
    "dpkg": status.read_text() if status.exists() else "",
}))
"""


def components(held: Mapping[str, Any]) -> Iterable[Component]:
    """Yield what an image says that it holds."""
    python = PackageURL("generic", None, "python", held["python"])
    yield _component(python, ComponentType.PLATFORM)
    for name, version, licence in held["distributions"]:
        yield _component(PackageURL("pypi", None, name, version), licence=licence)
    for paragraph in held["dpkg"].split("\n\n"):
        said = dict(line.split(": ", 1) for line in paragraph.splitlines() if ": " in line)
        if said.get("Status", "").endswith(" installed"):
            where = {"arch": said["Architecture"]}
            yield _component(PackageURL("deb", "debian", said["Package"], said["Version"], where))


def _component(
    url: PackageURL, kind: ComponentType = ComponentType.LIBRARY, licence: str | None = None
) -> Component:
    licences = [] if licence is None else [LicenseFactory().make_from_string(licence)]
    return Component(
        name=url.name, version=url.version, type=kind, purl=url, licenses=licences, bom_ref=str(url)
    )


def written(held: Mapping[str, Any], image: str) -> str:
    """Return the bill of materials of an image, as JSON that its schema allows.

    Raises:
        ValueError: when the schema does not.
    """
    bom = Bom(components=components(held))
    whole = Component(name=image, type=ComponentType.CONTAINER, bom_ref="image")
    bom.metadata.component = whole
    bom.register_dependency(whole, bom.components)
    text = JsonV1Dot6(bom).output_as_string(indent=2)
    if error := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text):
        raise ValueError(f"no CycloneDX: {error}")
    return text


def main() -> None:
    """Write what the image that the command line names holds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("image")
    parser.add_argument("--engine", choices=("docker", "podman"), default="docker")
    parser.add_argument("--output", type=Path, default=Path("build/sbom.json"))
    said = parser.parse_args()
    run = [said.engine, "run", "--rm", "--network=none", "--entrypoint=python", said.image]
    asked = subprocess.run([*run, "-c", ASK], capture_output=True, encoding="utf-8", check=False)
    if asked.returncode:
        sys.exit(f"sbom: {asked.stderr.strip()}")
    said.output.parent.mkdir(parents=True, exist_ok=True)
    said.output.write_text(written(json.loads(asked.stdout), said.image), encoding="utf-8")


if __name__ == "__main__":
    main()
