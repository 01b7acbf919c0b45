"""Runs as the predecessor showed its tasks."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.timestamp_pb2 import Timestamp

from protos.lwmecps.registry.v1 import run_pb2

KINDS = {
    "train": run_pb2.RUN_KIND_TRAIN,
    "meta_train": run_pb2.RUN_KIND_META_TRAIN,
    "transfer": run_pb2.RUN_KIND_TRANSFER,
}
STATES = {
    run_pb2.RUN_STATE_PENDING: "pending",
    run_pb2.RUN_STATE_RUNNING: "running",
    run_pb2.RUN_STATE_PAUSED: "paused",
    run_pb2.RUN_STATE_COMPLETED: "completed",
    run_pb2.RUN_STATE_FAILED: "failed",
    run_pb2.RUN_STATE_CANCELLED: "failed",
}
"""The predecessor had no state for what was stopped."""
FORMER_METRICS = {"meta_loss": "meta_losses", "total_reward": "episode_rewards", "steps": "episode_lengths"}
"""Metric → what `progress` called the list of its values."""


def state(run: run_pb2.Run) -> str:
    """Where a run is, in the predecessor's words; what was created and not yet claimed is `pending`."""
    if run.state == run_pb2.RUN_STATE_PAUSED and not run.HasField("start_time"):
        return "pending"
    return STATES.get(run.state, "pending")


def percent(run: run_pb2.Run) -> float:
    """How far a run is, in per cent."""
    if run.state == run_pb2.RUN_STATE_COMPLETED:
        return 100.0
    return round(min(100.0, 100.0 * run.step / run.total_steps), 2) if run.total_steps else 0.0


def task(run: run_pb2.Run) -> dict[str, Any]:
    """A run as a task of the predecessor; what is only ours comes last."""
    return {
        "id": run.id,
        "_id": run.id,
        "name": run.spec.label,
        "description": run.labels.get("description", ""),
        "model_type": _model(run),
        "state": state(run),
        "progress": percent(run),
        "error_message": _error(run),
        "current_episode": run.step,
        "total_episodes": run.total_steps,
        "metrics": {name: [value] for name, value in numbers(run.latest_metrics).items()},
        "parameters": _settings(run),
        "wandb_run_id": run.wandb_run_id or None,
        "created_at": _time(run.create_time),
        "updated_at": _time(run.update_time),
        "policy_id": run.result_policy_id or None,
        "task_ids": list(run.spec.task_ids),
        "waiting_for": run.waiting_for or None,
    }


def progress(run: run_pb2.Run, points: Sequence[run_pb2.MetricPoint]) -> dict[str, Any]:
    """How far a run is, with the values of every metric in the order of its steps."""
    series: dict[str, list[Any]] = {}
    for point in points:
        series.setdefault(point.name, []).append(_number(point.value))
    former = {name: series.get(ours, []) for ours, name in FORMER_METRICS.items()}
    kept = ("state", "progress", "current_episode", "total_episodes", "error_message", "wandb_run_id", "waiting_for")
    shown = task(run)
    own = {"meta_method": _method(run), "num_tasks": max(run.spec.num_tasks, len(run.spec.task_ids))}
    return (
        {"task_id": run.id}
        | {name: shown[name] for name in kept}
        | (own | {"meta_parameters": _settings(run)} if run.spec.HasField("meta_train") else {})
        | {"metrics": series | former}
    )


def results(run: run_pb2.Run, points: Sequence[run_pb2.MetricPoint]) -> list[dict[str, Any]]:
    """One entry for every step, with all of its metrics."""
    steps: dict[int, dict[str, Any]] = {}
    times: dict[int, str | None] = {}
    for point in points:
        steps.setdefault(point.step, {})[point.name] = _number(point.value)
        times[point.step] = _time(point.time)
    return [
        {
            "id": f"{run.id}-{step}",
            "task_id": run.id,
            "episode": step,
            "metrics": metrics,
            "timestamp": times[step],
            "wandb_run_id": run.wandb_run_id,
        }
        for step, metrics in sorted(steps.items())
    ]


def numbers(metrics: Mapping[str, float]) -> dict[str, Any]:
    """Metrics by name, as JSON can write them."""
    return {name: _number(value) for name, value in sorted(metrics.items())}


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _error(run: run_pb2.Run) -> str | None:
    return "stopped on request" if run.state == run_pb2.RUN_STATE_CANCELLED else run.error or None


def _model(run: run_pb2.Run) -> str:
    algorithm = run.spec.algorithm.WhichOneof("algorithm") or "ppo"
    return f"meta_{algorithm}" if run.spec.HasField("meta_train") else str(algorithm)


def _method(run: run_pb2.Run) -> str:
    return str(run.spec.meta_train.WhichOneof("learner") or "maml")


def _settings(run: run_pb2.Run) -> dict[str, Any]:
    kind = run.spec.WhichOneof("settings")
    return MessageToDict(getattr(run.spec, kind), preserving_proto_field_name=True) if kind else {}


def _time(stamp: Timestamp) -> str | None:
    return stamp.ToJsonString() if stamp.seconds else None
