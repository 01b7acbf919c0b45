"""Episodes of a baseline in the form in which policies' episodes come."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from lwmecps_core.baselines import make
from lwmecps_core.batch import INFO_KEYS, RolloutBatch
from lwmecps_core.envs.vector import BatchEnv
from lwmecps_core.seeding import episode_seeds
from lwmecps_core.specs import TaskSpec


def run_baseline(
    name: str,
    tasks: Sequence[TaskSpec],
    seeds: Sequence[int],
    episodes: int,
    *,
    training_tasks: Sequence[TaskSpec] = (),
) -> list[RolloutBatch]:
    """`episodes` episodes of every task, `seeds[k]` deciding those of task k: one batch `[horizon, episodes]` per task.

    The episodes are those that a policy meets under the same seeds. What follows the end of an episode is not valid.
    """
    env = BatchEnv(tasks, np.repeat(np.arange(len(tasks)), episodes))
    baseline = make(name, tasks, env.task_of, training_tasks=training_tasks)
    of_episodes = np.concatenate([episode_seeds(seed, episodes) for seed in seeds])
    baseline.reset(of_episodes)
    obs, mask = env.reset(of_episodes)
    frames, masks, actions = [obs.copy()], [mask.copy()], []
    rewards, ends, truncations, valids = [], [], [], []
    info: dict[str, list[np.ndarray]] = {key: [] for key in INFO_KEYS}
    alive = np.ones(env.size, np.bool_)
    for _ in range(env.spec.horizon):
        action = baseline.act(obs, mask)
        obs, mask, reward, terminated, truncated, values = env.step(action)
        actions.append(action)
        frames.append(obs.copy())
        masks.append(mask.copy())
        rewards.append(np.where(alive, reward, 0.0).astype(np.float32))
        ends.append(terminated & alive)
        truncations.append(truncated & alive)
        valids.append(alive)
        for key in INFO_KEYS:
            info[key].append(values[key].copy())
        alive = alive & ~(terminated | truncated)
    whole = RolloutBatch(
        np.stack(frames),
        np.stack(masks),
        np.stack(actions),
        np.stack(rewards),
        np.stack(ends),
        np.stack(truncations),
        np.stack(valids),
        {},
        {key: np.stack(rows) for key, rows in info.items()},
    )
    return [replace(whole.columns(k * episodes, (k + 1) * episodes), seed=seed) for k, seed in enumerate(seeds)]
