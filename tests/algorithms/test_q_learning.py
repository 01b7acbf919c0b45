"""Q-learning's own mathematics: the table finds optimal values, and an update moves what was visited, nothing else."""

from dataclasses import replace
from itertools import product

import pytest
import torch
from torch import Tensor

from lwmecps_core.algorithms.base import Batch, Extra, first_seen
from lwmecps_core.algorithms.q_learning import QLearning
from lwmecps_core.errors import InvalidInput
from lwmecps_core.optimiser import Optimiser
from lwmecps_core.run_config import QLearningConfig
from lwmecps_core.specs import EnvSpec
from lwmecps_core.testing.examples import BOX, PAIRS, ROWS
from lwmecps_core.tree import expanded, expanded_extra, gradients

SPEC = EnvSpec(env_id="lwmecps-v1", blocks=(("global", (3,)),), nvec=(2,), action_size=1, horizon=10)
CFG = QLearningConfig(learning_rate=0.5, discount_factor=0.8, bins=3, table_size=27)
NEXT = [[0, 1], [0, 2], [2, 2]]
REWARD = [[0.1, 0.0], [0.0, 1.0], [0.0, 0.0]]
STATES = torch.eye(3, dtype=torch.float64)
VISITS = [(s, a) for s in range(2) for a in range(2)]


def _value_iteration(allowed: Tensor) -> Tensor:
    q = torch.zeros(3, 2, dtype=torch.float64)
    for _ in range(200):
        best = q.masked_fill(~allowed, -1e9).amax(1)
        best[2] = 0.0
        rows = [[REWARD[s][a] + CFG.discount_factor * best[NEXT[s][a]] for a in range(2)] for s in range(3)]
        q = torch.tensor(rows, dtype=torch.float64)
    return q


def _batch(visits: list[tuple[int, int]], allowed: Tensor) -> Batch:
    batch = {
        "obs": torch.stack([STATES[s] for s, _ in visits]),
        "next_obs": torch.stack([STATES[NEXT[s][a]] for s, a in visits]),
        "mask": torch.stack([allowed[s] for s, _ in visits]),
        "next_mask": torch.stack([allowed[NEXT[s][a]] for s, a in visits]),
        "action": torch.tensor([[a] for _, a in visits], dtype=torch.int32),
        "reward": torch.tensor([REWARD[s][a] for s, a in visits], dtype=torch.float64),
        "discount": torch.tensor(
            [0.0 if NEXT[s][a] == 2 else CFG.discount_factor for s, a in visits], dtype=torch.float64
        ),
        "weight": torch.ones(len(visits), dtype=torch.float64),
    }
    return {k: v.unsqueeze(0) for k, v in batch.items()}


def _learner(cfg: QLearningConfig = CFG) -> tuple[QLearning, Optimiser, Extra]:
    algo = QLearning(cfg, SPEC)
    params, extra = algo.init(torch.Generator().manual_seed(0))
    table = params["critic"]["table"].double()
    outer = Optimiser(
        expanded({"critic": {"table": table}}, 1), algo.learning_rate, algo.max_grad_norm, method=algo.optimiser
    )
    return algo, outer, expanded_extra({"table": extra["table"].double()}, 1)


def _learn(algo: QLearning, outer: Optimiser, extra: Extra, batch: Batch, generator: torch.Generator) -> Extra:
    for part in algo.minibatches(batch, generator):
        outer.step(gradients(algo.losses(outer.params, extra, part), outer.params))
        extra = algo.after_update(outer.params, extra)
    return extra


@pytest.mark.parametrize("forbidden", [None, (1, 1)])
def test_values_converge_to_those_of_value_iteration_over_allowed_choices(forbidden: tuple[int, int] | None) -> None:
    allowed = torch.ones(3, 2, dtype=torch.bool)
    if forbidden is not None:
        allowed[forbidden] = False
    algo, outer, extra = _learner()
    generator = torch.Generator().manual_seed(1)
    for _ in range(80):
        extra = _learn(algo, outer, extra, _batch(VISITS * 10, allowed), generator)
    table = outer.params["critic"]["table"][0].detach()
    torch.testing.assert_close(table[algo.rows(STATES)][:2], _value_iteration(allowed)[:2], atol=1e-6, rtol=0)
    seen = first_seen(algo.spec, STATES[:2], allowed[:2])
    greedy = algo.act({"critic": {"table": table}}, {}, {}, seen, None).action.squeeze(-1)
    best = _value_iteration(allowed)[:2].masked_fill(~allowed[:2], -1e9).argmax(1)
    assert torch.equal(greedy.long(), best)


def test_a_step_moves_visited_cells_by_the_rate_times_their_mean_error_and_no_other_bit() -> None:
    algo, outer, extra = _learner(replace(CFG, learning_rate=0.25))
    before = outer.params["critic"]["table"][0].detach().clone()
    allowed = torch.ones(3, 2, dtype=torch.bool)
    batch = _batch([(0, 1), (1, 1), (0, 1), (0, 1)], allowed)
    batch["reward"] = torch.tensor([[100.0, -3.0, 50.0, 1e6]], dtype=torch.float64)
    batch["weight"][0, 3] = 0.0  # a reset
    outer.step(gradients(algo.losses(outer.params, extra, batch), outer.params))
    after = outer.params["critic"]["table"][0].detach()
    start, middle, _ = algo.rows(STATES).tolist()
    future = CFG.discount_factor * before[middle].max()
    expected = before.clone()
    expected[start, 1] += 0.25 * ((100.0 + future - before[start, 1]) + (50.0 + future - before[start, 1])) / 2
    expected[middle, 1] += 0.25 * (-3.0 - before[middle, 1])
    torch.testing.assert_close(after, expected, rtol=1e-12, atol=1e-12)
    untouched = torch.ones_like(before, dtype=torch.bool)
    untouched[start, 1] = untouched[middle, 1] = False
    assert torch.equal(after[untouched], before[untouched])


def test_targets_come_from_the_table_as_the_last_update_left_it() -> None:
    algo, outer, extra = _learner()
    before = outer.params["critic"]["table"].detach().clone()
    extra = _learn(algo, outer, extra, _batch(VISITS, torch.ones(3, 2, dtype=torch.bool)), torch.Generator())
    after = outer.params["critic"]["table"].detach()
    assert not torch.equal(after, before)
    assert torch.equal(extra["table"], after) and extra["table"].data_ptr() != after.data_ptr()


def _grid(levels: int, features: int) -> Tensor:
    centres = (2 * torch.arange(levels) + 1) / levels - 1
    return torch.cartesian_prod(*[centres] * features)


def test_every_tuple_of_intervals_has_its_own_row_where_the_table_is_large_enough() -> None:
    rows = QLearning(CFG, SPEC).rows(_grid(3, 3))
    assert sorted(rows.tolist()) == list(range(27))


@pytest.mark.parametrize(("bins", "features", "table_size"), [(6, 6, 1024), (6, 6, 999), (2, 15, 512), (8, 5, 500)])
def test_rows_are_shared_evenly_where_tuples_are_more(bins: int, features: int, table_size: int) -> None:
    spec = replace(SPEC, blocks=(("global", (80,)),))
    mean = bins**features / table_size
    for first in (0, 80 - features):
        obs = torch.zeros(bins**features, 80)
        obs[:, first : first + features] = _grid(bins, features)
        rows = QLearning(QLearningConfig(bins=bins, table_size=table_size), spec).rows(obs)
        count = torch.bincount(rows, minlength=table_size).double()
        # No further from even than by chance: the variance of fair draws is their mean.
        assert float((count - mean).square().mean()) < 1.2 * mean


def test_observations_beyond_the_usual_scale_belong_to_the_outermost_intervals() -> None:
    rows = QLearning(CFG, SPEC).rows
    near, far = torch.tensor([[-1.0, 0.0, 1.0]]), torch.tensor([[-10.0, 0.3, 10.0]])
    assert torch.equal(rows(near), rows(far))
    assert len({int(rows(torch.tensor(list(x)))) for x in product((-0.5, 0.0, 0.5), repeat=3)}) == 27


@pytest.mark.parametrize("spec", [ROWS, PAIRS, BOX])
def test_environments_of_many_or_continuous_actions_are_refused_by_name(spec: EnvSpec) -> None:
    with pytest.raises(InvalidInput, match=f"name: q_learning .* {spec.env_id}"):
        QLearning(CFG, spec)
