"""What a ScaledObject's trigger says in its `metadata`."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Literal

from pydantic import Field

from lwmecps_core.config import config, parse
from lwmecps_core.errors import InvalidInput, Violation
from lwmecps_core.specs import Positive, TaskSpec

Id = Annotated[str, Field(min_length=1, max_length=128)]
KEDA_OWN = frozenset(("scalerAddress", "enableTLS", "unsafeSsl"))
"""Keys that are for KEDA itself, and come along."""
SOURCE = "scalerMetadata"


@config
class Sizing:
    """Which policy sizes the Deployments of which task, and when its word counts."""

    policy: Id
    """Stored policy."""
    task: Id
    """Registered task with the cluster that the policy sees."""
    backend: Literal["kubernetes", "simulated"] = "kubernetes"
    """Where the task's cluster is; simulated: to try it out."""
    hold_s: Positive = 300.0
    """How long the last good size stands in where there is no new one."""
    sure_share: Annotated[float, Field(ge=0.0, le=1.0)] = 0.5
    """Share of the policy's draws that must be near its best choice for that to count; 0: it always does."""


@config
class Trigger(Sizing):
    """What sizes, and which of the task's Deployments is asked about."""

    deployment: str = ""
    """Default: the task's only one."""
    node: str = ""
    """Count replicas at this node of the task only, for a Deployment that stands there; default: at all."""

    @property
    def sizing(self) -> Sizing:
        """The part that all Deployments of the task share."""
        return Sizing(
            policy=self.policy, task=self.task, backend=self.backend, hold_s=self.hold_s, sure_share=self.sure_share
        )


def trigger_of(metadata: Mapping[str, str]) -> Trigger:
    """A trigger's metadata; raises `InvalidInput` naming each key that is wrong."""
    return _parsed(frozenset((key, value) for key, value in metadata.items() if key not in KEDA_OWN))


@lru_cache(maxsize=1024)
def _parsed(items: frozenset[tuple[str, str]]) -> Trigger:
    trigger: Trigger = parse(Trigger, dict(items), SOURCE)
    return trigger


def place_of(trigger: Trigger, task: TaskSpec) -> tuple[int, int | None]:
    """Which deployment of the task, and which node (None: all); raises `InvalidInput` for a name that it has not."""
    names, nodes = [d.name for d in task.deployments], [node.name for node in task.cluster.nodes]
    name = trigger.deployment or (names[0] if len(names) == 1 else "")
    wrong = [] if name in names else [Violation("deployment", f"{name!r} is none of the task's: {', '.join(names)}")]
    if trigger.node and trigger.node not in nodes:
        wrong.append(Violation("node", f"{trigger.node!r} is none of the task's: {', '.join(nodes)}"))
    if wrong:
        raise InvalidInput(SOURCE, wrong)
    return names.index(name), nodes.index(trigger.node) if trigger.node else None


def check_namespace(namespace: str, sizing: Sizing, task: TaskSpec) -> None:
    """Raise `InvalidInput` where the task's cluster is not where the ScaledObject is."""
    if sizing.backend != "kubernetes":
        return
    if task.kubernetes is None:
        reason = "the task does not say where its cluster is (`kubernetes`)"
        raise InvalidInput(SOURCE, [Violation("task", reason)])
    if namespace != task.kubernetes.namespace:
        reason = f"its Deployments are in namespace {task.kubernetes.namespace}, the ScaledObject in {namespace}"
        raise InvalidInput(SOURCE, [Violation("task", reason)])
