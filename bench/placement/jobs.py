"""Which jobs the benchmark consists of, which go on from which, and the key under which a result is kept."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from bench.keys import USUAL, key
from bench.placement import settings as s
from lwmecps_core.config import config
from lwmecps_core.run_config import AdaptConfig, AlgorithmConfig, MetaConfig, TrainConfig, TransferConfig
from lwmecps_core.specs import EnvId

V1_MARK = " (v1)"


@config
class BenchmarkJob:
    """One piece of work: a method (or a group of rules) on one family; `before` is the job that it goes on from."""

    family: str
    name: str
    kind: str
    tasks: int
    evaluation_episodes: int
    seed: int = s.TRAINING_SEED
    env_id: EnvId = "lwmecps-v3"
    baselines: tuple[str, ...] = ()
    algorithm: AlgorithmConfig = USUAL
    training: TrainConfig = TrainConfig()
    meta: MetaConfig = MetaConfig()
    adaptation: AdaptConfig = AdaptConfig()
    transfer: TransferConfig = TransferConfig()
    before: "BenchmarkJob | None" = None

    @property
    def key(self) -> str:
        """A digest of all settings, those of the jobs before it included."""
        return key(self, s.EVALUATION_SEED, s.FIRST_HELD_OUT_SEED)

    @property
    def title(self) -> str:
        """As progress and `job_seconds` show it."""
        return f"{self.family} {self.name}" + (f", seed {self.seed}" if self.seed != s.TRAINING_SEED else "")

    def row_name(self, name: str) -> str:
        """What a row of this job is called: results of lwmecps-v1 must not be taken for those of v3."""
        return name + V1_MARK if self.env_id == "lwmecps-v1" else name


def jobs(families: Sequence[str], settings: s.Settings, seeds: int = s.SEEDS) -> list[BenchmarkJob]:
    """All jobs with so many training seeds, those that others wait for first."""
    every = range(s.TRAINING_SEED, s.TRAINING_SEED + seeds)
    made = [job for family in families for seed in every for job in _of_family(family, settings, seed)]
    waited_for = {job.before.key for job in made if job.before}
    return sorted(made, key=lambda job: job.key not in waited_for)


def _of_family(family: str, settings: s.Settings, seed: int) -> Iterator[BenchmarkJob]:
    tasks, episodes = settings.tasks, settings.evaluation_episodes
    blank = BenchmarkJob(family=family, name="", kind="", tasks=tasks, evaluation_episodes=episodes, seed=seed)
    first = seed == s.TRAINING_SEED
    for algorithm in s.MANY if first else s.OF_SEVERAL_SEEDS:
        many = replace(
            blank,
            name=f"multi_task_{algorithm}",
            kind="multi_task",
            algorithm=s.MANY[algorithm],
            training=settings.multi_task,
            env_id=_env_id(algorithm),
        )
        yield many
        for method in s.META_METHODS:
            meta = replace(
                many,
                name=f"meta_{algorithm}_{method}",
                kind="meta",
                before=many,
                meta=s.meta_settings(settings, algorithm, method),
                adaptation=settings.adaptation,
            )
            yield meta
            if (algorithm, method) == ("ppo", "maml"):
                yield from _only_ppo(settings, blank, many, meta)
    if first:
        yield from _without_other_tasks(settings, blank)
    source = replace(blank, name="source", kind="source", algorithm=s.ONWARDS, training=settings.source)
    yield source
    for method in s.TRANSFER_METHODS:
        yield replace(
            source,
            name=f"transfer_{method}",
            kind="transfer",
            before=source,
            transfer=replace(settings.transfer, method=method),
        )


def _only_ppo(
    settings: s.Settings, blank: BenchmarkJob, many: BenchmarkJob, meta: BenchmarkJob
) -> Iterator[BenchmarkJob]:
    """Controls that are costly or that only one algorithm needs: equal data, fine-tuning, random weights, one episode
    for each inner step.
    """
    frugal = replace(
        meta.meta,
        num_meta_epochs=meta.meta.warmup_epochs + settings.frugal_epochs,
        adaptation_steps=settings.frugal.adaptation_steps,
        episodes_per_step=settings.frugal.episodes_per_step,
        inner_lr=settings.frugal_inner_lr,
    )
    yield replace(meta, name="meta_ppo_maml_one_episode", meta=frugal, adaptation=settings.frugal)
    collections = settings.meta_epochs * (settings.meta.adaptation_steps + 1)
    batch = settings.multi_task.episodes_per_batch * settings.multi_task.tasks_per_batch
    longer = replace(settings.multi_task, total_episodes=settings.multi_task.total_episodes + collections * batch)
    yield replace(many, name="multi_task_ppo_equal_data", training=longer, before=many)
    yield replace(blank, name="untrained_ppo", kind="untrained", algorithm=s.MANY["ppo"])
    yield replace(meta, name="random_weights_ppo", kind="random_weights", before=meta)
    yield replace(
        blank,
        name="multi_task_ppo_fine_tuned",
        kind="transfer",
        algorithm=s.ONWARDS,
        before=many,
        transfer=settings.transfer,
    )


def _without_other_tasks(settings: s.Settings, blank: BenchmarkJob) -> Iterator[BenchmarkJob]:
    """Base algorithms from nothing on every held-out task itself, each with random numbers of its own there; rules."""
    where: dict[str, tuple[str, EnvId]] = {
        "ppo": ("ppo", "lwmecps-v3"),
        "dqn": ("dqn", "lwmecps-v3"),
        "sac": ("sac", "lwmecps-v3"),
        "td3": ("td3", "lwmecps-v3-continuous"),
        "q_learning": ("q_learning", "lwmecps-v1"),
    }
    for label, (algorithm, env_id) in where.items():
        name = f"{label}_100_episodes"
        job = replace(
            blank, name=name, kind="alone", env_id=env_id, algorithm=s.ONE[algorithm], training=settings.alone
        )
        yield replace(job, name=job.row_name(name))
    yield replace(blank, name="rules", kind="rules", baselines=s.RULES)
    yield replace(blank, name="rules" + V1_MARK, kind="rules", baselines=s.V1_RULES, env_id="lwmecps-v1")
    yield replace(blank, name="oracle", kind="rules", baselines=("oracle",))


def _env_id(algorithm: str) -> EnvId:
    return "lwmecps-v3-continuous" if algorithm == "td3" else "lwmecps-v3"
