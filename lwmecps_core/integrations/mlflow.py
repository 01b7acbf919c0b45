"""MLflow: a policy as a pyfunc model, which is its file and a module of ours that reads it (extra `mlflow`)."""

from pathlib import Path
from typing import Any

import mlflow

from lwmecps_core.integrations import mlflow_model
from lwmecps_core.integrations.mlflow_model import ARTEFACT, loaded


def log_policy(file: str | Path, name: str = "policy", **kwargs: Any) -> Any:
    """Log a policy file (safetensors, as `lwmecps policies download` writes it) as a pyfunc model of the active run.

    What MLflow stores is the file and, as code, `mlflow_model.py`: nothing is pickled; who loads it needs lwmecps
    installed. `kwargs` are those of `mlflow.pyfunc.log_model`. Raises `InvalidInput` for a file that is no policy, and
    for a policy that remembers.
    """
    policy = loaded(Path(file)).policy
    about = {"algorithm": policy.algorithm.name, "environment": policy.env_spec.env_id}
    return mlflow.pyfunc.log_model(
        name=name,
        python_model=mlflow_model.__file__,
        artifacts={ARTEFACT: str(file)},
        metadata=about,
        **{"pip_requirements": ["lwmecps"], **kwargs},
    )


def save_policy(file: str | Path, path: str | Path, **kwargs: Any) -> None:
    """The same as a folder, `path`, which `mlflow.pyfunc.load_model` reads."""
    loaded(Path(file))
    mlflow.pyfunc.save_model(
        path=str(path),
        python_model=mlflow_model.__file__,
        artifacts={ARTEFACT: str(file)},
        **{"pip_requirements": ["lwmecps"], **kwargs},
    )
