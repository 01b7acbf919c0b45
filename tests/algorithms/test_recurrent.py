"""PPO that learns what to remember: unrolling again equals acting, and what is cut is cut where it should be."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

from lwmecps_core import algorithms
from lwmecps_core.acting import REWARD_TERMS, Seen
from lwmecps_core.algorithms import gru, ppo
from lwmecps_core.algorithms.base import Batch, Params
from lwmecps_core.algorithms.ppo import PPO
from lwmecps_core.algorithms.recurrence import Recurrence, told_in
from lwmecps_core.algorithms.recurrent import RecurrentPPO
from lwmecps_core.algorithms.returns import generalised_advantage
from lwmecps_core.config import parse
from lwmecps_core.errors import InvalidInput
from lwmecps_core.rollout.spec_codec import algorithm_from_proto
from lwmecps_core.run_config import AlgorithmConfig, PPOConfig
from lwmecps_core.specs import EnvSpec
from lwmecps_core.testing.examples import RECURRENT, SPECS, nothing_remembered, rollout, small, whole
from lwmecps_core.tree import gradients, tree_map
from protos.lwmecps.common.v1 import settings_pb2
from tests.algorithms.bandit import earned, trained

DISCRETE = ("rows", "pairs", "flat")


def _example(spec: EnvSpec, seed: int = 1) -> tuple[RecurrentPPO, Params, Recurrence]:
    """Without an entropy bonus, so that the actor's loss is all ratios; weights that require gradients."""
    cfg = replace(small(RECURRENT), entropy_coef=0.0)  # type: ignore[call-arg]
    algo = algorithms.make(cfg, spec)
    assert isinstance(algo, RecurrentPPO)
    params, _ = algo.init(torch.Generator().manual_seed(seed))
    live = tree_map(lambda leaf: leaf.double().requires_grad_(), params)
    return algo, live, Recurrence(spec, cfg.hidden_size[-1], spec.action_entity != "global")  # type: ignore[attr-defined]


def _one_task(data: Batch) -> Batch:
    return {name: x[0] for name, x in data.items()}


def _detached(data: Batch) -> Batch:
    return {name: x.detach() for name, x in data.items()}


def _ratios(algo: RecurrentPPO, params: Params, batch: Batch) -> Tensor:
    """The likelihood ratio `[B, T]` of each transition: minus the actor's loss where it alone counts."""
    found = torch.empty_like(batch["weight"])
    for b, t in torch.cartesian_prod(*(torch.arange(n) for n in found.shape)).tolist():
        weight = torch.zeros_like(found)
        weight[b, t] = 1.0
        one = batch | {"weight": weight, "advantage": torch.ones_like(found)}
        found[b, t] = -algo.losses(params, {}, one)["actor"].detach()
    return found


@pytest.mark.parametrize("spec", SPECS)
def test_actions_one_by_one_are_as_likely_when_the_rollout_is_unrolled_again(spec: str) -> None:
    algo, params, _ = _example(SPECS[spec])
    batch = whole(algo, params, {}, _detached(_one_task(rollout(algo, params, {}, 1, tasks=1))))
    torch.testing.assert_close(_ratios(algo, params, batch), torch.ones_like(batch["weight"]), rtol=0, atol=1e-9)


@pytest.mark.parametrize("tasks", [None, 1, 3])
@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("width", [1, 700])
def test_acting_takes_in_what_is_seen_as_a_step_with_gradients_does(spec: str, tasks: int | None, width: int) -> None:
    """With weights of each task's own, or the same for all; more samples than go together, and one."""
    memory, generator = _example(SPECS[spec])[2], torch.Generator().manual_seed(2)
    lead, n = (() if tasks is None else (tasks,)), SPECS[spec].action_size
    nets = [memory.init(torch.Generator().manual_seed(i)) for i in range(tasks or 1)]
    nets = [net | {"gru_input.bias": torch.randn(len(net["gru_input.bias"]), generator=generator)} for net in nets]
    net = {name: torch.stack([each[name] for each in nets]) for name in nets[0]} if lead else nets[0]
    obs = torch.randn(*lead, width, SPECS[spec].obs_size, generator=generator)
    action = torch.randint(0, 2, (*lead, width, n), generator=generator, dtype=torch.int32)
    action = action if SPECS[spec].discrete else action.float()
    terms = torch.randn(*lead, width, len(REWARD_TERMS), generator=generator)
    told = memory.told(torch.rand(*lead, width, generator=generator) < 0.3, terms, action)
    state = torch.randn(*lead, width, memory.units, memory.size, generator=generator).clamp(-1.5, 1.5)
    expected = memory.step({name: x.requires_grad_() for name, x in net.items()}, obs, told, state).detach()
    with torch.no_grad():
        torch.testing.assert_close(memory.step(net, obs, told, state), expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize("fault", ["first", "reward_terms", "action", "begun/state"])
def test_what_was_told_or_remembered_one_interval_off_is_noticed(fault: str) -> None:
    """A flag, a reward or an action that comes an interval late, or another memory, makes other ratios."""
    algo, params, _ = _example(SPECS["rows"])
    data = _detached(_one_task(rollout(algo, params, {}, 1, tasks=1)))
    late = data[fault].roll(1, 0) if fault != "begun/state" else data[fault] + 0.5
    batch, other = (whole(algo, params, {}, some) for some in (data, data | {fault: late}))
    ratios = _ratios(algo, params, other | {"action": batch["action"], "log_prob": batch["log_prob"]})
    assert float((ratios - 1.0).abs().max()) > 1e-4


@pytest.mark.parametrize("spec", DISCRETE)
def test_the_gradient_through_stored_sequences_is_that_of_the_whole_trial_at_once(spec: str) -> None:
    algo, params, memory = _example(SPECS[spec])
    data = _one_task(rollout(algo, params, {}, 2, tasks=1, length=9))
    batch = whole(algo, params, {}, _detached(data))
    found = gradients(algo.losses(params, {}, batch), params)

    weight = batch["weight"].mT
    ratio = torch.exp(data["log_prob"] - data["log_prob"].detach())
    actor = -(weight * ratio * batch["advantage"].mT).sum() / weight.sum()
    value = _values(algo, params, memory, data)[:-1]
    critic = 0.5 * (weight * (value - batch["target"].mT).square()).sum() / weight.sum()
    expected = gradients({"actor": actor, "critic": critic}, params)
    for group, names in expected.items():
        for name, leaf in names.items():
            torch.testing.assert_close(found[group][name], leaf, rtol=1e-8, atol=1e-10, msg=f"{group}/{name}")
    parts = [algo.losses(params, {}, {k: x[b : b + 1] for k, x in batch.items()}) for b in range(3)]
    shares = batch["weight"].sum(-1) / batch["weight"].sum()
    together = {g: sum(s * part[g] for s, part in zip(shares, parts, strict=True)) for g in found}
    for group, names in gradients(together, params).items():  # type: ignore[arg-type]
        for name, leaf in names.items():
            torch.testing.assert_close(found[group][name], leaf, rtol=1e-8, atol=1e-10, msg=f"{group}/{name}")


def _values(algo: RecurrentPPO, params: Params, memory: Recurrence, data: Batch) -> Tensor:
    """The critic's opinion `[T+1, B]` of every frame, one interval after the other."""
    critic, state = PPO(algo.cfg, memory.widened), torch.zeros_like(data["begun/state"])
    values = []
    for t in range(len(data["obs"])):
        # A reset is told by the interval before, which only carried it.
        first = torch.ones(3, dtype=torch.bool) if t == 0 else ~data["valid"][t - 1]
        terms, action = (torch.zeros_like(x[0]) if t == 0 else x[t - 1] for x in (data["reward_terms"], data["action"]))
        state = memory.step(params["critic"], data["obs"][t], memory.told(first, terms, action), state)
        values.append(critic.value(params, torch.cat([data["obs"][t], state.flatten(-2)], -1)))
    return torch.stack(values)


@pytest.mark.parametrize("spec", DISCRETE)
def test_a_trial_cut_in_two_goes_on_from_the_stored_state(spec: str) -> None:
    algo, params, memory = _example(SPECS[spec])
    batch = whole(algo, params, {}, _detached(_one_task(rollout(algo, params, {}, 2, tasks=1, length=9))))
    before, after = (
        {k: x if k == "state" else x[:, part] for k, x in batch.items()} for part in (slice(5), slice(5, 9))
    )
    state = memory.unrolled(params["actor"], before["obs"], before["told"], before["state"])[:, -1]
    torch.testing.assert_close(
        _ratios(algo, params, after | {"state": state}), _ratios(algo, params, batch)[:, 5:], rtol=0, atol=1e-9
    )
    halves = [algo.losses(params, {}, half)["actor"] for half in (before, after | {"state": state})]
    sizes = [half["weight"].sum() for half in (before, after)]
    together = sum(n * loss for n, loss in zip(sizes, halves, strict=True)) / sum(sizes)
    found, expected = (
        gradients({"actor": loss}, params, retain_graph=True)["actor"]
        for loss in (together, algo.losses(params, {}, batch)["actor"])
    )
    for name, leaf in expected.items():
        torch.testing.assert_close(found[name], leaf, rtol=1e-8, atol=1e-10, msg=name)


def test_truncation_cuts_returns_and_memory_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ppo, "linear_residual", lambda obs, missed, valid: torch.zeros_like(obs[..., 0]))
    algo, params, memory = _example(SPECS["rows"])
    data = _detached(_one_task(rollout(algo, params, {}, 2, tasks=1, length=9)))
    data["truncated"] = data["terminated"] | data["truncated"]
    data["terminated"] = torch.zeros_like(data["truncated"])
    batch = whole(algo, params, {}, data)

    # Returns: those of before the end at t = 2 don't know what the next episode earns, but bootstrap at the end.
    value = _values(algo, params, memory, data).detach()
    episode = (data["terminated"], data["truncated"], algo.cfg.discount_factor, algo.cfg.gae_lambda)
    expected = generalised_advantage(data["reward"], value, *episode) + value[:-1]
    torch.testing.assert_close(batch["target"].mT, expected)
    richer = data["reward"].clone()
    richer[4:] += 1.0
    target = whole(algo, params, {}, data | {"reward": richer})["target"]
    torch.testing.assert_close(target[0, :3], batch["target"][0, :3])
    assert not torch.isclose(target[1, :3], batch["target"][1, :3]).any(), "an episode that goes on does know"

    # Memory: what the next episode begins with does know what was seen in the first.
    changed = batch["obs"].clone()
    changed[:, 0] += 1.0
    ratios = _ratios(algo, params, batch | {"obs": changed})
    assert float((ratios[0, 4:] - 1.0).abs().min()) > 1e-9


def test_the_frame_after_the_last_interval_may_begin_an_episode() -> None:
    """Its value has its own flag: what was told of the interval before belongs to another episode."""
    algo, params, memory = _example(SPECS["rows"])
    data = _detached(_one_task(rollout(algo, params, {}, 2, tasks=1, length=4)))  # the interval 3 carries a reset
    assert not data["valid"][-1, 0]
    told = told_in(memory.told, data)
    assert told[-1, :, 0].tolist() == [1.0, 0.0, 0.0] and not told[-1, 0, 1:].any()
    assert told[0, :, 0].tolist() == [1.0, 1.0, 1.0] and not told[1:-1, :, 0].any()


def _larger(spec: EnvSpec, d: int, n: int) -> EnvSpec:
    rows = {"deployment": (d,), "node": (n,), "pair": (d, n), "global": ()}
    blocks = tuple((name, (*rows[name], shape[-1])) for name, shape in spec.blocks)
    actions = d if spec.action_entity == "deployment" else d * n
    return replace(spec, blocks=blocks, nvec=spec.nvec[:1] * actions, action_size=actions)


@pytest.mark.parametrize("spec", ["rows", "pairs"])
def test_memory_moves_to_clusters_of_another_size(spec: str) -> None:
    _, params, _ = _example(SPECS[spec])
    bigger, others, _ = _example(_larger(SPECS[spec], 5, 7))
    shapes = [{g: {n: x.shape for n, x in net.items()} for g, net in some.items()} for some in (params, others)]
    assert shapes[0] == shapes[1]
    data = rollout(bigger, params, {}, 3)
    assert data["action"].shape[-1] == bigger.spec.action_size and data["begun/state"].shape[-2] == 5


@pytest.mark.parametrize("spec", ["rows", "pairs"])
def test_renumbering_deployments_and_nodes_renumbers_memory_and_actions(spec: str) -> None:
    base = _larger(SPECS[spec], 3, 4)
    algo, params, _ = _example(base)
    d_order, n_order = torch.tensor([2, 0, 1]), torch.tensor([1, 3, 0, 2])
    memories, gen = [nothing_remembered(algo, 2), nothing_remembered(algo, 2)], torch.Generator().manual_seed(0)

    def renumbered(x: Tensor, name: str) -> Tensor:
        """Rows of `x` `[2, *shape]` in the other order."""
        if name in ("deployment", "pair"):
            x = x[:, d_order]
        return x[:, n_order] if name == "node" else x[:, :, n_order] if name == "pair" else x

    def of_actions(x: Tensor) -> Tensor:
        x = x[:, d_order] if spec == "rows" else x.reshape(2, 3, 4)[:, d_order][:, :, n_order]
        return x.reshape(2, -1)

    for t in range(4):
        parts = {name: torch.randn(2, *s, generator=gen, dtype=torch.float64) for name, s in base.blocks}
        terms = torch.randn(2, len(REWARD_TERMS), generator=gen, dtype=torch.float64)
        before = torch.randint(0, 4, (2, base.action_size), generator=gen)
        noise = torch.rand(2, base.action_size, generator=gen, dtype=torch.float64)
        mask, first = torch.ones(2, base.mask_size, dtype=torch.bool), torch.full((2,), t == 2)
        out = []
        for k, moved in enumerate((lambda x, name: x, renumbered)):
            obs = torch.cat([moved(x, name).flatten(1) for name, x in parts.items()], 1)
            told = (of_actions(before), of_actions(noise)) if k else (before, noise)
            out.append(algo.act(params, {}, memories[k], Seen(obs, mask, terms, told[0], first), told[1]))
            memories[k] = dict(out[k].memory)
        torch.testing.assert_close(memories[1]["state"], memories[0]["state"][:, d_order])
        torch.testing.assert_close(out[1].action, of_actions(out[0].action))
    assert float((memories[0]["state"][:, 0] - memories[0]["state"][:, 1]).detach().abs().min()) > 1e-6


def test_minibatches_hold_whole_sequences_in_another_order_every_pass() -> None:
    algo, params, _ = _example(SPECS["rows"])
    batch = whole(algo, params, {}, _detached(rollout(algo, params, {}, 2, tasks=2, length=4)))
    batch = {name: x.flatten(0, 1).unsqueeze(0) for name, x in batch.items()}  # as one policy learns from all tasks
    parts = list(algo.minibatches(batch, torch.Generator().manual_seed(0)))  # 8 transitions: 2 sequences
    assert [part["weight"].shape for part in parts] == [(1, 2, 4)] * 3 * algo.cfg.n_epochs
    ids = [row for part in parts for row in part["target"][0, :, 0].tolist()]
    assert all(sorted(ids[i : i + 6]) == sorted(batch["target"][0, :, 0].tolist()) for i in range(0, len(ids), 6))
    assert ids[:6] != ids[6:12]
    assert all(x["state"].shape == (1, 2, 3, 6) for x in parts)


@pytest.mark.parametrize("name", ["dqn", "q_learning", "sac", "td3"])
def test_algorithms_that_keep_transitions_refuse_to_learn_what_to_remember(name: str) -> None:
    with pytest.raises(InvalidInput, match=r"context: Input should be 'none', 'statistics' or 'privileged'"):
        parse(AlgorithmConfig, {"name": name, "context": "recurrent"}, "settings")
    message = settings_pb2.AlgorithmConfig()
    getattr(message, name).context = settings_pb2.CONTEXT_RECURRENT
    with pytest.raises(InvalidInput, match="context"):
        algorithm_from_proto(message)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Small tensors are many times as slow on several threads where other processes want the cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("one_thread")
def test_a_policy_with_memory_finds_the_better_arm_and_one_without_can_not() -> None:
    """Three arms, one of which pays, another for each cluster: without memory no policy earns more than a third."""
    settings = PPOConfig(hidden_size=(16, 16), learning_rate=1e-2, batch_size=320, entropy_coef=0.003, gae_lambda=0.9)
    blind = earned(*trained(replace(settings, context="none"), 0))
    knowing = torch.stack([earned(*trained(replace(settings, context="recurrent"), seed)) for seed in (100, 200, 300)])
    assert blind.max() < 0.45
    assert knowing[:, 0].max() < 0.45, "it finds out in the first episode"
    assert knowing[:, -1].median() > 0.9, "and knows in the second; one training in six stays at two arms"


@pytest.mark.parametrize("tasks", [1, 3])
def test_compiled_sequences_and_their_gradients_are_those_of_one_interval_after_the_other(tasks: int) -> None:
    gen = torch.Generator().manual_seed(0)
    shapes = ((tasks, 2, 7, 4, 9), (tasks, 3, 9), (tasks, 2, 4, 3))
    given = [torch.rand(shape, generator=gen, dtype=torch.float64).sub(0.5).requires_grad_() for shape in shapes]
    inputs, weight, state = given
    now, stepped = state.flatten(1, 2), []
    for each in inputs.unbind(2):
        now = gru.step(each.flatten(1, 2), weight, now)
        stepped.append(now.reshape(state.shape))
    expected = torch.stack(stepped, 2)
    pull = torch.rand(expected.shape, generator=gen, dtype=torch.float64)
    found = gru.unrolled(inputs, weight, state)
    torch.testing.assert_close(found, expected)
    wanted = torch.autograd.grad(expected, given, pull)
    torch.testing.assert_close(torch.autograd.grad(found, given, pull), wanted)
    single = [x.detach().float().mul(8) for x in given]
    close = gru.unrolled(*(x.double() for x in single))
    torch.testing.assert_close(gru.unrolled(*single).double(), close, rtol=0.0, atol=1e-5)
    assert torch.autograd.gradgradcheck(gru.unrolled, given)


def test_a_traced_sequence_holds_operations_and_no_result() -> None:
    gen = torch.Generator().manual_seed(0)
    inputs, weight, state = (torch.rand(shape, generator=gen) for shape in ((1, 2, 3, 4, 9), (1, 3, 9), (1, 2, 4, 3)))
    program = make_fx(lambda x: gru.unrolled(x, weight, state))(inputs)
    torch.testing.assert_close(program(2 * inputs), gru.unrolled(2 * inputs, weight, state))
