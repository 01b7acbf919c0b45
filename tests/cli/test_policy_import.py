"""`policies import`: what was learnt elsewhere is a policy like any other."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from lwmecps_core import algorithms, tensor_file
from lwmecps_core.envs.actions import env_spec
from lwmecps_core.policy import PolicyData, from_bytes, to_bytes
from lwmecps_core.run_config import PPOConfig
from lwmecps_core.specs import TaskDistribution
from lwmecps_core.tasks.families import draw
from services.cli.main import app

SPEC = env_spec(draw(TaskDistribution(nodes=2, deployments=2, max_replicas=4), 0))
CONFIG = PPOConfig(network="mlp", head="categorical", hidden_size=(8, 4))


def _run(*arguments: str) -> Any:
    return CliRunner().invoke(app, arguments)


def _policy() -> PolicyData:
    params, extra = algorithms.make(CONFIG, SPEC).init(torch.Generator().manual_seed(1))
    return PolicyData(CONFIG, SPEC, params, extra, metadata={"made_by": "somebody else", "steps": 3})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A policy file."""
    path = tmp_path / "elsewhere.safetensors"
    path.write_bytes(to_bytes(_policy()))
    return path


def test_an_imported_policy_is_listed_and_downloads_as_it_came(registry: str, file: Path, tmp_path: Path) -> None:
    stored = json.loads(_run("--registry", registry, "policies", "import", str(file), "--json").stdout)
    assert stored["name"] == "elsewhere" and "run_id" not in stored
    assert stored["labels"] == {"made_by": "somebody else"}
    assert stored["algorithm"]["ppo"]["head"] == "HEAD_CATEGORICAL"
    back = tmp_path / "back.safetensors"
    assert _run("--registry", registry, "policies", "download", stored["id"], "--to", str(back)).exit_code == 0
    assert back.read_bytes() == file.read_bytes()
    assert from_bytes(back.read_bytes(), "back").algorithm == CONFIG


def test_the_same_file_again_is_the_same_policy_and_under_another_name_another(registry: str, file: Path) -> None:
    def stored(*words: str) -> str:
        result = _run("--registry", registry, "policies", "import", str(file), *words)
        assert result.exit_code == 0, result.output
        return str(result.stdout.split()[0])

    assert stored() == stored() != stored("--name", "another")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not a policy file"),
        (b"PK\x03\x04 a zip of pickles", "not a policy file"),
        (tensor_file.write({"params/actor/w": torch.ones(2)}, {"format": "other"}), "format 'other'"),
        (tensor_file.write({"x": torch.ones(1)}, {"format": "lwmecps-policy-1"}), "not a policy file"),
    ],
)
def test_what_is_no_policy_is_refused_by_name(registry: str, tmp_path: Path, content: bytes, reason: str) -> None:
    file = tmp_path / "other"
    file.write_bytes(content)
    result = _run("--registry", registry, "policies", "import", str(file))
    assert result.exit_code == 2 and str(file) in result.stderr and reason in result.stderr
    assert _run("--registry", registry, "policies", "list", "--json").stdout.strip() == "[]"


def test_weights_that_are_not_those_of_the_declared_architecture_are_refused(registry: str, file: Path) -> None:
    policy = _policy()
    policy.params["actor"]["hidden1.weight"] = torch.zeros(8, 5)
    file.write_bytes(to_bytes(policy))
    result = _run("--registry", registry, "policies", "import", str(file))
    assert result.exit_code == 2
    assert f"{file}: weights: its actor/hidden1.weight has the shape (8, 5), not (8, 4)" in result.stderr


def test_what_can_not_be_read_or_named_is_refused(registry: str, file: Path, tmp_path: Path) -> None:
    for words, told in (
        ([str(tmp_path / "absent")], "absent"),
        ([str(tmp_path)], str(tmp_path)),
        ([str(file), "--name", "x" * 254], "name: must be at most 253 characters"),
    ):
        result = _run("--registry", registry, "policies", "import", *words)
        assert result.exit_code == 2 and told in result.stderr and "Traceback" not in result.stderr
