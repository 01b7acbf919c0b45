"""Policies of Stable-Baselines3 and sb3-contrib as ours: weights and a declared architecture (extra `sb3`)."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from gymnasium import spaces
from stable_baselines3 import __version__
from stable_baselines3.common.torch_layers import FlattenExtractor
from stable_baselines3.common.vec_env import VecNormalize, unwrap_vec_normalize
from torch import Tensor, nn

from lwmecps_core import algorithms, fits
from lwmecps_core.algorithms.networks import Net
from lwmecps_core.envs.actions import env_spec
from lwmecps_core.errors import InvalidInput, Violation
from lwmecps_core.policy import PolicyData, to_bytes
from lwmecps_core.run_config import PPOConfig
from lwmecps_core.specs import EnvSpec, TaskSpec

ACTOR_CRITICS = ("PPO", "A2C", "MaskablePPO", "RecurrentPPO")


def save(model: Any, path: str | Path, task: TaskSpec | None = None) -> Path:
    """Write `to_policy(model, task)` as a policy file (safetensors), which `lwmecps policies import` stores."""
    path = Path(path)
    path.write_bytes(to_bytes(to_policy(model, task)))
    return path


def to_policy(model: Any, task: TaskSpec | None = None) -> PolicyData:
    """What `model` (PPO, A2C, MaskablePPO or RecurrentPPO) has learnt, as a policy of ours that acts alike.

    `task` is one that it was trained on; without it, the model's own environments say so. Greedy actions are the
    model's own under the same masks; one that was trained without masks never makes a forbidden choice here. Raises
    `InvalidInput` naming what of the model can't be declared.
    """
    spec = env_spec(task) if task is not None else _spec_of(model)
    _check(model, spec)
    policy, recurrent = model.policy, hasattr(model.policy, "lstm_actor")
    actor, critic = (_linears(net, name) for net, name in _nets(policy))
    hidden = tuple(layer.out_features for layer in actor)
    if hidden != tuple(layer.out_features for layer in critic):
        raise _no("net_arch", "pi and vf must have the same layers")
    config = PPOConfig(
        network="mlp",
        head="categorical",
        hidden_size=hidden,
        context="recurrent" if recurrent else "none",
        cell="lstm" if recurrent else "gru",
        cell_size=policy.lstm_actor.hidden_size if recurrent else 0,
        **_hyperparameters(model),
    )
    params = {"actor": _net([*actor, policy.action_net]), "critic": _net([*critic, policy.value_net])}
    if recurrent:
        lstms = {"actor": policy.lstm_actor, "critic": policy.lstm_critic}
        fresh, _ = algorithms.make(config, spec).init(torch.Generator().manual_seed(0))
        params = {group: _widened(net, lstms[group], fresh[group], spec.obs_size) for group, net in params.items()}
    made = PolicyData(config, spec, params, {}, metadata={"made_by": f"{type(model).__name__} of SB3 {__version__}"})
    fits.bound(made, spec, "model", "policy")
    return made


def _no(field: str, reason: str) -> InvalidInput:
    return InvalidInput("model", [Violation(field, reason)])


def _spec_of(model: Any) -> EnvSpec:
    env = model.get_env()
    if env is None or not env.has_attr("spec_of_env"):
        raise _no("env", "it was not trained on environments of ours, or has none: name a task that it was trained on")
    spec: EnvSpec = env.get_attr("spec_of_env")[0]
    return spec


def _check(model: Any, spec: EnvSpec) -> None:
    """Raise `InvalidInput` for what no policy of ours has."""
    name, policy = type(model).__name__, model.policy
    if name not in ACTOR_CRITICS:
        raise _no("algorithm", f"{name} is none of {', '.join(ACTOR_CRITICS)}")
    normalised: VecNormalize | None = model.get_env() and unwrap_vec_normalize(model.get_env())
    if normalised is not None and normalised.norm_obs:
        raise _no("env", "VecNormalize changes observations, which nothing here would do again: norm_obs=False")
    if not isinstance(policy.features_extractor, FlattenExtractor):
        raise _no("policy", f"{type(policy.features_extractor).__name__}: train on flat observations, with MlpPolicy")
    if policy.activation_fn is not nn.Tanh:
        raise _no("activation_fn", f"{policy.activation_fn.__name__}: only Tanh, the default, can be declared")
    space = model.action_space
    nvec = [int(space.n)] if isinstance(space, spaces.Discrete) else list(getattr(space, "nvec", ()))
    if tuple(nvec) != spec.nvec or not spec.discrete:
        raise _no("action_space", f"{space} is none of {spec.env_id} with {spec.action_size} discrete actions")
    if hasattr(policy, "lstm_actor"):
        if policy.lstm_critic is None or policy.shared_lstm or not policy.enable_critic_lstm:
            raise _no("policy_kwargs", "shared_lstm or no enable_critic_lstm: actor and critic need an LSTM each")
        if policy.lstm_actor.num_layers != 1:
            raise _no("n_lstm_layers", f"{policy.lstm_actor.num_layers}: only one layer can be declared")


def _nets(policy: Any) -> list[tuple[nn.Module, str]]:
    return [(policy.mlp_extractor.policy_net, "pi"), (policy.mlp_extractor.value_net, "vf")]


def _linears(net: nn.Module, name: str) -> list[nn.Linear]:
    """The layers of a perceptron in which a Tanh follows each."""
    parts = list(net.children())
    layers = [part for part in parts if isinstance(part, nn.Linear)]
    expected = [kind for _ in layers for kind in (nn.Linear, nn.Tanh)]
    if not layers or [type(part) for part in parts] != expected:
        raise _no(f"net_arch.{name}", "at least one layer is needed, each followed by Tanh and nothing else")
    if any(a.out_features != b.in_features for a, b in pairwise(layers)):
        raise _no(f"net_arch.{name}", "layers don't follow one another")
    return layers


def _net(layers: list[nn.Linear]) -> Net:
    names = [*(f"hidden{i}" for i in range(len(layers) - 1)), "out"]
    net: Net = {}
    for name, layer in zip(names, layers, strict=True):
        # PyTorch keeps `[out, in]`. A transposed view would be written wrongly by safetensors' side for NumPy.
        net[f"{name}.weight"], net[f"{name}.bias"] = _copy(layer.weight.T), _copy(layer.bias)
    return net


def _widened(net: Net, lstm: Any, fresh: Net, obs_size: int) -> Net:
    """A network on what an LSTM puts out, as one of ours, which also sees the observation and what was told beside it:
    those weights are 0.
    """
    weights = {"lstm_input.weight": lstm.weight_ih_l0.T, "hidden0.weight": net["hidden0.weight"]}
    starts = {"lstm_input.weight": 0, "hidden0.weight": obs_size}
    found = dict(net)
    for name, weight in weights.items():
        found[name] = torch.zeros_like(fresh[name])
        found[name][starts[name] : starts[name] + len(weight)] = weight.detach().cpu()
    found["lstm_input.bias"] = _copy(lstm.bias_ih_l0 + lstm.bias_hh_l0)
    found["lstm_state.weight"] = _copy(lstm.weight_hh_l0.T)
    return found


def _copy(x: Tensor) -> Tensor:
    return x.detach().cpu().to(torch.float32).contiguous().clone()


def _hyperparameters(model: Any) -> dict[str, Any]:
    """What the model was trained with, for those who go on training it here; what it doesn't have stays as it is."""
    named = {
        "discount_factor": "gamma",
        "gae_lambda": "gae_lambda",
        "entropy_coef": "ent_coef",
        "value_function_coef": "vf_coef",
        "max_grad_norm": "max_grad_norm",
        "batch_size": "batch_size",
        "n_epochs": "n_epochs",
    }
    found = {ours: getattr(model, theirs) for ours, theirs in named.items() if hasattr(model, theirs)}
    schedules = {"learning_rate": "lr_schedule", "clip_epsilon": "clip_range"}
    return found | {
        ours: float(getattr(model, theirs)(1.0)) for ours, theirs in schedules.items() if hasattr(model, theirs)
    }
