"""What rollouts, rules and runs come to, as SHA-256: `python -m tests.golden.digests` writes them beside this file.

They are those of the commit that wrote them, so that a change of structure can be shown to change no result. Floating
point differs between kinds of processors and releases of PyTorch and NumPy: `machine()` says where they hold, and each
kind has its own. On a new kind they are recorded before anything is changed.
"""

import hashlib
import json
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numba
import numpy as np
import torch

from lwmecps_core import algorithms, baselines
from lwmecps_core.baselines.run import run_baseline
from lwmecps_core.batch import FIELDS, RolloutBatch
from lwmecps_core.envs.actions import env_spec
from lwmecps_core.errors import InvalidInput
from lwmecps_core.meta import REGISTRY as METHODS
from lwmecps_core.policy import PolicyData
from lwmecps_core.rollout.collector import CollectionPlan, Collector, PolicySnapshot
from lwmecps_core.rollout.spec_codec import ALGORITHMS
from lwmecps_core.rollout.unroll import LocalCollector
from lwmecps_core.run_config import (
    META_LEARNERS,
    AdaptConfig,
    AlgorithmConfig,
    EvaluateConfig,
    MetaConfig,
    PPOConfig,
    TrainConfig,
    TransferConfig,
)
from lwmecps_core.specs import ALL_ENV_IDS, TaskDistribution, TaskSpec
from lwmecps_core.tasks.families import draw
from lwmecps_core.testing.examples import A_RULE
from lwmecps_core.training import adapt, evaluate, meta_train, train, transfer
from lwmecps_core.training.progress import Progress

FILE = Path(__file__).with_name("digests.json")
CITY = TaskDistribution(nodes=3, deployments=2, max_replicas=4, horizon=12)
SMALL = {"hidden_size": (8, 8), "batch_size": 32, "n_epochs": 2, "updates_per_batch": 3, "memory_size": 100} | A_RULE
PLAN = CollectionPlan(seeds=(5, 6, 7), episodes=2)
TRANSFERS = ("feature_extraction", "fine_tuning", "layer_wise", "domain_adaptation")

Source = TaskDistribution | tuple[TaskSpec, ...]


def machine() -> str:
    """What results in floating point depend on beside the code."""
    versions = f"torch {torch.__version__}, numpy {np.__version__}, numba {numba.__version__}"
    return f"{_processor()}, {torch.backends.cpu.get_cpu_capability()}, {versions}"


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    names = [line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
    return names[0] if names else platform.processor()


def of_arrays(arrays: Mapping[str, Any]) -> str:
    """One digest of named arrays: names, types, shapes and bytes."""
    total = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        total.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        total.update(array.tobytes())
    return total.hexdigest()


def of_batches(batches: Sequence[RolloutBatch]) -> str:
    """One digest of rollouts, everything in them included."""
    arrays: dict[str, Any] = {}
    for k, b in enumerate(batches):
        arrays |= {f"{k}/{name}": getattr(b, name) for name in FIELDS}
        arrays |= {f"{k}/extras/{name}": x for name, x in b.extras.items()}
        arrays |= {f"{k}/info/{name}": x for name, x in b.info.items()}
        arrays[f"{k}/origin"] = np.array([b.policy_version, b.seed])
    return of_arrays(arrays)


def of_policy(policy: PolicyData | None) -> str:
    """One digest of a policy's tensors."""
    if policy is None:
        return "none"
    trees = {"params": policy.params, "inner_lr": policy.learnt}
    arrays = {
        f"{kind}/{g}/{n}": x.numpy() for kind, t in trees.items() for g, names in t.items() for n, x in names.items()
    }
    return of_arrays(arrays | {f"extra/{n}": x.numpy() for n, x in policy.extra.items()})


def settings(name: str) -> AlgorithmConfig:
    """An algorithm in a small size."""
    cls = ALGORITHMS[name]()
    found: AlgorithmConfig = replace(cls, **{k: v for k, v in SMALL.items() if hasattr(cls, k)})
    return found


def tasks(env_id: str, count: int = 3) -> tuple[TaskSpec, ...]:
    """The first tasks of the city."""
    return tuple(draw(replace(CITY, env_id=env_id), seed) for seed in range(count))


def rollouts(collector: Collector) -> dict[str, str]:
    """`algorithm/environment/[shared, per task, greedy, held]` → digest, wherever the algorithm may act."""
    found = {}
    for name in algorithms.REGISTRY:
        for env_id in ALL_ENV_IDS:
            some = tasks(env_id)
            try:
                algo = algorithms.make(settings(name), env_spec(some[0]))
            except InvalidInput:
                continue
            params, extra = algo.init(torch.Generator().manual_seed(1))
            shared = PolicySnapshot(settings(name), params, extra, 3)
            many = PolicySnapshot(
                settings(name),
                {g: {n: torch.stack([x, x + 0.01, x - 0.01]) for n, x in names.items()} for g, names in params.items()},
                {n: torch.stack([x] * 3) for n, x in extra.items()},
                4,
                per_task=True,
            )
            held = (True, False, True) if env_id.startswith(("lwmecps-v3", "lwmecps-v4")) else ()
            ways = {
                "shared": (shared, PLAN),
                "per task": (many, replace(PLAN, length=17)),
                "greedy": (shared, replace(PLAN, greedy=True, held=held)),
            }
            for way, (snapshot, plan) in ways.items():
                found[f"{name}/{env_id}/{way}"] = of_batches(collector.collect(some, snapshot, plan))
    return found


def rules() -> dict[str, str]:
    """`rule/environment` → digest, wherever the rule makes sense."""
    found = {}
    for name in baselines.REGISTRY:
        for env_id in ALL_ENV_IDS:
            some = tasks(env_id, 2)
            try:
                batches = run_baseline(name, some, (5, 6), 2, training_tasks=some)
            except InvalidInput:
                continue
            found[f"{name}/{env_id}"] = of_batches(batches)
    return found


def runs() -> dict[str, str]:
    """One short run of every kind and method → digest of its last policy and of its rows."""
    found: dict[str, str] = {}
    for name in algorithms.REGISTRY:
        source = _source(name)
        found[f"train/{name}"] = _end(
            train(source, settings(name), TrainConfig(total_episodes=6, episodes_per_batch=2), LocalCollector(), seed=3)
        )[0]
        for method in METHODS:
            found[f"meta_train/{method}/{name}"] = _end(
                meta_train(source, settings(name), _meta(method), LocalCollector(), seed=3)
            )[0]
    found |= _after_training()
    return found


def _after_training() -> dict[str, str]:
    source, some = replace(CITY, env_id="lwmecps-v3"), tasks("lwmecps-v3")
    ppo = replace(PPOConfig(), hidden_size=(8, 8), batch_size=32, n_epochs=2)
    policy = _last(meta_train(source, ppo, _meta("maml"), LocalCollector(), seed=3)).policy
    assert policy is not None
    local = LocalCollector()
    found = {
        "train/independent": _end(
            train(some, ppo, TrainConfig(total_episodes=4, independent=True, evaluation_episodes=2), local, seed=3)
        )[1],
        "evaluate/policy": _end(evaluate(policy, some, EvaluateConfig(episodes=2), local, seed=3))[1],
        "evaluate/hpa": _end(evaluate(None, some, EvaluateConfig(episodes=2, baseline="hpa"), local, seed=3))[1],
    }
    for name, cfg in {
        "guarded": AdaptConfig(adaptation_steps=2, episodes_per_step=2, evaluation_episodes=2, compare_oracle=True),
        "unguarded": AdaptConfig(
            adaptation_steps=2, evaluation_episodes=2, keep_start_if_worse=False, keep_placement_if_worse=False
        ),
        "random weights": AdaptConfig(adaptation_steps=2, evaluation_episodes=2, random_weights=True, inner_lr=0.1),
    }.items():
        found[f"adapt/{name}"] = _end(adapt(policy, some, cfg, local, seed=3))[1]
        found[f"adapt/{name}/one"] = _end(adapt(policy, some[:1], cfg, local, seed=3))[0]
    for method in TRANSFERS:
        cfg = TransferConfig(method=method, total_episodes=4, episodes_per_batch=2, compare_scratch=True)  # type: ignore[arg-type]
        found[f"transfer/{method}"] = _end(transfer(policy, some, cfg, local, seed=3, origin=some))[0]
    return found


def _source(name: str) -> TaskDistribution:
    for env_id in ("lwmecps-v3", "lwmecps-v1", "lwmecps-v3-continuous"):
        city = replace(CITY, env_id=env_id)
        try:
            algorithms.make(settings(name), env_spec(draw(city, 0)))
        except InvalidInput:
            continue
        return city
    raise LookupError(name)


def _meta(method: str) -> MetaConfig:
    return MetaConfig(
        learner=META_LEARNERS[method](),
        num_meta_epochs=3,
        warmup_epochs=1,
        adaptation_steps=2,
        meta_batch_size=3,
        episodes_per_step=2,
        outer_epochs=2,
        tasks_per_update=2,
    )


def _last(steps: Iterator[Progress]) -> Progress:
    *_, last = steps
    return last


def _end(steps: Iterator[Progress]) -> tuple[str, str]:
    """Digests of the last policy, and of the rows of all steps (without the time that they took)."""
    every = list(steps)
    rows = [[r.task, r.inner_steps, r.reward, r.latency_mean_ms, r.env_steps] for p in every for r in p.rows]
    metrics = [sorted((k, v) for k, v in p.metrics.items()) for p in every]
    text = json.dumps([rows, metrics])
    return of_policy(every[-1].policy), hashlib.sha256(text.encode()).hexdigest()


PARTS: dict[str, Callable[[], dict[str, str]]] = {
    "rollouts": lambda: rollouts(LocalCollector()),
    "rules": rules,
    "runs": runs,
}


def known() -> dict[str, dict[str, dict[str, str]]]:
    """What is recorded: kind of machine → part → name → digest."""
    found: dict[str, dict[str, dict[str, str]]] = json.loads(FILE.read_text())
    return found


def record(here: str, made: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Write what was made on this kind of machine; returns what has changed, which holds nowhere else either."""
    kinds = known()
    before = kinds.get(here, {})
    changed = [(part, name) for part in before for name in before[part] if made[part].get(name) != before[part][name]]
    for digests in kinds.values():
        for part, name in changed:
            digests[part].pop(name, None)
    kinds[here] = {part: dict(digests) for part, digests in made.items()}
    FILE.write_text(json.dumps(kinds, indent=1) + "\n")
    return [f"{part}: {name}" for part, name in changed]


if __name__ == "__main__":
    torch.set_num_threads(1)
    for line in record(machine(), {name: part() for name, part in PARTS.items()}):
        print("changed:", line)
