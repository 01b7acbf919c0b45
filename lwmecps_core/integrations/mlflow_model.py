"""The code of a policy that MLflow loads: models-from-code, so that no object is pickled."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel
from numpy.typing import NDArray

from lwmecps_core import fits
from lwmecps_core.algorithms.base import Algorithm, first_seen
from lwmecps_core.errors import InvalidInput, Violation
from lwmecps_core.policy import PolicyData, from_bytes

ARTEFACT = "policy"
"""What the model calls its file."""


@dataclass(frozen=True)
class LoadedPolicy:
    """A policy and its algorithm."""

    policy: PolicyData
    algorithm: Algorithm

    def greedy(self, rows: NDArray[Any]) -> NDArray[Any]:
        """The policy's best actions `[B, A]` for `rows` `[B, O]`, or `[B, O + M]` with the mask's M numbers behind."""
        spec = self.policy.env_spec
        wanted = {spec.obs_size: 0, spec.obs_size + spec.mask_size: spec.mask_size}
        if rows.ndim != 2 or rows.shape[1] not in wanted or not np.isfinite(rows).all():
            text = " or ".join(f"[B, {n}]" for n in wanted)
            raise InvalidInput("model input", [Violation("rows", f"must be finite {text}, not {list(rows.shape)}")])
        obs = torch.from_numpy(np.ascontiguousarray(rows[:, : spec.obs_size], np.float32))
        mask = torch.ones(len(rows), spec.mask_size, dtype=torch.bool)
        if wanted[rows.shape[1]]:
            mask = torch.from_numpy(rows[:, spec.obs_size :] > 0)
            if not mask.reshape(len(rows), spec.action_size, -1).any(-1).all():
                raise InvalidInput("model input", [Violation("mask", "forbids every choice of an action component")])
        seen = first_seen(spec, obs, mask)
        with torch.inference_mode():
            action = self.algorithm.act(self.policy.params, self.policy.extra, {}, seen, None).action
        return np.asarray(action.numpy())


def loaded(file: Path) -> LoadedPolicy:
    """The policy in a file; raises `InvalidInput` for one that remembers: a pyfunc model is asked row by row."""
    policy = from_bytes(file.read_bytes(), str(file))
    if policy.algorithm.context != "none":
        reason = f"it remembers ({policy.algorithm.context}), and a pyfunc model has no memory: `lwmecps act`, or Act"
        raise InvalidInput(str(file), [Violation("algorithm.context", reason)])
    return LoadedPolicy(policy, fits.bound(policy, policy.env_spec, str(file), "weights"))


class PolicyModel(PythonModel):
    """What MLflow calls: see `LoadedPolicy.greedy`."""

    def load_context(self, context: Any) -> None:
        self._loaded = loaded(Path(context.artifacts[ARTEFACT]))

    @property
    def policy(self) -> PolicyData:
        """The policy itself."""
        return self._loaded.policy

    # Without hints: MLflow would take them for the schema of its rows, and warn.
    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]
        return self._loaded.greedy(np.asarray(model_input, np.float32))


set_model(PolicyModel())
