"""Policies that act in the benchmarks: PPO with its defaults and fresh weights."""

import torch

from bench.cases import SEED, square_task
from lwmecps_core import algorithms
from lwmecps_core.algorithms.base import Algorithm, Extra, Params
from lwmecps_core.envs.actions import env_spec
from lwmecps_core.rollout.collector import PolicySnapshot
from lwmecps_core.run_config import PPOConfig
from lwmecps_core.specs import TaskSpec


def ppo(
    task: TaskSpec, network: str = "set", context: str = "none", cell: str = "gru"
) -> tuple[PPOConfig, Algorithm, Params, Extra]:
    """PPO for the task's kind of environment, and its initial weights."""
    config = PPOConfig(network=network, context=context, cell=cell)  # type: ignore[arg-type]
    algo = algorithms.make(config, env_spec(task))
    params, extra = algo.init(torch.Generator().manual_seed(SEED))
    return config, algo, params, extra


def snapshot(task: TaskSpec, network: str = "set", context: str = "none", cell: str = "gru") -> PolicySnapshot:
    """The weights as a worker gets them."""
    config, _, params, extra = ppo(task, network, context, cell)
    return PolicySnapshot(config, params, extra, version=1)


def v3(size: int = 4) -> TaskSpec:
    """The benchmarks' task under the environment version that the demo uses."""
    return square_task(size, "lwmecps-v3")
