"""What is known about a cluster as one value that can be stored, shown and put back, and its file (safetensors)."""

import json
from dataclasses import dataclass
from typing import get_args

import numpy as np
import torch

from lwmecps_core import context, tensor_file
from lwmecps_core.config import Positive, config, dump
from lwmecps_core.context.base import PREFIX, Memory
from lwmecps_core.context.kept import check_memory
from lwmecps_core.errors import InvalidInput, Violation
from lwmecps_core.run_config import LearntContextName
from lwmecps_core.specs import ALL_ENV_IDS, EnvSpec, TaskSpec

FORMAT = "lwmecps-memory-1"


@config
class Subject:
    """Whose knowledge it is, and of which cluster."""

    context: str
    policy_id: str = ""
    """The policy that remembered it last."""
    task: str
    """The task's name."""
    env_spec: EnvSpec
    interval_s: Positive
    deployments: tuple[str, ...]
    """Names, in the order of the memory's rows."""
    max_replicas: tuple[int, ...]
    """Of each deployment: how busy replicas are is kept as a share of them."""
    nodes: tuple[str, ...]


@dataclass(frozen=True)
class Knowledge:
    """What a policy remembers of one cluster: name → `[1, ...]`, those of its context under `PREFIX`."""

    subject: Subject
    memory: Memory

    @property
    def kept(self) -> Memory:
        """The memory of its context."""
        return {name.removeprefix(PREFIX): x for name, x in self.memory.items() if name.startswith(PREFIX)}


def subject_of(task: TaskSpec, spec: EnvSpec, name: str, policy_id: str = "") -> Subject:
    """What the context `name` of a policy would know of a task, whose environment is `spec`."""
    return Subject(
        context=name,
        policy_id=policy_id,
        task=task.name,
        env_spec=spec,
        interval_s=task.interval_s,
        deployments=tuple(d.name for d in task.deployments),
        max_replicas=tuple(d.max_replicas for d in task.deployments),
        nodes=tuple(node.name for node in task.cluster.nodes),
    )


def check_fits(known: Knowledge, wanted: Subject, source: str) -> None:
    """Raise `InvalidInput` of `source` with both lists where what is known is of another cluster or context, or, beyond
    a context, by another policy, whose numbers mean something else.
    """
    subject, wrong = known.subject, []
    own = ("policy_id",) if len(known.kept) < len(known.memory) else ()
    for name in ("context", "deployments", "max_replicas", "nodes", "interval_s", *own):
        found, here = getattr(subject, name), getattr(wanted, name)
        if found != here:
            wrong.append(Violation(name, f"{_listed(found)} in the memory, {_listed(here)} in the policy and task"))
    if subject.env_spec.env_id != wanted.env_spec.env_id:
        reason = f"{subject.env_spec.env_id} in the memory, {wanted.env_spec.env_id} in the task"
        wrong.append(Violation("env_id", reason))
    if wrong:
        raise InvalidInput(source, wrong)


def to_bytes(known: Knowledge) -> bytes:
    """The file."""
    tensors = {name: torch.from_numpy(np.array(x)) for name, x in known.memory.items()}
    return tensor_file.write(tensors, {"format": FORMAT, "subject": json.dumps(dump(known.subject), sort_keys=True)})


def from_bytes(data: bytes, source: str) -> Knowledge:
    """Read `to_bytes`' output; raises `InvalidInput` naming `source` and what is wrong in it."""
    with tensor_file.reading(source, "memory", "memory file"):
        tensors, header = tensor_file.read(data)
        tensor_file.check_format(header, FORMAT)
        subject: Subject = tensor_file.entry(header, "subject", Subject, source)
        known = Knowledge(subject, {name: x.numpy() for name, x in tensors.items()})
        fresh = _nothing(known) if subject.context in context.REGISTRY else {}
    if subject.context in ("none", "privileged") or subject.context not in get_args(LearntContextName):
        raise InvalidInput(source, [Violation("context", f"{subject.context!r} remembers nothing")])
    if subject.context in context.REGISTRY and subject.env_spec.env_id not in ALL_ENV_IDS:
        reason = f"{subject.env_spec.env_id!r} is none of {', '.join(ALL_ENV_IDS)}"
        raise InvalidInput(source, [Violation("subject.env_spec.env_id", reason)])
    check_memory(source, known.kept, fresh)
    others = sorted(name for name in known.memory if not name.startswith(PREFIX))
    if wrong := [name for name in others if not np.isfinite(known.memory[name]).all()]:
        raise InvalidInput(source, [Violation(f"memory[{name}]", "holds what is no finite number") for name in wrong])
    return known


def _nothing(known: Knowledge) -> Memory:
    """What its context remembers where nothing was seen; raises `ValueError` rather than make what no file holds."""
    subject, shapes = known.subject, dict(known.subject.env_spec.blocks)
    d, n = shapes["deployment"][0], len(subject.nodes)
    if not d == len(subject.deployments) == len(subject.max_replicas) or shapes.get("node", (n,))[0] != n:
        raise ValueError("there must be one name for every deployment and node of env_spec")
    if "pair" in shapes and (shapes["pair"][:2] != (d, n) or d * n > sum(x.size for x in known.memory.values())):
        raise ValueError("env_spec is larger than what is remembered")
    return context.REGISTRY[subject.context](subject.env_spec).begin(1)


def _listed(value: str | float | tuple[object, ...]) -> str:
    return f"[{', '.join(map(str, value))}]" if isinstance(value, tuple) else str(value)
