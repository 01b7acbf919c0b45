"""The training loops: what they yield, that they can be interrupted anywhere, and their controls."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from math import inf, nan

import pytest
import torch

from lwmecps_core.algorithms import REGISTRY, make
from lwmecps_core.batch import RolloutBatch
from lwmecps_core.config import dump
from lwmecps_core.envs.actions import env_spec
from lwmecps_core.errors import InvalidInput
from lwmecps_core.meta import REGISTRY as METHODS
from lwmecps_core.optimiser import Optimiser, PackedOptimiser, with_task_axis
from lwmecps_core.policy import PolicyData, from_bytes, to_bytes
from lwmecps_core.rollout.collector import CollectionPlan, PolicySnapshot
from lwmecps_core.rollout.spec_codec import ALGORITHMS
from lwmecps_core.rollout.unroll import LocalCollector
from lwmecps_core.run_config import (
    META_LEARNERS,
    AdaptConfig,
    AlgorithmConfig,
    DQNConfig,
    EvaluateConfig,
    IMAMLConfig,
    MAMLConfig,
    MetaConfig,
    PPOConfig,
    TrainConfig,
    TransferConfig,
)
from lwmecps_core.specs import TaskDistribution, TaskSpec
from lwmecps_core.tasks.families import draw
from lwmecps_core.testing.examples import A_RULE
from lwmecps_core.training import adapt, evaluate, meta_train, train, transfer
from lwmecps_core.training.guard import SETBACK
from lwmecps_core.training.progress import LoopState, Progress
from lwmecps_core.training.sampling import seeds
from lwmecps_core.tree import flatten, leaves, row, tree_map

PPO = PPOConfig(hidden_size=(8, 8), batch_size=64, n_epochs=2)
DQN = DQNConfig(hidden_size=(8, 8), updates_per_batch=3, memory_size=100)
TINY = A_RULE | {
    "hidden_size": (8, 8),
    "batch_size": 64,
    "n_epochs": 2,
    "updates_per_batch": 3,
    "memory_size": 100,
    "table_size": 64,
}
CITY = TaskDistribution(nodes=2, deployments=2, max_replicas=3, horizon=8)
TASKS: tuple[TaskSpec, ...] = tuple(draw(CITY, seed) for seed in range(3))
COLLECTOR = LocalCollector()
META = MetaConfig(
    num_meta_epochs=4,
    warmup_epochs=2,
    adaptation_steps=2,
    meta_batch_size=3,
    episodes_per_step=2,
    outer_epochs=2,
    tasks_per_update=2,
)


def _tiny(name: str) -> AlgorithmConfig:
    """Any algorithm in a small size."""
    settings = ALGORITHMS[name]()
    found: AlgorithmConfig = replace(settings, **{k: v for k, v in TINY.items() if hasattr(settings, k)})
    return found


def _city_for(algorithm: AlgorithmConfig) -> TaskDistribution:
    """The city in the first kind of environment that the algorithm accepts."""
    for env_id in ("lwmecps-v3", "lwmecps-v1", "lwmecps-v3-continuous"):
        city = replace(CITY, env_id=env_id)
        try:
            make(algorithm, env_spec(draw(city, 0)))
        except InvalidInput:
            continue
        return city
    raise LookupError(algorithm.name)


def _meta(method: str, algorithm: AlgorithmConfig, start: LoopState | None) -> Iterator[Progress]:
    cfg = replace(META, learner=META_LEARNERS[method]())
    return meta_train(_city_for(algorithm), algorithm, cfg, COLLECTOR, seed=1, start=start)


def _adapt(policy: Callable[[], PolicyData], start: LoopState | None) -> Iterator[Progress]:
    return adapt(policy(), TASKS, AdaptConfig(adaptation_steps=3, inner_lr=0.5), COLLECTOR, seed=1, start=start)


Loop = Callable[[LoopState | None], Iterator[Progress]]
LOOPS: dict[str, Loop] = {
    **{f"{method}_ppo": partial(_meta, method, PPO) for method in METHODS},
    **{f"maml_{name}": partial(_meta, "maml", _tiny(name)) for name in REGISTRY},
    "train": lambda start: train(
        CITY,
        PPO,
        TrainConfig(total_episodes=16, tasks_per_batch=2, episodes_per_batch=2),
        COLLECTOR,
        seed=1,
        start=start,
    ),
    "train_dqn": lambda start: train(
        CITY,
        DQN,
        TrainConfig(total_episodes=16, tasks_per_batch=2, episodes_per_batch=2),
        COLLECTOR,
        seed=1,
        start=start,
    ),
    "independent": lambda start: train(
        TASKS,
        PPO,
        TrainConfig(total_episodes=8, episodes_per_batch=2, independent=True, evaluation_episodes=2),
        COLLECTOR,
        seed=1,
        start=start,
    ),
    "transfer": lambda start: transfer(
        _untrained(), TASKS, TransferConfig(total_episodes=8, episodes_per_batch=2), COLLECTOR, seed=1, start=start
    ),
    "adapt": partial(_adapt, lambda: _untrained()),
    "adapt_implicitly": partial(_adapt, lambda: _untrained({"meta_learner": dump(IMAMLConfig(proximal=0.1))})),
}


def _untrained(metadata: dict[str, object] | None = None) -> PolicyData:
    spec = env_spec(TASKS[0])
    params, extra = make(PPO, spec).init(torch.Generator().manual_seed(0))
    return PolicyData(PPO, spec, params, extra, metadata=metadata or {})


def _copied(state: LoopState) -> LoopState:
    tensors = {name: x.clone() for name, x in state.tensors.items()}
    return LoopState(state.step, tensors, json.loads(json.dumps(state.scalars)))


@pytest.mark.parametrize("name", LOOPS)
def test_a_loop_interrupted_after_any_step_ends_with_the_same_bits(name: str) -> None:
    states = [(_copied(p.state), p.metrics) for p in LOOPS[name](None)]
    assert len(states) == 4
    for state, _ in states[:-1]:
        resumed = [(_copied(p.state), p.metrics) for p in LOOPS[name](state)]
        assert resumed[-1][1] == states[-1][1]
        final, expected = resumed[-1][0].tensors, states[-1][0].tensors
        assert final.keys() == expected.keys()
        assert all(torch.equal(final[key], expected[key]) for key in expected)


def test_meta_training_teaches_rates_and_a_policy_file_keeps_them() -> None:
    *_, last = LOOPS["maml_ppo"](None)
    assert last.policy is not None
    assert set(last.policy.learnt) == {"actor"}
    assert any(bool((x != META.inner_lr).any()) for x in leaves(last.policy.learnt))
    again = from_bytes(to_bytes(last.policy), "test")
    kept, given = flatten(again.params, "p"), flatten(last.policy.params, "p")
    assert kept.keys() == given.keys() and all(torch.equal(kept[name], given[name]) for name in given)
    assert again.algorithm == PPO and again.env_spec == last.policy.env_spec


def test_a_policy_that_holds_no_numbers_is_refused_by_the_name_of_its_tensor() -> None:
    *_, last = LOOPS["maml_ppo"](None)
    assert last.policy is not None
    group, name = next((g, n) for g, names in last.policy.params.items() for n in names)
    for bad in (nan, inf):
        spoilt = {g: dict(names) for g, names in last.policy.params.items()}
        spoilt[group][name] = torch.full_like(spoilt[group][name], bad)
        with pytest.raises(InvalidInput, match=f"params/{group}/{name} holds NaN or infinite numbers"):
            from_bytes(to_bytes(replace(last.policy, params=spoilt)), "test")


def test_adaptation_reports_every_step_for_every_task_and_its_data() -> None:
    *_, meta = LOOPS["maml_ppo"](None)
    assert meta.policy is not None
    cfg = AdaptConfig(adaptation_steps=2, episodes_per_step=3, evaluation_episodes=2, compare_oracle=True)
    steps = list(adapt(meta.policy, TASKS, cfg, COLLECTOR, seed=5))
    assert [[(r.task, r.inner_steps, r.env_steps) for r in p.rows] for p in steps] == [
        [(t.name, j, episodes * CITY.horizon) for t in TASKS]
        for j, episodes in enumerate((0, 3 + 1 + 3, 3 + 1 + 3 + 3 + 3))
    ]  # before the first step the tasks are left alone, and an episode is tried; after the last one comes the proof
    assert {"test_avg_reward", "test_avg_length", "adaptation_speed", "adaptation_accuracy"} <= steps[-1].metrics.keys()


@pytest.mark.parametrize("method", METHODS)
def test_meta_training_measures_every_method_by_the_same_metrics(method: str) -> None:
    *_, last = LOOPS[f"{method}_ppo"](None)
    assert last.policy is not None
    common = {"meta_loss", "gradient_norm", "adaptation_speed", "task_performance"}
    own = {"inner_gradient_norm", "solver_residual"} if method == "imaml" else set()
    assert common | own <= last.metrics.keys()
    learnt = any(bool((x != META.inner_lr).any()) for x in leaves(last.policy.learnt))
    assert learnt == {"maml": True, "fomaml": True, "imaml": False, "reptile": False}.get(method, learnt)
    assert from_bytes(to_bytes(last.policy), "test").metadata["meta_learner"]["name"] == method


class Watched(LocalCollector):
    """Remembers the plans of what it collects with chance."""

    def __init__(self) -> None:
        super().__init__()
        self.plans: list[CollectionPlan] = []
        self.collected: list[list[RolloutBatch]] = []

    def collect(self, tasks: Sequence[TaskSpec], snapshot: PolicySnapshot, plan: CollectionPlan) -> list[RolloutBatch]:
        """See `Collector.collect`."""
        batches = super().collect(tasks, snapshot, plan)
        if not plan.greedy:
            self.plans.append(plan)
            self.collected.append(batches)
        return batches


def test_a_policy_adapts_by_the_inner_rule_that_it_was_taught() -> None:
    distances = []
    for proximal in (1e-9, 50.0):
        watched = Watched()
        policy = _untrained({"meta_learner": dump(IMAMLConfig(proximal=proximal))})
        cfg = AdaptConfig(adaptation_steps=5, inner_lr=0.01, keep_start_if_worse=False, keep_placement_if_worse=False)
        *_, last = adapt(policy, TASKS[:1], cfg, watched, seed=5)
        assert len(watched.plans) == 1  # one frozen support batch
        assert last.rows[0].env_steps == cfg.episodes_per_step * CITY.horizon
        assert last.policy is not None
        moved = tree_map(torch.sub, last.policy.params, policy.params)
        distances.append(float(sum(x.square().sum() for x in leaves(moved))))
    assert distances[1] < 0.5 * distances[0]


@pytest.mark.parametrize(
    ("former", "now"),
    [
        ({"meta_method": "implicit_fomaml", "proximal": 0.1}, IMAMLConfig(proximal=0.1)),
        ({"meta_method": "fomaml", "proximal": 1.0}, MAMLConfig()),
    ],
)
def test_a_policy_from_before_there_was_a_meta_learner_in_it_adapts_as_it_did(
    former: dict[str, object], now: object
) -> None:
    cfg = AdaptConfig(adaptation_steps=2, inner_lr=0.1, keep_start_if_worse=False, keep_placement_if_worse=False)
    ends = []
    for metadata in (former, {"meta_learner": dump(now)}):
        *_, last = adapt(_untrained(metadata), TASKS[:1], cfg, COLLECTOR, seed=5)
        assert last.policy is not None
        ends.append(leaves(last.policy.params))
    assert all(torch.equal(a, b) for a, b in zip(*ends, strict=True))


def test_the_start_is_kept_on_every_task_where_adapted_support_episodes_are_worse() -> None:
    policy, watched = _untrained(), Watched()
    cfg = AdaptConfig(adaptation_steps=1, inner_lr=3.0, episodes_per_step=2, keep_placement_if_worse=False)
    tasks = tuple(draw(CITY, seed) for seed in range(6))
    start, safe = adapt(policy, tasks, cfg, watched, seed=5)
    _, bold = adapt(policy, tasks, replace(cfg, keep_start_if_worse=False), COLLECTOR, seed=5)
    assert [plan.seeds for plan in watched.plans] == [seeds(5, "support-1", len(tasks))] * 2

    def support(state: LoopState) -> list[float]:
        params = {g: {n: state.tensors[f"params/{g}/{n}"] for n in names} for g, names in policy.params.items()}
        batches = COLLECTOR.collect(tasks, PolicySnapshot(PPO, params, {}, 0, per_task=True), watched.plans[0])
        return [float(b.reward.sum(0).mean()) for b in batches]

    worse = [after < before for before, after in zip(support(start.state), support(bold.state), strict=True)]
    assert any(worse) and not all(worse)
    assert safe.metrics["kept_start"] == pytest.approx(sum(worse) / len(worse))
    for name, x in safe.state.tensors.items():
        for task, back in enumerate(worse):
            assert torch.equal(x[task], (start if back else bold).state.tensors[name][task])
    assert "kept_start" not in bold.metrics


def test_a_step_after_which_support_episodes_lose_a_fifth_is_undone_and_the_next_is_half_as_long() -> None:
    policy, watched = _untrained(), Watched()
    cfg = AdaptConfig(adaptation_steps=3, inner_lr=3.0, episodes_per_step=2, keep_placement_if_worse=False)
    tasks = tuple(draw(CITY, seed) for seed in range(6))
    start, one, two, _ = adapt(policy, tasks, cfg, watched, seed=5)
    _, bold_one, bold_two, _ = adapt(policy, tasks, replace(cfg, keep_start_if_worse=False), COLLECTOR, seed=5)

    before, after = ([float(b.reward.sum(0).mean()) for b in batches] for batches in watched.collected[:2])
    lost = [new < old - SETBACK * abs(old) for old, new in zip(before, after, strict=True)]
    assert any(lost) and not all(lost)
    assert two.metrics["undone"] == pytest.approx(sum(lost) / len(lost))
    for name, x in two.state.tensors.items():
        for task, back in enumerate(lost):
            assert torch.equal(one.state.tensors[name][task], bold_one.state.tensors[name][task])
            assert torch.equal(x[task], (start if back else bold_two).state.tensors[name][task])
    assert two.state.scalars["guard"]["shares"] == [0.5 if down else 1.0 for down in lost]


def test_the_first_row_of_adaptation_equals_an_evaluation_of_the_policy() -> None:
    *_, meta = LOOPS["maml_ppo"](None)
    cfg = AdaptConfig(adaptation_steps=1, evaluation_episodes=2)
    unadapted = next(iter(adapt(meta.policy, TASKS, cfg, COLLECTOR, seed=5))).rows  # type: ignore[arg-type]
    (evaluated,) = evaluate(meta.policy, TASKS, EvaluateConfig(episodes=2), COLLECTOR, seed=5)
    assert [r.reward for r in unadapted] == pytest.approx([r.reward for r in evaluated.rows], rel=1e-5)


def test_random_weights_are_a_control_and_not_the_policy() -> None:
    *_, meta = LOOPS["maml_ppo"](None)
    assert meta.policy is not None
    starts = []
    for random_weights in (False, True):
        cfg = AdaptConfig(adaptation_steps=1, random_weights=random_weights)
        first = next(iter(adapt(meta.policy, TASKS[:1], cfg, COLLECTOR, seed=5)))
        assert first.policy is not None
        starts.append(leaves(first.policy.params))
    assert all(torch.equal(a, b) for a, b in zip(starts[0], leaves(meta.policy.params), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(*starts, strict=True))


def test_transfer_starts_from_the_given_weights() -> None:
    *_, source = LOOPS["train"](None)
    assert source.policy is not None
    cfg = TransferConfig(total_episodes=1, episodes_per_batch=1, learning_rate=1e-9)
    *_, moved = transfer(source.policy, TASKS, cfg, COLLECTOR, seed=2)
    assert moved.policy is not None
    for a, b in zip(leaves(moved.policy.params), leaves(source.policy.params), strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("given", "asked", "trained", "moved"),
    [(None, (None, None), 100, 20), (None, (6, None), 6, 6), (None, (6, 14), 14, 14), (8, (6, 14), 8, 8)],
)
def test_a_run_that_says_nothing_trains_as_long_as_its_tasks_say(
    given: int | None, asked: tuple[int | None, ...], trained: int, moved: int
) -> None:
    tasks = tuple(replace(task, episodes=n) for task, n in zip(TASKS, asked, strict=False))
    cfg = TrainConfig(total_episodes=given, episodes_per_batch=2)
    onwards = TransferConfig(total_episodes=given, episodes_per_batch=2)
    assert next(train(tasks, PPO, cfg, COLLECTOR, seed=1)).total == trained / 2
    assert next(train(tasks, PPO, replace(cfg, independent=True), COLLECTOR, seed=1)).total == trained / 2
    assert next(transfer(_untrained(), tasks, onwards, COLLECTOR, seed=1)).total == moved / 2


def test_a_policy_is_refused_on_an_environment_it_was_not_made_for() -> None:
    *_, source = LOOPS["train"](None)
    elsewhere = draw(TaskDistribution(env_id="lwmecps-v4", nodes=2, deployments=2, max_replicas=3, horizon=8), 0)
    with pytest.raises(InvalidInput, match="env_id"):
        next(iter(evaluate(source.policy, (elsewhere,), EvaluateConfig(), COLLECTOR, seed=0)))


def test_independent_policies_learn_side_by_side_as_they_would_alone() -> None:
    cfg = TrainConfig(total_episodes=8, episodes_per_batch=2, independent=True)
    ends = [list(train(tasks, PPO, cfg, COLLECTOR, seed=1))[-1].state.tensors for tasks in (TASKS, TASKS[:1])]
    for name, x in ends[1].items():
        if name.startswith("params/"):
            torch.testing.assert_close(ends[0][name][0], x[0], atol=1e-4, rtol=1e-3)


def test_adam_steps_each_task_as_it_would_alone() -> None:
    gen = torch.Generator().manual_seed(0)
    start = {"g": {"w": torch.randn(3, 4, generator=gen)}}
    pulls = [{"g": {"w": torch.randn(3, 4, generator=gen) * scale}} for scale in (0.1, 10.0, 1.0)]
    together = Optimiser(start, 0.1, 1.0)
    alone = [Optimiser({"g": {"w": start["g"]["w"][k : k + 1]}}, 0.1, 1.0) for k in range(3)]
    for pull in pulls:
        together.step(pull)
        for k in range(3):
            alone[k].step({"g": {"w": pull["g"]["w"][k : k + 1]}})
    for k in range(3):
        torch.testing.assert_close(together.params["g"]["w"][k], alone[k].params["g"]["w"][0])


def test_adam_pairs_elements_whatever_the_layout_of_gradients() -> None:
    gen = torch.Generator().manual_seed(0)
    start, grad = torch.randn(2, 3, 4, generator=gen), torch.randn(2, 3, 4, generator=gen)
    ends = []
    for laid_out in (grad, grad.transpose(1, 2).contiguous().transpose(1, 2)):
        optimiser = Optimiser({"g": {"w": start}}, 0.1, inf)
        for _ in range(2):
            optimiser.step({"g": {"w": laid_out}})
        ends.append(optimiser.params["g"]["w"].detach())
    assert torch.equal(*ends)


def test_a_packed_optimiser_steps_like_one_that_goes_leaf_by_leaf() -> None:
    generator = torch.Generator().manual_seed(3)
    start = {
        "net": {"w": torch.randn(5, 3, generator=generator), "b": torch.randn(3, generator=generator)},
        "rate": {"w": torch.randn(2, generator=generator)},
    }
    packed = PackedOptimiser(start, 0.1, 1.0, {"rate": 0.01})
    plain = Optimiser(with_task_axis(start, 1), 0.1, 1.0, {"rate": 0.01})
    for _ in range(3):
        grads = tree_map(lambda leaf: torch.randn(leaf.shape, generator=generator), start)
        torch.testing.assert_close(packed.step(grads), plain.step(with_task_axis(grads, 1)))
        torch.testing.assert_close(packed.params, row(plain.params, 0))
    again = PackedOptimiser(start, 0.1, 1.0, {"rate": 0.01})
    again.restore({name: x.clone() for name, x in packed.state().items()})
    for optimiser in (packed, again):
        optimiser.step(grads)
    assert all(torch.equal(a, b) for a, b in zip(leaves(packed.params), leaves(again.params), strict=True))
