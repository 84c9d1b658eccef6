import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
STUBS = ROOT / "serving" / "stubs"


def test_the_stubs_are_what_protoc_makes_of_the_proto_file(tmp_path):
    source = "-Iserving/stubs=proto/finntelligence/v1"
    places = [f"--{kind}_out={tmp_path}" for kind in ("python", "pyi", "grpc_python")]
    command = [sys.executable, "-m", "grpc_tools.protoc", source, *places]
    subprocess.run([*command, "serving/stubs/offers.proto"], cwd=ROOT, check=True)
    made = {path.name: path.read_text() for path in (tmp_path / "serving" / "stubs").iterdir()}
    ours = {path.name: path.read_text() for path in STUBS.glob("offers_pb2*")}
    assert made == ours
