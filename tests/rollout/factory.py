"""Small tasks, snapshots, and a stand-in for unrolling: pure like the real one, but without a simulator."""

import hashlib

import numpy as np
import torch

from lwmecps_core.batch import RolloutBatch
from lwmecps_core.rollout.collector import CollectionPlan, PolicySnapshot
from lwmecps_core.run_config import PPOConfig
from lwmecps_core.specs import ClusterSpec, DeploymentSpec, NodeSpec, TaskSpec, WorkloadSpec


def task(name="task", users=10.0, horizon=12):
    return TaskSpec(
        name=name,
        cluster=ClusterSpec(nodes=(NodeSpec(name="n", cpu_millicores=4000, ram_mib=4096),), rtt_ms=((0.0,),)),
        deployments=(DeploymentSpec(name="d"),),
        workload=WorkloadSpec(base_users=(users,), share=((1.0,),)),
        horizon=horizon,
    )


def tasks(count):
    return [task(f"task-{i}", users=10.0 + i) for i in range(count)]


def plan(count, episodes=3, length=0):
    return CollectionPlan(seeds=tuple(range(100, 100 + count)), episodes=episodes, length=length)


def snapshot(version=1, per_task=0, value=0.5):
    lead = (per_task,) if per_task else ()
    params = {"actor": {"w": torch.full((*lead, 2, 3), value) + torch.arange(3.0)}}
    if per_task:
        params["actor"]["w"] += torch.arange(per_task).float().reshape(-1, 1, 1)
    return PolicySnapshot(PPOConfig(), params, {"scale": torch.ones(lead)}, version, bool(per_task))


def random_batch(rng, t=4, b=3, o=5, m=6, a=2, extras=("log_prob",), info=("latency_ms", "moves"), version=1, seed=0):
    f32 = lambda *shape: rng.normal(size=shape).astype(np.float32)  # noqa: E731
    flags = lambda *shape: rng.random(shape) < 0.5  # noqa: E731
    return RolloutBatch(
        obs=f32(t + 1, b, o),
        mask=flags(t + 1, b, m),
        action=rng.integers(0, 9, (t, b, a), dtype=np.int32),
        reward=f32(t, b),
        terminated=flags(t, b),
        truncated=flags(t, b),
        valid=flags(t, b),
        extras={k: f32(t, b) for k in extras},
        info={k: f32(t, b) for k in info},
        policy_version=version,
        seed=seed,
    )


def fake_unroll(tasks, snapshot, plan):
    """A batch per task that depends on the task, its weights, its seed, and nothing else."""
    result = []
    for i, (task, seed) in enumerate(zip(tasks, plan.seeds, strict=True)):
        weights = snapshot.params["actor"]["w"]
        weights = weights[i] if snapshot.per_task else weights
        text = f"{task.name} {seed} {weights.tolist()} {plan.greedy}"
        rng = np.random.default_rng(int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little"))
        t = plan.length or task.horizon
        result.append(random_batch(rng, t=t, b=plan.episodes, version=snapshot.version, seed=seed))
    return result


def assert_equal(a, b):
    """Bit for bit."""
    for name in ("obs", "mask", "action", "reward", "terminated", "truncated", "valid"):
        x, y = getattr(a, name), getattr(b, name)
        assert x.dtype == y.dtype and x.shape == y.shape, name
        assert x.tobytes() == y.tobytes(), name
    assert (a.policy_version, a.seed) == (b.policy_version, b.seed)
    for mine, theirs in ((a.extras, b.extras), (a.info, b.info)):
        assert list(mine) == list(theirs)
        for key in mine:
            assert mine[key].tobytes() == theirs[key].tobytes(), key
