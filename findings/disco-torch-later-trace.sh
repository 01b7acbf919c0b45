#!/usr/bin/env bash
# Guess:   disco-torch, a PyTorch port of DiscoRL, has the JAX rule's Q targets: its comment says which shift of indices it
#          takes over from the original's call of rlax, and that the published weights were trained with it.
# Really:  disco-torch 0.4.0 weighs what comes after step t by c and q of step t + 2. The original's call, a step of zeros
#          before rewards and discounts, gives t + 1 in rlax 0.1.9 under jit and not: plain Retrace (Munos et al. 2016).
# Matters: targets of off-policy steps are wrong by as much as values differ from step to step, and so is all that a published
#          rule makes of them; where every action is the likeliest and values hardly change, nothing shows.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check torch==2.13.0 disco-torch==0.4.0 rlax==0.1.9 jax==0.10.2 2> /dev/null
cat > compare.py <<'P'
import sys
from functools import partial
from importlib.metadata import version

import jax
import numpy as np
import rlax
import torch
from disco_torch.value_utils import estimate_q_values

rng = np.random.default_rng(0)
steps, actions, decay, mixing = 8, 3, 0.99, 0.95
f = lambda *shape: rng.normal(size=shape).astype(np.float32)
reward, value, q = f(steps), f(steps + 1), f(steps + 1, actions)
goes_on = (rng.random(steps) > 0.2).astype(np.float32)
ratio = np.exp(f(steps) / 2)
taken = rng.integers(actions, size=steps)
weight, discount = (mixing * np.minimum(ratio, 1)).astype(np.float32), decay * goes_on
of_taken = q[np.arange(steps), taken]


def trace(ahead):
    """Targets that weigh step t's future by c and q of step t + `ahead`, or of the last where there is none."""
    target = np.zeros(steps)
    target[-1] = reward[-1] + discount[-1] * value[-1]
    for t in reversed(range(steps - 1)):
        i = min(t + ahead, steps - 1)
        target[t] = reward[t] + discount[t] * (value[t + 1] + weight[i] * (target[t + 1] - of_taken[i]))
    return target


zero = np.zeros(1, np.float32)
given = (of_taken, value, np.concatenate([zero, reward]), np.concatenate([zero, discount]), weight)
original = partial(rlax.general_off_policy_returns_from_q_and_v, stop_target_gradients=True)
jitted, plain = np.asarray(jax.jit(original)(*given))[1:], np.asarray(original(*given))[1:]
one = lambda x: torch.as_tensor(x).unsqueeze(1)
port = estimate_q_values(
    one(reward), one(taken), one(goes_on), one(ratio), one(value), one(value), one(q), one(q), decay, mixing
).q_target[:, 0].numpy()
print(", ".join(f"{name} {version(name)}" for name in ("disco-torch", "rlax", "jax", "torch")))
off = lambda a, b: np.abs(a - b).max()
found = {
    "rlax, jitted, from Retrace at t + 1": off(jitted, trace(1)),
    "rlax, as it is, from Retrace at t + 1": off(plain, trace(1)),
    "disco-torch from the same at t + 2": off(port, trace(2)),
    "disco-torch from rlax": off(port, jitted),
}
for name, far in found.items():
    print(f"{name}: at most {far:.6f} apart")
*near, far = found.values()
sys.exit(0 if max(near) < 1e-5 and far > 0.1 else "this has changed")
P
venv/bin/python compare.py 2> >(grep -v -i -E "tpu|cuda" >&2)
