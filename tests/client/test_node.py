"""The example in Node.js, on real services; where its packages are installed (`.ci/run` does that)."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.learner_service.conftest import Learner, Registry, registry, start_learner
from tests.learner_service.fakes import summing_loop

__all__ = ["registry", "start_learner"]

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples/node"
PACKAGES = [folder for folder in (EXAMPLE, ROOT / ".cache/node-example") if (folder / "node_modules/@grpc").is_dir()]


@pytest.fixture
def client(tmp_path: Path) -> Path:
    """The example in a folder with its packages, and the contracts beside it."""
    if not shutil.which("node"):
        pytest.skip("no node")
    if not PACKAGES:
        pytest.skip("the packages of examples/node are not installed: npm install --prefix .cache/node-example")
    (tmp_path / "node_modules").symlink_to(PACKAGES[0] / "node_modules")
    image = [sys.executable, str(ROOT / "scripts/generate_protos.py"), "--image", str(tmp_path / "lwmecps.binpb")]
    subprocess.run(image, check=True, cwd=ROOT, timeout=100)
    return Path(shutil.copy(EXAMPLE / "client.mjs", tmp_path))


def _run(client: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = ["node", client.name, *words]
    return subprocess.run(command, cwd=client.parent, capture_output=True, text=True, timeout=100, check=False)


def test_the_node_example_starts_a_run_and_follows_it(
    client: Path, registry: Registry, start_learner: Callable[..., Learner]
) -> None:
    learner = start_learner(summing_loop(5)).server.address
    ran = _run(client, f"registry={registry.address}", f"learner={learner}")
    assert ran.returncode == 0, ran.stderr
    lines = ran.stdout.splitlines()
    assert lines[0].startswith("refused: INVALID_ARGUMENT") and "distribution.nodes" in lines[0]
    assert lines[1].endswith(" from-node") and lines[1].startswith("task: task-")
    assert "run: RUN_STATE_COMPLETED 5/5" in lines and lines[-1].startswith("policy: policy-")


def test_the_node_example_says_in_a_line_that_nobody_answers(client: Path) -> None:
    ran = _run(client, "registry=127.0.0.1:9", "learner=127.0.0.1:9")
    assert ran.returncode == 1 and ran.stderr.splitlines()[-1].startswith(("UNAVAILABLE", "DEADLINE_EXCEEDED"))
