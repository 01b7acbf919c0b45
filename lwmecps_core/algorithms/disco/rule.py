"""The meta-network of a learnt update rule: what an agent went through in, what its outputs shall be out.

Pure functions of the rule's weights, which are flat: the name of a layer and `/w` or `/b` → `[..., in, out]` or
`[..., out]`. A leading task axis of everything makes one call the work of many. Time comes before agents:
`[..., T, N]`.

Source: Oh et al. 2025, Nature, doi:10.1038/s41586-025-09761-x, methods; the network's wiring is that of the published
weights, checked number by number in `tests/algorithms/test_disco.py`.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from lwmecps_core.algorithms.count_loops import FORBIDDEN
from lwmecps_core.algorithms.disco import value
from lwmecps_core.algorithms.disco.value import signed_log

Rule = dict[str, Tensor]
DISCOUNT, TRACE = 0.997, 0.95
"""Of the returns that the published rule was learnt with: per step, and λ."""
OWN, LIFE = "lstm", "lstm/~/meta_lstm/~unroll"
"""Where the weights stand that read a trajectory for its targets, and those that read it for what is kept of it."""


@dataclass(frozen=True)
class Trajectory:
    """What N agents went through in T steps, and what they, and their slower copies, say of it.

    Frames have one step more than actions: policies (log-probabilities) `logits` and those of the copy `slow_logits`
    `[..., T+1, N, A]`; predictions `y`, `slow_y` `[..., T+1, N, P]`, of each action `z`, `slow_z` `[..., T+1, N, A, P]`
    (logits) and values of each action `q`, `slow_q` `[..., T+1, N, A]`; which choices are `allowed` `[..., T+1, N, A]`.
    Steps: what was done `action` `[..., T, N]`, by which policy `behaviour` `[..., T, N, A]`, `reward` and whether the
    episode `ended` there `[..., T, N]`.
    """

    logits: Tensor
    slow_logits: Tensor
    y: Tensor
    slow_y: Tensor
    z: Tensor
    slow_z: Tensor
    q: Tensor
    slow_q: Tensor
    allowed: Tensor
    action: Tensor
    behaviour: Tensor
    reward: Tensor
    ended: Tensor


@dataclass(frozen=True)
class Life:
    """What a rule keeps of an agent's life: the state of its recurrence, `hidden` and `cell` `[..., H]`, and running
    moments of advantages `[..., 3]`.
    """

    hidden: Tensor
    cell: Tensor
    moments: Tensor


@dataclass(frozen=True)
class Targets:
    """What outputs at each step shall be: logits of the policy `pi` `[..., T, N, A]`, of predictions `y` and, for the
    action that was taken, `z` `[..., T, N, P]`, and that action's value `q` `[..., T, N]`.
    """

    pi: Tensor
    y: Tensor
    z: Tensor
    q: Tensor


def nothing_kept(rule: Rule) -> Life:
    """At the start of a life; it has the rule's task axis."""
    weight = rule[f"{OWN}/linear/w"]
    zeros = weight.new_zeros(weight.shape[:-1])
    return Life(zeros, zeros.clone(), value.no_moments(zeros).expand(*weight.shape[:-2], 3))


def targets(rule: Rule, kept: Life, seen: Trajectory, discount: float = DISCOUNT) -> tuple[Targets, Life]:
    """The targets of a trajectory, and what is kept from then on.

    Policies, values and advantages are read as given: no gradient goes back through them; through predictions and the
    rule's weights it does.
    """
    judged, moments = _judged(kept, seen, discount)
    x, by_choice = _described(rule, OWN, seen, judged)
    h = _backwards(rule, x, seen.ended) * _layer(rule, f"{OWN}/linear", kept.hidden.unsqueeze(-2)).unsqueeze(-2)
    y, z = _layer(rule, f"{OWN}/linear_2", h), _layer(rule, f"{OWN}/linear_3", h)
    wide = torch.cat([h.unsqueeze(-2).expand(*by_choice.shape[:-1], h.shape[-1]), by_choice], -1)
    pi = _layer(rule, f"{OWN}/linear_4", _mixed(rule, f"{OWN}/sequential_1/conv1_d", wide, _first(seen.allowed)))
    hidden, cell = _life(rule, kept, seen, judged, y, _layer(rule, f"{OWN}/linear_1", h))
    pi = pi.squeeze(-1).masked_fill(~_first(seen.allowed), FORBIDDEN)
    return Targets(pi, y, z, judged.q), Life(hidden, cell, moments)


@dataclass(frozen=True)
class _Worth:
    """How good what happened was: `value` of frames `[..., T+1, N]`; of steps the returns `q`, `advantage` and
    `standard`, in standard deviations; of each choice `gain` and `standard_gain` over the frame's value
    `[..., T, N, A]`.
    """

    value: Tensor
    q: Tensor
    advantage: Tensor
    standard: Tensor
    gain: Tensor
    standard_gain: Tensor


@torch.no_grad()
def _judged(kept: Life, seen: Trajectory, discount: float) -> tuple[_Worth, Tensor]:
    policy = seen.logits.softmax(-1)
    mine, slow = (policy * seen.q).sum(-1), (policy * seen.slow_q).sum(-1)
    likelier = _taken(_first(seen.logits).log_softmax(-1), seen.action)
    likelier = (likelier - _taken(seen.behaviour.log_softmax(-1), seen.action)).exp()
    goes_on = discount * (1 - seen.ended.to(mine.dtype))
    taken = _taken(_first(seen.slow_q), seen.action)
    earned = value.returns(seen.reward, goes_on, slow, taken, TRACE * likelier.clamp_max(1.0))
    advantage = earned - slow[..., :-1, :]
    moments = value.moments_after(kept.moments, advantage)
    gain = _first(seen.slow_q - slow.unsqueeze(-1))
    standard = value.standard(moments, advantage)
    return _Worth(mine, earned, advantage, standard, gain, value.standard(moments, gain)), moments


def _described(rule: Rule, where: str, seen: Trajectory, judged: _Worth) -> tuple[Tensor, Tensor]:
    """A trajectory as numbers of each step `[..., T, N, F]`, and of each choice in it `[..., T, N, A, F′]`."""
    allowed, now = seen.allowed, _first(seen.allowed)
    policy = seen.logits.detach().softmax(-1)
    policies = [_first(policy), seen.behaviour.detach().softmax(-1), _first(seen.slow_logits.detach().softmax(-1))]
    own, behaved, slow = (_taken(each, seen.action) for each in policies)
    numbers = [own, behaved, signed_log(seen.reward), 1 - seen.ended.to(own.dtype)]
    parts = [x.unsqueeze(-1) for x in numbers]
    parts.append(_pairs(signed_log(judged.value).unsqueeze(-1)))
    parts += [x.unsqueeze(-1) for x in (signed_log(judged.advantage), judged.standard, slow)]
    parts += [_pairs(_embedded(rule, f"{where}/mlp", y.softmax(-1))) for y in (seen.y, seen.slow_y)]
    by_choice = [each.unsqueeze(-1) for each in policies]
    for z in (seen.z, seen.slow_z):
        small = _embedded(rule, f"{where}/mlp_1", z.softmax(-1))
        parts.append(_taken(_first(small, 4), seen.action))
        parts.append(_pairs((small * policy.unsqueeze(-1)).sum(-2)))
        parts.append(_pairs(small.masked_fill(~allowed.unsqueeze(-1), -torch.inf).amax(-2)))
        by_choice.append(_first(small, 4))
    values = signed_log(_first(seen.slow_q)).detach(), signed_log(judged.gain), judged.standard_gain
    by_choice += [x.unsqueeze(-1) for x in values]
    done = torch.nn.functional.one_hot(seen.action, policy.shape[-1]).to(own.dtype)
    x = torch.cat([*by_choice, done.unsqueeze(-1)], -1)
    for layer in ("conv1_d", "conv1_d_1"):
        x = _mixed(rule, f"{where}/sequential/{layer}", x, now)
    return torch.cat([*parts, _mean_allowed(x, now), _taken(x, seen.action)], -1), x


def _backwards(rule: Rule, x: Tensor, ended: Tensor) -> Tensor:
    """What is known at each step of the rest of its episode: `[..., T, N, F]` → `[..., T, N, H]`."""
    weight, bias = rule[f"{OWN}/lstm/linear/w"], rule[f"{OWN}/lstm/linear/b"]
    inputs, size = x.shape[-1], weight.shape[-1] // 4
    lead = weight.dim() - 2
    given = _rows(x, lead) @ weight[..., :inputs, :] + bias.unsqueeze(-2)
    given = given.reshape(*x.shape[:-1], 4 * size)
    alive = 1 - ended.to(x.dtype).unsqueeze(-1)
    hidden = cell = x.new_zeros(*x.shape[:-3], x.shape[-2], size)
    found = []
    for t in range(x.shape[-3] - 1, -1, -1):
        before = hidden * alive[..., t, :, :]
        gates = given[..., t, :, :] + before @ weight[..., inputs:, :]
        hidden, cell = _remembered(gates, cell * alive[..., t, :, :])
        found.append(hidden)
    return torch.stack(found[::-1], -3)


def _life(rule: Rule, kept: Life, seen: Trajectory, judged: _Worth, y: Tensor, note: Tensor) -> tuple[Tensor, Tensor]:
    """The state of the recurrence over an agent's life after one more update."""
    x, _ = _described(rule, LIFE, seen, judged)
    x = torch.cat([x, note, _embedded(rule, f"{LIFE}/mlp", y.softmax(-1))], -1)
    mean = _layer(rule, f"{LIFE}/mlp_2/~/linear_0", x).mean((-3, -2))
    gates = _layer(rule, f"{LIFE}/lstm/linear", torch.cat([mean, kept.hidden], -1).unsqueeze(-2)).squeeze(-2)
    return _remembered(gates, kept.cell)


def _remembered(gates: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    """Hidden state and cell of long short-term memory (Hochreiter and Schmidhuber 1997), gates in the order input,
    new, forget, output, and one added to the forget gate (Jozefowicz et al. 2015).
    """
    take, new, forget, show = gates.chunk(4, -1)
    cell = (forget + 1).sigmoid() * cell + take.sigmoid() * new.tanh()
    return show.sigmoid() * cell.tanh(), cell


def _embedded(rule: Rule, name: str, x: Tensor) -> Tensor:
    """Two layers."""
    return _layer(rule, f"{name}/~/linear_1", _layer(rule, f"{name}/~/linear_0", x).relu())


def _mixed(rule: Rule, name: str, x: Tensor, allowed: Tensor) -> Tensor:
    """A layer on each choice beside the mean of those that are allowed: `[..., T, N, A, F]` → `[..., T, N, A, F′]`."""
    mean = _mean_allowed(x, allowed).unsqueeze(-2).expand_as(x)
    return _layer(rule, name, torch.cat([x, mean], -1)).relu()


def _mean_allowed(x: Tensor, allowed: Tensor) -> Tensor:
    """`[..., A, F]` → `[..., F]`: a choice that is forbidden is as if it weren't there."""
    counted = allowed.unsqueeze(-1)
    return x.masked_fill(~counted, 0.0).sum(-2) / counted.sum(-2)


def _layer(rule: Rule, name: str, x: Tensor) -> Tensor:
    """A linear layer over the last axis, whatever lies between it and the task axis."""
    weight = rule[f"{name}/w"]
    found = _rows(x, weight.dim() - 2) @ weight + rule[f"{name}/b"].unsqueeze(-2)
    return found.reshape(*x.shape[:-1], weight.shape[-1])


def _rows(x: Tensor, lead: int) -> Tensor:
    return x.reshape(*x.shape[:lead], -1, x.shape[-1])


def _first(frames: Tensor, behind: int = 3) -> Tensor:
    """Frames without the last one; time is that axis, counted from the end."""
    return frames.narrow(-behind, 0, frames.shape[-behind] - 1)


def _pairs(frames: Tensor) -> Tensor:
    """Each frame beside the next: `[..., T+1, N, F]` → `[..., T, N, 2F]`."""
    return torch.cat([frames[..., :-1, :, :], frames[..., 1:, :, :]], -1)


def _taken(x: Tensor, action: Tensor) -> Tensor:
    """Of each choice's numbers those of the one taken: `[..., A]` → `[...]`, or `[..., A, F]` → `[..., F]`."""
    if x.dim() == action.dim() + 1:
        return x.gather(-1, action.unsqueeze(-1)).squeeze(-1)
    index = action[..., None, None].expand(*action.shape, 1, x.shape[-1])
    return x.gather(-2, index).squeeze(-2)
