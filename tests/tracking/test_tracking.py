"""Trackers file metrics under the run's prefix and never get in a run's way."""

import json
import time
from pathlib import Path

import pytest

from lwmecps_core.errors import InvalidInput
from lwmecps_core.tracking import JsonlTracker, TrackedRun, Trackers, WandbTracker, make_trackers

RUN = TrackedRun(id="run-1", name="first", prefix="maml", settings={"inner_lr": 0.01})


def _lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_jsonl_files_metrics_under_the_prefix_and_writes_no_nan(tmp_path: Path) -> None:
    tracker = JsonlTracker(tmp_path)
    tracker.start(RUN)
    tracker.log({"meta_loss": 0.5, "gradient_norm": float("nan")}, step=3)
    tracker.finish("COMPLETED")
    start, step, finish = _lines(tmp_path / "run-1.jsonl")
    assert start["settings"] == {"inner_lr": 0.01}
    assert (step["step"], step["maml/meta_loss"], step["maml/gradient_norm"]) == (3, 0.5, None)
    assert finish["outcome"] == "COMPLETED"


def test_jsonl_goes_on_in_the_same_file_when_a_run_resumes(tmp_path: Path) -> None:
    for step in (1, 2):
        tracker = JsonlTracker(tmp_path)
        tracker.start(RUN)
        tracker.log({"meta_loss": 1.0}, step=step)
        tracker.finish("PAUSED")
    assert [line["step"] for line in _lines(tmp_path / "run-1.jsonl") if "step" in line] == [1, 2]


def test_a_failing_tracker_is_left_out_and_the_others_go_on(tmp_path: Path) -> None:
    class Broken(JsonlTracker):
        calls = 0

        def log(self, metrics: object, step: int) -> None:
            Broken.calls += 1
            raise OSError("disk full")

    both = Trackers([Broken(tmp_path / "a"), JsonlTracker(tmp_path / "b")])
    both.start(RUN)
    both.log({"meta_loss": 1.0}, step=1)
    both.log({"meta_loss": 2.0}, step=2)
    both.finish("COMPLETED")
    assert Broken.calls == 1
    assert [line["maml/meta_loss"] for line in _lines(tmp_path / "b" / "run-1.jsonl") if "step" in line] == [1.0, 2.0]


@pytest.mark.parametrize(("names", "count"), [("none", 0), ("jsonl", 1), ("jsonl, wandb", 2), ("", 0)])
def test_the_environment_chooses_the_trackers(
    names: str, count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LWMECPS_TRACKING", names)
    assert len(make_trackers(tmp_path)._trackers) == count


def test_an_unknown_tracker_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="tensorboard: unknown tracker; one of jsonl, wandb, mlflow, none"):
        make_trackers(tmp_path, "tensorboard")


def test_a_tracker_whose_library_is_missing_is_refused_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lwmecps_core.tracking.find_spec", lambda name: None)
    with pytest.raises(InvalidInput, match=r"mlflow: not installed: pip install 'lwmecps\[mlflow\]'"):
        make_trackers(tmp_path, "jsonl,mlflow")


def test_wandb_without_a_key_writes_offline_under_the_runs_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WANDB_API_KEY", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    tracker = WandbTracker(tmp_path, patience_s=60)
    began = time.monotonic()
    tracker.start(RUN)
    assert time.monotonic() - began < 0.5, "a run must not wait for wandb to start"
    tracker.log({"meta_loss": 0.5}, step=1)
    tracker.finish("COMPLETED")
    assert tracker.external_id == "run-1"
    (file,) = tmp_path.glob("wandb/offline-run-*-run-1/*.wandb")
    deadline = time.monotonic() + 20
    while b"maml/meta_loss" not in file.read_bytes():  # wandb's own process writes the file behind our back
        assert time.monotonic() < deadline, "the metrics never reached the file"
        time.sleep(0.05)


def test_wandb_that_cannot_start_leaves_the_run_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: WandbTracker, run: TrackedRun) -> None:
        raise RuntimeError("no service")

    monkeypatch.setattr(WandbTracker, "_open", refuse)
    tracker = WandbTracker(tmp_path, patience_s=5)
    tracker.start(RUN)
    tracker.log({"meta_loss": 0.5}, step=1)
    tracker.finish("COMPLETED")
    assert tracker.external_id == ""
