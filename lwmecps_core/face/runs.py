"""Runs in this process, without any service: the loops that learners drive, over simulated clusters."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, replace
from typing import Any

import torch

from lwmecps_core import baselines
from lwmecps_core.config import dump, parse
from lwmecps_core.errors import InvalidInput, Violation
from lwmecps_core.face.outcome import RunOutcome
from lwmecps_core.face.policies import ActingPolicy, load_policy
from lwmecps_core.face.shown import StepBar
from lwmecps_core.face.tasks import Tasks, source_of
from lwmecps_core.kinds import ALIASES, KINDS
from lwmecps_core.rollout.unroll import LocalCollector
from lwmecps_core.run_config import META_LEARNERS, SIMULATED, AlgorithmConfig
from lwmecps_core.seeding import whole_seed
from lwmecps_core.specs import TaskDistribution, TaskSpec
from lwmecps_core.training.progress import TaskSource
from lwmecps_core.training.work import LoopWork, steps

Algorithm = str | Mapping[str, Any] | AlgorithmConfig
"""An algorithm by its name, with its settings (`{"name": "ppo", "gae_lambda": 0.9}`), or as a settings object."""


def train(
    tasks: Tasks,
    algorithm: Algorithm = "ppo",
    *,
    policy: Any = None,
    num_tasks: int = 0,
    task_seed: int = 0,
    seed: int = 0,
    label: str = "",
    progress: bool | None = None,
    **settings: Any,
) -> RunOutcome:
    """Train one policy from nothing, or from the weights of `policy`, on one task or on many.

    `tasks` are tasks, distributions or their files; of distributions `num_tasks` tasks are drawn with seeds from
    `task_seed` (0: new ones in every step). `settings` are those of `TrainConfig` and of the algorithm, by name
    (`docs/cli.md` lists them). `progress` shows a bar (None: on a terminal and in a notebook). `label` names the method
    in rows. Raises `InvalidInput` naming what can't be used.

    >>> import lwmecps_core
    >>> done = lwmecps_core.train("examples/city.yaml", "ppo", total_episodes=8, learning_rate=1e-3, seed=1)
    >>> done.policy.act(*lwmecps_core.make_env("examples/city.yaml").reset(seed=0)).shape
    (4,)
    """
    own, learns_by = _settings("train", settings, algorithm)
    given, source = load_policy(policy).data if policy else None, source_of("train", tasks, num_tasks, task_seed)
    work = LoopWork(own, source, learns_by, given, seed=whole_seed(seed))
    return _run("train", work, label or learns_by.name, progress)


def meta_train(
    tasks: Tasks,
    algorithm: Algorithm = "ppo",
    method: str = "maml",
    *,
    num_tasks: int = 0,
    task_seed: int = 0,
    seed: int = 0,
    label: str = "",
    progress: bool | None = None,
    **settings: Any,
) -> RunOutcome:
    """Meta-train a policy that adapts to a new task within a few gradient steps.

    `method` is the meta-learner (`maml`, `fomaml`, `imaml`, `reptile`); `settings` are those of `MetaConfig`, of the
    meta-learner and of the algorithm. For the rest see `train`.

    >>> import lwmecps_core
    >>> done = lwmecps_core.meta_train("examples/city.yaml", method="fomaml", num_meta_epochs=2, adaptation_steps=1)
    >>> done.policy.data.metadata["meta_learner"]["name"]
    'fomaml'
    """
    if method not in META_LEARNERS:
        reason = f"{method!r} is none of {', '.join(META_LEARNERS)}"
        raise InvalidInput("meta_train", [Violation("method", reason)])
    own, learns_by = _settings("meta_train", {"method": method, **settings}, algorithm)
    work = LoopWork(own, source_of("meta_train", tasks, num_tasks, task_seed), learns_by, seed=whole_seed(seed))
    return _run("meta_train", work, label or method, progress)


def adapt(
    policy: Any,
    tasks: Tasks,
    *,
    num_tasks: int = 0,
    task_seed: int = 0,
    seed: int = 0,
    label: str = "",
    progress: bool | None = None,
    **settings: Any,
) -> RunOutcome:
    """Adapt a policy to every task by inner steps, and measure it before and after each.

    `policy` is one, its file or its id (see `load_policy`); `settings` are those of `AdaptConfig`. Of one task the
    outcome has the adapted policy. For the rest see `train`.

    >>> import lwmecps_core
    >>> start = lwmecps_core.train("examples/city.yaml", total_episodes=8).policy
    >>> lwmecps_core.adapt(start, "examples/city.yaml", num_tasks=2, adaptation_steps=1).frame().inner_steps.tolist()
    [0, 0, 1, 1]
    """
    own, _ = _settings("adapt", settings)
    given = load_policy(policy)
    work = LoopWork(own, source_of("adapt", tasks, num_tasks, task_seed), policy=given.data, seed=whole_seed(seed))
    return _run("adapt", work, label or f"{given.name} adapted", progress)


def continual(
    policy: Any,
    tasks: Tasks,
    *,
    num_tasks: int = 0,
    task_seed: int = 0,
    seed: int = 0,
    label: str = "",
    progress: bool | None = None,
    **settings: Any,
) -> RunOutcome:
    """Go on training a policy on clusters one after another, in their order, and measure it on all after each.

    `policy` is one, its file or its id (see `load_policy`); `settings` are those of `ContinualConfig`. For the rest see
    `train`.

    >>> import lwmecps_core
    >>> start = lwmecps_core.train("examples/city.yaml", total_episodes=8).policy
    >>> met = lwmecps_core.continual(start, "examples/city.yaml", num_tasks=2, episodes_per_cluster=8)
    >>> met.frame().pivot_table("reward", "inner_steps", "task").shape
    (3, 2)
    """
    own, _ = _settings("continual", settings)
    given, source = load_policy(policy), source_of("continual", tasks, num_tasks, task_seed)
    work = LoopWork(own, source, policy=given.data, seed=whole_seed(seed))
    return _run("continual", work, label or f"{given.name} continued", progress)


def evaluate(
    policy: Any,
    tasks: Tasks,
    *,
    calibration: Tasks | None = None,
    num_tasks: int = 0,
    task_seed: int = 0,
    seed: int = 0,
    label: str = "",
    progress: bool | None = None,
    **settings: Any,
) -> RunOutcome:
    """Measure a policy, or a baseline, on every task; under one seed all methods meet the same episodes.

    `policy` is one, its file or its id (see `load_policy`), or the name of a baseline (`hpa`, `oracle`, …), which is
    tuned on the tasks of `calibration` where it has settings. `settings` are those of `EvaluateConfig`. For the rest
    see `train`.

    >>> import lwmecps_core
    >>> rule = lwmecps_core.evaluate("rate_rule", "examples/city.yaml", num_tasks=3, episodes=2)
    >>> [row.method for row in rule.rows]
    ['rate_rule', 'rate_rule', 'rate_rule']
    """
    known = policy in baselines.REGISTRY if isinstance(policy, str) else False
    own, _ = _settings("evaluate", {**settings, "baseline": policy} if known else settings)
    given = None if known else load_policy(policy)
    work = LoopWork(
        own,
        source_of("evaluate", tasks, num_tasks, task_seed),
        policy=given.data if given else None,
        beside=source_of("", calibration, 0, 0) if calibration is not None else (),
        seed=whole_seed(seed),
    )
    return _run("evaluate", work, label or (given.name if given else str(policy)), progress)


def _settings(kind: str, given: Mapping[str, Any], algorithm: Algorithm = "ppo") -> tuple[Any, Any]:
    """The kind's settings, and the algorithm with those that are only its own.

    A name that both have means the kind's, as on the command line.
    """
    named = {ALIASES.get(name, name): value for name, value in given.items()}
    learns = KINDS[kind].from_nothing
    chosen = _plain(algorithm) if learns else {}
    known = {field.name for field in fields(KINDS[kind].settings)}
    known |= {field.name for cls in META_LEARNERS.values() for field in fields(cls)} if kind == "meta_train" else set()
    base = parse(AlgorithmConfig, chosen, "algorithm") if learns else None
    own = {field.name for field in fields(base)} - known if base is not None else set()
    learns_by = parse(AlgorithmConfig, chosen | {n: x for n, x in named.items() if n in own}, kind) if learns else None
    settings = parse(KINDS[kind].settings, {n: x for n, x in named.items() if n not in own}, kind)
    if getattr(settings, "backend", SIMULATED) != SIMULATED:
        reason = "must be simulated: runs on real clusters go through the services"
        raise InvalidInput(kind, [Violation("backend", reason)])
    return settings, learns_by


def _plain(algorithm: Any) -> dict[str, Any]:
    if isinstance(algorithm, str):
        return {"name": algorithm}
    data = dict(algorithm) if isinstance(algorithm, Mapping) else dump(algorithm)
    if not isinstance(data, dict) or "name" not in data:
        raise InvalidInput("algorithm", [Violation("name", "is missing: name an algorithm, such as ppo")])
    return {ALIASES.get(name, name): value for name, value in data.items()}


def _run(kind: str, work: LoopWork, label: str, progress: bool | None) -> RunOutcome:
    """Make all steps, behind a bar."""
    rows, metrics, last = [], dict[str, list[tuple[int, float]]](), None
    with _one_thread(), StepBar(label, progress) as bar:
        for last in steps(work, LocalCollector()):
            bar.show(last)
            rows += [replace(row, method=row.method or label) for row in last.rows]
            for name, value in last.metrics.items():
                metrics.setdefault(name, []).append((last.step, value))
    assert last is not None  # a loop has at least one step
    learnt = last.policy if last.policy is not work.policy else None
    return RunOutcome(
        kind=kind,
        label=label,
        rows=tuple(rows),
        metrics={name: tuple(series) for name, series in metrics.items()},
        policy=ActingPolicy(learnt, label) if learnt is not None else None,
        trace=last.trace,
        task=_first(work.source),
    )


def _first(source: TaskSource) -> TaskSpec | None:
    """The task that a trace is of."""
    return None if isinstance(source, TaskDistribution) else source[0]


@contextmanager
def _one_thread() -> Iterator[None]:
    """Small tensors are faster on one thread; what the process had before is put back."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
