"""What tests of the library's face share: a folder with the examples, and one trained policy of each memory."""

import shutil
from pathlib import Path

import pytest

import lwmecps_core
from lwmecps_core.face.outcome import RunOutcome

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where it is written to: a folder with copies of the examples."""
    shutil.copytree(EXAMPLES, tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def trained() -> RunOutcome:
    return lwmecps_core.train(EXAMPLES / "city.yaml", total_episodes=8, seed=1)


@pytest.fixture(scope="session")
def measured() -> RunOutcome:
    return lwmecps_core.evaluate("hpa", EXAMPLES / "city.yaml", num_tasks=3, episodes=2)
