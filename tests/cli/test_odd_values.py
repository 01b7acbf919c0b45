"""Values that are of the right kind, and that nothing can be done with: one line and the code for wrong input."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lwmecps_core import reading
from lwmecps_core.errors import InvalidInput
from lwmecps_core.rollout.spec_codec import fill
from lwmecps_core.run_config import MetaConfig, PPOConfig, TrainConfig
from lwmecps_core.tasks.files import read_task_file
from protos.lwmecps.common.v1 import settings_pb2

NOWHERE = ("--registry", "127.0.0.1:1", "--learner", "127.0.0.1:1", "--env", "127.0.0.1:1")
ROOT = Path(__file__).resolve().parents[2]


def _told(words: tuple[str | bytes, ...], **variables: str) -> tuple[int, str]:
    command: list[str | bytes] = [sys.executable, "-m", "services.cli.main", *NOWHERE, *words]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    done = subprocess.run(command, capture_output=True, env=environment, check=False, timeout=60)
    return done.returncode, (done.stdout + done.stderr).decode(errors="replace")


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("train", "--task", "t", "--total-episodes", "99999999999"), "total_episodes"),
        (("train", "--task", "t", "--seed", "9" * 20, "--total-episodes", "4"), "seed"),
        (("evaluate", "p", "--task", "t", "--task-seed", "9" * 20), "task_seed"),
        (("adapt", "p", "--task", "t", "--num-tasks", "99999999999"), "num_tasks"),
        (("train", "--task", "t", "--hidden-size", "100000000"), "hidden_size"),
        (("meta-train", "--task", "t", "--meta-batch-size", "100000000"), "meta_batch_size"),
        (("task", "show", b"\xff"), "UTF-8"),
        (("context", "delete", b"\xff", "--task", "t"), "UTF-8"),
    ],
)
def test_a_value_beyond_the_contract_is_one_line(words: tuple[str | bytes, ...], named: str) -> None:
    code, text = _told(words)
    assert code == 2 and named in text and "Traceback" not in text, text


@pytest.mark.parametrize("token", ["ä", "a\nb", "中"])
def test_a_token_that_no_call_can_carry_is_refused_by_its_variable(token: str) -> None:
    code, text = _told(("runs",), LWMECPS_CLIENT_TOKEN=token)
    assert code == 2 and "LWMECPS_CLIENT" in text and "printable ASCII" in text and token not in text, text


def test_a_file_is_read_up_to_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MOST_BYTES", 2**20)
    large = tmp_path / "task.yaml"
    large.write_text("name: " + "x" * 2**20)
    for file in (large, Path("/dev/zero")):
        with pytest.raises(InvalidInput, match="more than 1 MiB"):
            read_task_file(file)


def test_a_number_that_the_contract_has_no_room_for_is_named() -> None:
    with pytest.raises(InvalidInput, match="total_episodes"):
        fill(TrainConfig(total_episodes=2**40), settings_pb2.TrainConfig())
    fill(MetaConfig(meta_batch_size=10_000), settings_pb2.MetaConfig())
    fill(PPOConfig(hidden_size=(4096,)), settings_pb2.PPOConfig())
