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
    also edits of these, for which tasks must come from a distribution (mutate)."""
    curriculum_score: ScoreName = "value_loss"
    """What a task is scored by when its batches in a row end: the critic's loss (value_loss), or, in the simulator
    alone, what its first episode lacks to the best plan that dynamic programmes (quick_regret) or the oracle's whole
    search (regret) find, which takes some 0.03 or 0.2 s of CPU for each task of 4 × 4."""
    replay_share: Share = 0.5
    """Chance that a place in a batch goes to a task that was met before."""
    replay_temperature: Positive = 1.0
    """A task whose score is the r-th highest is replayed with a chance in proportion to 1 / r, to the power of 1 / this
    temperature."""
    replay_staleness: Share = 0.1
    """Share of the replays that is decided by how long ago tasks were scored, in place of scores."""
    replay_size: Annotated[int, Field(ge=1, le=100_000)] = 256
    """Most tasks that are remembered; those with the lowest scores are forgotten first."""
    learn_from_fresh: bool = True
    """Learn from tasks when they are first met, too; false: these are only scored, for one batch (robust replay)."""
    mutation_share: Share = 0.5
    """With `mutate`: share of the tasks that are first met which are edits of tasks that were met before."""
