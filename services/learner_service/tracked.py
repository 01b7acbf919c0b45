"""What trackers are told about a run, so that runs can be found, grouped and compared."""

import hashlib
import platform
from collections.abc import Sequence
from dataclasses import fields
from importlib.metadata import version
from typing import Any

from lwmecps_core.config import dump
from lwmecps_core.kinds import RunSettings, metric_prefix
from lwmecps_core.run_config import AlgorithmConfig
from lwmecps_core.specs import TaskDistribution, TaskSpec
from lwmecps_core.tracking import TrackedRun
from services.common.run_labels import SWEEP, SWEEP_RUN
from services.learner_service.jobs import Job

PACKAGES = ("lwmecps", "torch", "numpy", "numba", "gymnasium")


def tracked_run(job: Job, tasks: Sequence[TaskSpec | TaskDistribution]) -> TrackedRun:
    """A run with everything that decides its result: settings, seeds, its tasks, the policy that it starts from.

    Runs of one label are one group (they differ by seed, say); without a label those of one kind are.
    """
    spec, prefix = job.spec, metric_prefix(job.spec.kind, job.spec.settings)
    algorithm = {"algorithm": _told(spec.learns_by)} if spec.learns_by else {}
    families = sorted({task.family for task in tasks if task.family})
    environments = sorted({task.env_id for task in tasks})
    facts = {
        "kind": spec.kind,
        "label": spec.label,
        "seed": spec.seed,
        "task_ids": list(spec.task_ids),
        "num_tasks": spec.num_tasks,
        "task_seed": spec.task_seed,
        "calibration_task_ids": list(spec.calibration_task_ids),
        "source_task_ids": list(spec.source_task_ids),
        "family": ", ".join(families),
        "environment": ", ".join(environments),
        "policy": spec.policy_id,
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
    }
    by = (spec.learns_by.name,) if spec.learns_by else ()
    return TrackedRun(
        id=job.run_id,
        name=spec.label or job.run_id,
        prefix=prefix,
        settings=facts | _told(spec.settings) | algorithm,
        group=spec.label or prefix,
        job_type=spec.kind,
        tags=tuple(dict.fromkeys((prefix, *by, *environments, *families))),
        sweep=job.labels.get(SWEEP, ""),
        sweep_run=job.labels.get(SWEEP_RUN, ""),
    )


def _told(settings: RunSettings | AlgorithmConfig) -> dict[str, Any]:
    """Settings as plain data, with the digest of a file in place of what is in it."""
    values = {field.name: getattr(settings, field.name) for field in fields(settings)}
    digests = {n: f"sha256:{hashlib.sha256(x).hexdigest()}" for n, x in values.items() if isinstance(x, bytes)}
    return dict(dump(settings)) | digests
