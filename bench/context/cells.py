"""The cells that the benchmark consists of: a method on a kind of cluster, with a training seed."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Literal

from bench.keys import USUAL, key
from lwmecps_core.config import config
from lwmecps_core.run_config import AdaptConfig, AlgorithmConfig, EvaluateConfig, MetaConfig, TrainConfig
from lwmecps_core.specs import EnvId
from services.cli.demo_settings import BASELINES, DemoSettings, remembering

HELD_OUT_SEED = 1_000_000
"""Held-out tasks are drawn by the seeds from this one on: nothing was tuned on them."""
EVALUATION_SEED = 1_000_000
"""Of the episodes that measure, the same for every method."""
SEEDS: dict[EnvId, int] = {"lwmecps-v3": 5, "lwmecps-v4": 3}
"""Training seeds on each version."""
FLAGSHIP = "mec_city"
V4_ENTROPY = 0.000625
"""Weight of PPO's entropy bonus on v4: what it is there for 16 components where none is given (`algorithms.ppo`)."""
SIZES = ((3, 6), (8, 8))
"""Nodes and deployments on which policies act that were trained on 4 × 4."""
RULES, ADAPTED = "rules", "adapted"
ALONE = "scratch_100_episodes"
"""What learns from nothing on each held-out cluster itself, each with random numbers of its own."""
RECURRENT: Literal["recurrent"] = "recurrent"
LEARNERS = ("context", "multi_task", "blind", "privileged")
"""Trained with the same data and schedule."""
ORDER = (RULES, ALONE, "context", "multi_task", "blind", ADAPTED, "privileged", RECURRENT)
PLAIN_STEPS = ("context", "multi_task")
"""Learners that go on with a few plain steps on held-out clusters."""


@config
class ClusterKind:
    """A kind of cluster."""

    family: str
    env_id: EnvId = "lwmecps-v3"
    nodes: int = 4
    deployments: int = 4

    @property
    def title(self) -> str:
        """As the page names it."""
        return f"{self.family} {self.env_id.removeprefix('lwmecps-')}, {self.nodes} × {self.deployments}"


@config
class Cell:
    """A method with a training seed on the clusters that it is trained on, and on those `also`.

    `rules` are the baselines, which no seed belongs to.
    """

    problem: ClusterKind
    method: str
    seed: int = 0
    tasks: int = 64
    also: tuple[ClusterKind, ...] = ()
    algorithm: AlgorithmConfig = USUAL
    training: TrainConfig | MetaConfig = TrainConfig()
    measuring: EvaluateConfig = EvaluateConfig()
    steps: AdaptConfig | None = None
    baselines: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """A digest of all settings."""
        return key(self, HELD_OUT_SEED, EVALUATION_SEED)

    @property
    def family(self) -> str:
        """Of its clusters."""
        return self.problem.family

    @property
    def name(self) -> str:
        """As progress shows it."""
        return f"{self.family} {self.problem.env_id} {self.method} {self.seed}"


def cells(families: Sequence[str], tasks: int, seeds: int | None = None) -> list[Cell]:
    """All cells of these families, those first that most bars are about."""
    found = [cell for problem in _problems(families) for cell in _of(problem, tasks, seeds)]
    return sorted(found, key=_turn)


def _turn(cell: Cell) -> tuple[int, int, int]:
    if cell.problem.env_id != "lwmecps-v3":
        where = 4
    elif cell.problem.family == FLAGSHIP:
        where = 2 if cell.method == RECURRENT else 0
    else:
        where = 1 if cell.method in (RULES, ALONE, "context") else 3
    return where, ORDER.index(cell.method), cell.seed


def sizes(problem: ClusterKind) -> tuple[ClusterKind, ...]:
    """The other sizes that policies trained on `problem` act on."""
    if problem != ClusterKind(family=FLAGSHIP):
        return ()
    return tuple(replace(problem, nodes=n, deployments=d) for n, d in SIZES)


def sharper(demo: DemoSettings) -> DemoSettings:
    """The same settings with v4's entropy bonus."""
    names = ("algorithm", "context_algorithm", "blind_algorithm")
    return replace(demo, **{name: replace(getattr(demo, name), entropy_coef=V4_ENTROPY) for name in names})


def _problems(families: Sequence[str]) -> Iterator[ClusterKind]:
    for family in families:
        yield ClusterKind(family=family)
        if family in (FLAGSHIP, "kubernetes_scaling"):
            yield ClusterKind(family=family, env_id="lwmecps-v4")


def _of(problem: ClusterKind, tasks: int, seeds: int | None) -> Iterator[Cell]:
    demo = DemoSettings()
    also = sizes(problem)
    measuring = EvaluateConfig(episodes=demo.evaluation_episodes)
    for one in (problem, *also):
        yield Cell(problem=one, method=RULES, tasks=tasks, measuring=measuring, baselines=BASELINES)
    if problem.env_id == "lwmecps-v4":
        demo = sharper(demo)
    else:
        algorithm, training = demo.scratch_algorithm, demo.scratch
        yield Cell(problem=problem, method=ALONE, tasks=tasks, algorithm=algorithm, training=training)
    algorithms = {
        "context": demo.context_algorithm,
        "multi_task": demo.algorithm,
        "blind": demo.blind_algorithm,
        "privileged": replace(demo.algorithm, context="privileged"),
    }
    for seed in range(seeds or SEEDS[problem.env_id]):
        for method in LEARNERS:
            before = demo.episodes_before if method == "context" else (0,)
            yield Cell(
                problem=problem,
                method=method,
                seed=seed,
                tasks=tasks,
                also=also if method in PLAIN_STEPS else (),
                algorithm=algorithms[method],
                training=demo.context_training if method == "context" else demo.multi_task,
                measuring=replace(measuring, episodes_before=before),
                steps=demo.polish if method in PLAIN_STEPS else None,
            )
        if problem.env_id == "lwmecps-v3":
            learnt = remembering(demo, RECURRENT)
            yield Cell(
                problem=problem,
                method=RECURRENT,
                seed=seed,
                tasks=tasks,
                also=also,
                algorithm=learnt.context_algorithm,
                training=learnt.context_training,
                measuring=replace(measuring, episodes_before=demo.episodes_before),
            )
            yield Cell(
                problem=problem,
                method=ADAPTED,
                seed=seed,
                tasks=tasks,
                algorithm=demo.algorithm,
                training=demo.meta,
                measuring=measuring,
                steps=demo.adaptation,
            )
