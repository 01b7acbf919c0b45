"""Settings of runs that meet clusters one after another, by the names that users know."""

from typing import Annotated

from pydantic import Field

from lwmecps_core.config import NonNegative, config

Episodes = Annotated[int, Field(ge=1, le=100_000)]
MOST_CLUSTERS = 100
"""In one stream: after each of them all are measured, so that the work grows with the square of their number."""


@config
class ContinualConfig:
    """Training of a stored policy on clusters one after another, and how much of the earlier ones is kept."""

    episodes_per_cluster: Episodes = 40
    """Episodes of each cluster's turn, those of earlier clusters that come again in it among them."""
    episodes_per_batch: Episodes = 1
    """Episodes per place in each batch."""
    tasks_per_batch: Annotated[int, Field(ge=1, le=10_000)] = 4
    """Places of a batch; each is the new cluster's or an earlier one's."""
    learning_rate: NonNegative = 3e-4
    """Step size of the optimiser, which begins anew with every cluster; 0: the policy stays as it is and only
    remembers."""
    replay_share: Annotated[float, Field(ge=0, le=0.9)] = 0.5
    """Share of the places that go to earlier clusters, each of which is as likely (0: plain fine-tuning)."""
    keep_contexts: bool = True
    """Keep what the policy remembers of each cluster, and begin with that wherever the cluster comes again; false: it
    begins every batch and every measurement with nothing known."""
    weight_penalty: NonNegative = 0.0
    """Weight λ of ½λ‖θ − θ₀‖² in every loss, where θ₀ are the weights before the cluster's turn."""
    random_weights: bool = False
    """Start from random weights in place of the policy's (a control: nothing learnt before the first cluster)."""
    evaluation_episodes: Episodes = 4
    """Episodes without chance that measure every cluster of the stream, before the first one's turn and after each."""
