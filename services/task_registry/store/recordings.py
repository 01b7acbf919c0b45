"""Recorded users apart from the tasks that have them, and what is said of both in lists."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from lwmecps_core.specs import TaskDistribution, TaskSpec
from services.task_registry.domain import Recording, TaskSummary


def take_out(plain: Mapping[str, Any]) -> tuple[dict[str, Any], bytes]:
    """A dumped task or distribution without its recorded users, and these: float64 in C order (empty: it has none)."""
    rows = _holder(plain)["recorded_users"]
    return _with_rows(plain, []), np.asarray(rows, "<f8").tobytes()


def put_in(plain: Mapping[str, Any], numbers: bytes, recording: Recording) -> dict[str, Any]:
    """The inverse of `take_out`."""
    return _with_rows(plain, np.frombuffer(numbers, "<f8").reshape(recording.steps, recording.nodes).tolist())


def summary_of(kind: str, spec: TaskSpec | TaskDistribution, numbers: bytes) -> TaskSummary:
    """What lists say of a task whose recorded users are `numbers`."""
    if isinstance(spec, TaskSpec):
        nodes, deployments = len(spec.cluster.nodes), len(spec.deployments)
    else:
        nodes, deployments = spec.nodes, spec.deployments
    recording = None
    if numbers:
        recording = Recording(hashlib.sha256(numbers).hexdigest(), len(numbers) // (8 * nodes), nodes)
    return TaskSummary(kind, spec.env_id, spec.family, nodes, deployments, spec.horizon, recording)


def summary_to_plain(summary: TaskSummary) -> dict[str, Any]:
    """A summary as JSON can hold it."""
    return asdict(summary)


def summary_from_plain(plain: Mapping[str, Any]) -> TaskSummary:
    """The inverse of `summary_to_plain`."""
    recording = plain["recording"]
    return TaskSummary(**{**plain, "recording": Recording(**recording) if recording else None})


def _holder(plain: Mapping[str, Any]) -> Mapping[str, Any]:
    """What has the recorded users: a task's workload, or the distribution itself."""
    holder: Mapping[str, Any] = plain.get("workload", plain)
    return holder


def _with_rows(plain: Mapping[str, Any], rows: list[Any]) -> dict[str, Any]:
    changed = {**_holder(plain), "recorded_users": rows}
    return {**plain, "workload": changed} if "workload" in plain else changed
