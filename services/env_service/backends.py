"""What stands behind a session: the simulator, the simulator under recorded load, or a cluster of its own."""

import math
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from lwmecps_core.errors import InvalidInput, NotFound, Violation
from lwmecps_core.run_config import RECORDED, SIMULATED, Backend
from lwmecps_core.specs import TaskSpec
from lwmecps_core.tasks.profiles import RecordedLoad, load_profiles, profile_task
from services.env_service.session import SimulatedSession

if TYPE_CHECKING:
    from lwmecps_core.cluster.base import ClusterBackend
    from services.env_service.cluster_session import ClusterSession


def _kubernetes(task: TaskSpec) -> "ClusterBackend":
    # Imported when first needed: the client takes long to import.
    from lwmecps_core.cluster.kubernetes import KubernetesBackend

    return KubernetesBackend(task)


CLUSTERS: dict[str, Callable[[TaskSpec], "ClusterBackend"]] = {"kubernetes": _kubernetes}
"""Name of a backend → how to get at that cluster for a task; the simulator needs none."""


def open_session(backend: Backend, task: TaskSpec, size: int, seed: int) -> "SimulatedSession | ClusterSession":
    """A session of `size` environments.

    Raises `InvalidInput` for more than one on a cluster of its own, and for a backend that this service can't open.
    """
    if backend in (SIMULATED, RECORDED):
        return SimulatedSession(task, size, seed)
    if backend not in CLUSTERS:
        raise InvalidInput("request", [Violation("backend", f"this service can't open {backend}")])
    if size != 1:
        raise InvalidInput("request", [Violation("num_envs", f"must be 1 on a cluster, not {size}")])
    from services.env_service.cluster_session import ClusterSession  # it imports the environments

    return ClusterSession(CLUSTERS[backend](task), seed)


def backend_task(backend: Backend, profile: str, task: TaskSpec, profiles_root: Path | None) -> TaskSpec:
    """The task as the backend will run it.

    Raises `InvalidInput` for a profile that is not the backend's or does not fit the task, `NotFound` for one that the
    service does not have.
    """
    if backend != RECORDED:
        if profile:
            raise InvalidInput("request", [Violation("profile", "only BACKEND_LOAD_PROFILE takes a profile")])
        return task
    if profile:
        return profile_task(_recorded(profile_folder(profile, profiles_root)), task)
    if task.workload.pattern != "recorded":
        reason = "must be set, or the task's workload must be recorded"
        raise InvalidInput("request", [Violation("profile", reason)])
    return task


def profile_folder(profile: str, root: Path | None) -> Path:
    """The folder of a profile, which must lie under `root`, links resolved."""
    if root is None:
        raise NotFound("profile (this service has no folder of profiles)", profile)
    base = root.resolve()
    if "\0" in profile or not (folder := (base / profile).resolve()).is_relative_to(base) or folder == base:
        reason = "must name a folder under the service's folder of profiles"
        raise InvalidInput("request", [Violation("profile", reason)])
    if not folder.is_dir():
        raise NotFound("profile", profile)
    return folder


def check_size(task: TaskSpec, size: int, most: int) -> int:
    """How many numbers `size` simulated environments keep; raises `InvalidInput` for more than `most` of one kind.

    What a task needs by itself, the task's own checks have bounded.
    """
    pools = len(task.deployments) * len(task.cluster.nodes)
    counts = max(d.max_replicas for d in task.deployments) + 1
    slots = max(d.startup_s for d in task.deployments) / task.interval_s
    kept = {
        "num_envs": size * pools * counts,  # action masks
        "task.interval_s": size * pools * slots,  # pods that start
    }
    too_large = [
        Violation(field, f"the session would keep {numbers:.3g} numbers; at most {most} are allowed")
        for field, numbers in kept.items()
        if numbers > most
    ]
    if too_large:
        raise InvalidInput("request", too_large)
    return math.ceil(sum(kept.values()))


@lru_cache(maxsize=8)
def _recorded(folder: Path) -> RecordedLoad:
    return load_profiles(folder)
