"""An algorithm whose policies remember, for tests of how memory travels."""

import torch

from lwmecps_core.acting import Acted, Seen
from lwmecps_core.algorithms.ppo import PPO


class Remembering(PPO):
    """PPO that counts the intervals of its life and sums up what it is shown of those before."""

    def memory(self, width: int) -> dict[str, torch.Tensor]:
        return {"count": torch.zeros(width), "shown": torch.zeros(width, 2)}

    def act(self, params, extra, memory, seen: Seen, noise):  # type: ignore[no-untyped-def]
        out = super().act(params, extra, {}, seen, noise)
        shown = torch.stack([seen.reward_terms.sum(-1), seen.action.float().sum(-1)], -1)
        after = {"count": memory["count"] + 1, "shown": memory["shown"] + shown}
        told = {"first": seen.first.float(), "terms": shown[..., 0], "before": shown[..., 1], "count": memory["count"]}
        return Acted(out.action, dict(out.extras) | told, after)


class Lagging(PPO):
    """PPO that remembers the frame before as it was handed to it, and tells whether it still is what it was."""

    def memory(self, width: int) -> dict[str, torch.Tensor]:
        return {"frame": torch.full((width, self.spec.obs_size), -torch.inf)}

    def act(self, params, extra, memory, seen: Seen, noise):  # type: ignore[no-untyped-def]
        out = super().act(params, extra, {}, seen, noise)
        return Acted(out.action, dict(out.extras) | {"before": memory["frame"].sum(-1)}, {"frame": seen.obs})
