"""Stable-Baselines3 and sb3-contrib on fresh clusters of one kind (extra `sb3`)."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sb3_contrib import MaskablePPO, RecurrentPPO
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecEnvWrapper
from stable_baselines3.common.vec_env.base_vec_env import VecEnvStepReturn

from bench.context.cells import ClusterKind
from bench.context.measure import distribution
from bench.peers.cells import AT_ONCE, TASKS, PeerCell
from lwmecps_core.integrations.sb3 import PlacementVecEnv
from lwmecps_core.integrations.sb3_policies import to_policy
from lwmecps_core.policy import PolicyData
from lwmecps_core.specs import TaskSpec
from lwmecps_core.tasks.families import draw
from services.cli.demo_settings import PPO as OURS

CLASSES = {"PPO": PPO, "MaskablePPO": MaskablePPO, "RecurrentPPO": RecurrentPPO}


class FreshClusters(VecEnvWrapper):
    """Environments whose clusters are drawn anew when all of their `episodes` have ended, as our own training has it.

    All episodes of the tasks are as long, so that they end together.
    """

    def __init__(self, problem: ClusterKind, tasks: int, at_once: int, episodes: int, seed: int) -> None:
        self._problem, self._count, self._at_once, self._episodes = problem, tasks, at_once, episodes
        self._rng, self._ended = np.random.default_rng(seed), 0
        super().__init__(self._drawn())

    def reset(self) -> NDArray[np.float32]:
        """Begin."""
        return self.venv.reset()  # type: ignore[return-value]

    def step_wait(self) -> VecEnvStepReturn:
        """One interval; where the last episodes end, new clusters are there at once."""
        obs, reward, done, infos = self.venv.step_wait()
        if done.all():
            self._ended += 1
            if self._ended % self._episodes == 0:
                self.venv = self._drawn()
                obs = self.venv.reset()
        return obs, reward, done, infos

    def action_masks(self) -> NDArray[np.bool_]:
        """What `MaskablePPO` asks for."""
        return self.venv.action_masks()  # type: ignore[attr-defined, no-any-return]

    def _drawn(self) -> PlacementVecEnv:
        source = distribution(self._problem)
        tasks = [draw(source, int(self._rng.integers(2**53))) for _ in range(self._count)]
        env = PlacementVecEnv(tasks, self._count * self._at_once)
        env.seed(int(self._rng.integers(2**32)))
        return env


def trainer(cell: PeerCell, problem: ClusterKind) -> Callable[[], PolicyData]:
    """A function that trains one of theirs and returns what it learnt as a policy of ours.

    Passes, minibatches, discount, bonus and the fall of the learning rate to 0 are those of our own training.
    """
    recurrent = cell.learner == "RecurrentPPO"
    row = 2 if recurrent else 1
    envs = TASKS * AT_ONCE // row
    kwargs: dict[str, Any] = {"net_arch": [cell.width, cell.width]}
    if recurrent:
        kwargs["lstm_hidden_size"] = cell.width
    horizon = draw(distribution(problem), 0).horizon

    def train() -> PolicyData:
        env = FreshClusters(problem, TASKS // row, AT_ONCE, row, cell.seed)
        some: TaskSpec = env.get_attr("task", 0)[0]
        model = CLASSES[cell.learner](
            "MlpLstmPolicy" if recurrent else "MlpPolicy",
            env,
            learning_rate=lambda left: cell.rate * left,
            n_steps=row * horizon,
            batch_size=OURS.batch_size,
            n_epochs=OURS.n_epochs,
            gamma=OURS.discount_factor,
            gae_lambda=OURS.gae_lambda,
            ent_coef=OURS.entropy_coef,
            vf_coef=OURS.value_function_coef,
            max_grad_norm=OURS.max_grad_norm,
            policy_kwargs=kwargs,
            seed=cell.seed,
            device="cpu",
        )
        model.learn(cell.episodes * horizon)
        assert model.num_timesteps == cell.episodes * horizon, (model.num_timesteps, envs)
        return to_policy(model, some)

    return train
