"""Double deep Q-learning; the value of an action of several components is the mean of theirs."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from lwmecps_core.acting import Acted, Seen
from lwmecps_core.algorithms import heads, networks, replay
from lwmecps_core.algorithms.base import Batch, Extra, Params
from lwmecps_core.algorithms.count_loops import FORBIDDEN
from lwmecps_core.algorithms.returns import weighted_mean
from lwmecps_core.errors import InvalidInput, Violation
from lwmecps_core.run_config import DQNConfig
from lwmecps_core.specs import EnvSpec


class DQN(replay.FromMemory[DQNConfig]):
    """Double Q-learning targets (van Hasselt et al. 2016, arXiv:1509.06461, equation 4) of decomposed values.

    Every component has values of its own choices, whose mean over components is what the whole action is worth (value
    decomposition: Sunehag et al. 2018, arXiv:1706.05296, equation 1, there a sum). So the best action is each
    component's best choice, outputs are linear in the number of components, and the error of one is told from the
    others', which it would not be if each were held against the whole reward (branching: arXiv:1711.08946).
    The target network is in `extra` and moves by `tau` after every update; within inner adaptation it stays fixed.
    """

    inner_groups: tuple[str, ...] = ("critic",)

    def __init__(self, cfg: DQNConfig, spec: EnvSpec) -> None:
        if not spec.discrete:
            raise InvalidInput("algorithm", [Violation("name", f"dqn needs discrete actions; {spec.env_id} has a Box")])
        super().__init__(cfg, spec)

    @property
    def noise_size(self) -> int:
        """For each component: one number decides whether to explore, one which choice."""
        return 2 * self.spec.action_size

    def init(self, generator: torch.Generator) -> tuple[Params, Extra]:
        """Orthogonal weights; the target network starts as a copy."""
        net = self._nets.init_components(heads.choices(self.spec), 1.0, generator)
        return {"critic": net}, {name: leaf.clone() for name, leaf in net.items()}

    def act(
        self, params: Params, extra: Extra, memory: Mapping[str, Tensor], seen: Seen[Tensor], noise: Tensor | None
    ) -> Acted[Tensor]:
        """The greedy choice of every component, or with probability `epsilon` any allowed one."""
        return Acted(heads.epsilon_greedy(self._q(params["critic"], seen.obs, seen.mask), self.cfg.epsilon, noise))

    def losses(self, params: Params, extra: Extra, batch: Batch) -> dict[str, Tensor]:
        """Huber loss of what the whole action is worth against its target."""
        online = self._q(params["critic"], batch["next_obs"], batch["next_mask"])
        target = self._q(extra, batch["next_obs"], batch["next_mask"])
        best = target.gather(-1, online.argmax(-1, keepdim=True)).squeeze(-1).mean(-1)
        goal = batch["reward"] + batch["discount"] * best
        q = self._q(params["critic"], batch["obs"], batch["mask"])
        taken = q.gather(-1, batch["action"].long().unsqueeze(-1)).squeeze(-1).mean(-1)
        return {"critic": weighted_mean(F.smooth_l1_loss(taken, goal, reduction="none"), batch["weight"])}

    def after_update(self, params: Params, extra: Extra) -> Extra:
        """The target network moves towards the online network."""
        return networks.moved(extra, params["critic"], self.cfg.tau)

    def _q(self, net: networks.Net, obs: Tensor, mask: Tensor) -> Tensor:
        q = self._nets.components(net, obs)
        return q.masked_fill(~mask.reshape(q.shape), FORBIDDEN)
