"""Settings of curricula over training tasks, by the names that users know (see `lwmecps_core.tasks.curriculum`)."""

from typing import Annotated, Literal

from pydantic import Field

from lwmecps_core.config import Positive, Share, config

CurriculumName = Literal["uniform", "replay", "mutate"]
ScoreName = Literal["value_loss", "quick_regret", "regret"]


@config
class Curricular:
    """Which tasks training goes on with: prioritised level replay (Jiang et al. 2021, arXiv:2010.03934), its robust
    form (Jiang et al. 2021, arXiv:2110.02439) and edits of what is replayed (ACCEL: Parker-Holder et al. 2022,
    arXiv:2203.01302).
    """

    curriculum: CurriculumName = "uniform"
    """How tasks are chosen: each alike (uniform), those that were met before and scored high more often (replay), or
    also edits of these (mutate), for which tasks must come from a distribution."""
    curriculum_score: ScoreName = "value_loss"
    """What a task is scored by when it has been learnt from: the critic's loss (value_loss), or what the policy's first
    episode lacks to the best plan for it, as dynamic programmes (quick_regret) or the oracle's whole search (regret)
    find it: some 0.03 and 0.2 s per task of 4 x 4; the simulator alone can tell."""
    replay_share: Share = 0.5
    """Chance that a place in a batch goes to a task that was met before."""
    replay_temperature: Positive = 1.0
    """A task of rank r by its score is replayed with a chance in proportion to r to the power of -1 / this."""
    replay_staleness: Share = 0.1
    """Share of the replays that is decided by how long ago tasks were scored, in place of scores."""
    replay_size: Annotated[int, Field(ge=1, le=100_000)] = 256
    """Most tasks that are remembered; those with the lowest scores are forgotten first."""
    learn_from_fresh: bool = True
    """Learn from tasks when they are first met, too; false: these are only scored, for one batch (robust replay)."""
    mutation_share: Share = 0.5
    """With mutate: share of the tasks that are first met which are edits of tasks that were met before."""
