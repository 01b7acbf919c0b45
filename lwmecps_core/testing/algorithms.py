"""What every algorithm promises (see `Algorithm`), on every kind of environment."""

import pytest
import torch

from lwmecps_core.algorithms.base import first_seen
from lwmecps_core.testing.examples import Example, nothing_remembered, rollout, whole
from lwmecps_core.tree import expanded, expanded_extra, gradients, leaves, row, tree_map


class AlgorithmConformance:
    """Subclass it and give it an `example`: an algorithm on a small environment, with its parameters and extra state.

    `examples.make` has one of each algorithm and spec.
    """

    def test_a_leading_task_axis_equals_a_loop_over_tasks(self, example: Example) -> None:
        algo, params, extra = example
        many = tree_map(lambda leaf: leaf.clone(), expanded(params, 3))
        gen = torch.Generator().manual_seed(0)
        many = tree_map(lambda leaf: leaf + 0.1 * torch.randn(leaf.shape, generator=gen, dtype=leaf.dtype), many)
        many_extra = expanded_extra(extra, 3)
        data = rollout(algo, params, extra, 5, tasks=3)
        batch = whole(algo, many, many_extra, data)
        together = algo.losses(many, many_extra, batch)
        for task in range(3):
            mine = row(many, task)
            prepared = whole(algo, mine, extra, {k: v[task] for k, v in data.items()})
            assert prepared.keys() == batch.keys()
            for field in batch:
                if not field.endswith("noise"):  # drawn for all tasks at once
                    torch.testing.assert_close(prepared[field], batch[field][task])
            alone = algo.losses(mine, extra, {k: v[task] for k, v in batch.items()})
            assert alone.keys() == together.keys() <= params.keys()
            for group, loss in alone.items():
                torch.testing.assert_close(together[group][task], loss, rtol=1e-10, atol=1e-12)
        noise = torch.rand(3, 4, algo.noise_size, generator=gen, dtype=torch.float64)
        obs, mask = data["obs"][:, 0].repeat(1, 2, 1)[:, :4], data["mask"][:, 0].repeat(1, 2, 1)[:, :4]
        memory = nothing_remembered(algo, 4)
        many_memory = expanded_extra(memory, 3)
        acted = algo.act(many, many_extra, many_memory, first_seen(algo.spec, obs, mask), noise)
        for task in range(3):
            seen = first_seen(algo.spec, obs[task], mask[task])
            alone_out = algo.act(row(many, task), extra, memory, seen, noise[task])
            torch.testing.assert_close(acted.action[task], alone_out.action)
            assert alone_out.memory.keys() == memory.keys()
            for kept, x in alone_out.memory.items():
                torch.testing.assert_close(acted.memory[kept][task], x)

    def test_every_field_of_a_batch_has_tasks_and_samples_in_front(self, example: Example) -> None:
        algo, params, extra = example
        many, many_extra = expanded(params, 2), expanded_extra(extra, 2)
        batch = whole(algo, many, many_extra, rollout(algo, params, extra, 4, tasks=2))
        part = next(iter(algo.minibatches(batch, torch.Generator().manual_seed(0))))
        for made in (batch, part):
            assert {x.shape[:2] for x in made.values()} == {made["weight"].shape[:2]}
        assert algo.losses(many, many_extra, part).keys() <= params.keys()

    def test_gradient_of_each_group_equals_finite_differences(self, example: Example) -> None:
        algo, params, extra = example
        batch = whole(algo, params, extra, {k: v[0] for k, v in rollout(algo, params, extra, 3, tasks=1).items()})
        live = tree_map(lambda leaf: leaf.clone().requires_grad_(), params)
        found = gradients(algo.losses(live, extra, batch), live)
        gen = torch.Generator().manual_seed(2)
        h = 1e-6
        for group in found:
            direction = {
                n: torch.randn(leaf.shape, generator=gen, dtype=leaf.dtype) for n, leaf in params[group].items()
            }
            moved = [
                {**params, group: {n: leaf + sign * h * direction[n] for n, leaf in params[group].items()}}
                for sign in (1, -1)
            ]
            up, down = (algo.losses(p, extra, batch)[group] for p in moved)
            expected = (up - down) / (2 * h)
            slope = sum((found[group][n] * direction[n]).sum() for n in direction)
            torch.testing.assert_close(slope, expected, rtol=1e-6, atol=1e-9)

    def test_loss_is_deterministic_and_ignores_invalid_transitions(self, example: Example) -> None:
        algo, params, extra = example
        data = {k: v[0] for k, v in rollout(algo, params, extra, 7, tasks=1).items()}
        batch = whole(algo, params, extra, data)
        dead = batch["weight"] == 0
        assert dead.any()
        spoilt = {k: batch[k].masked_fill(dead, 1e6) for k in ("reward", "advantage", "target") if k in batch}
        reward = data["reward"].masked_fill(~data["valid"], 1e6)
        for group, loss in algo.losses(params, extra, batch).items():
            assert torch.equal(loss, algo.losses(params, extra, batch)[group])
            for other in (batch | spoilt, whole(algo, params, extra, data | {"reward": reward})):
                torch.testing.assert_close(algo.losses(params, extra, other)[group], loss)

    def test_act_never_takes_a_forbidden_choice(self, example: Example) -> None:
        algo, params, extra = example
        if not algo.spec.discrete:
            pytest.skip("continuous actions have no mask")
        n = algo.spec.nvec[0]
        gen = torch.Generator().manual_seed(3)
        obs = torch.randn(400, algo.spec.obs_size, generator=gen, dtype=torch.float64)
        mask = torch.rand(400, len(algo.spec.nvec), n, generator=gen) < 0.4
        mask[..., 1] |= ~mask.any(-1)
        for noise in (None, torch.rand(400, algo.noise_size, generator=gen, dtype=torch.float64)):
            seen = first_seen(algo.spec, obs, mask.flatten(1))
            action = algo.act(params, extra, nothing_remembered(algo, 400), seen, noise).action.long()
            assert mask.gather(-1, action.unsqueeze(-1)).all()

    def test_equal_generators_give_equal_weights_and_others_do_not(self, example: Example) -> None:
        algo, _, _ = example
        first, second, third = (leaves(algo.init(torch.Generator().manual_seed(s))[0]) for s in (1, 1, 2))
        assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
        assert not all(torch.equal(a, b) for a, b in zip(first, third, strict=True))

    def test_descent_of_a_group_on_one_batch_lowers_its_loss(self, example: Example) -> None:
        """One group at a time: an actor's loss also rises with its critic's opinion of the policy."""
        algo, start, extra = example
        batch = whole(algo, start, extra, {k: v[0] for k, v in rollout(algo, start, extra, 9, tasks=1).items()})
        before = algo.losses(start, extra, batch)
        for group in before:
            params = start
            for _ in range(20):
                params = tree_map(lambda leaf: leaf.detach().requires_grad_(), params)
                step = gradients(algo.losses(params, extra, batch), params, [group])[group]
                params = params | {group: {n: leaf - 0.02 * step[n] for n, leaf in params[group].items()}}
            assert float(algo.losses(params, extra, batch)[group].detach()) < float(before[group])
